"""AWS's own names: patterns of ARNs, partitions of regions, and the five root tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ACCOUNT_ID: Final = r"[0-9]{12}"
PARTITION: Final = r"aws(?:-[a-z]+)*"
REGION: Final = r"(?:[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}|aws-global)"
ROLE_ARN: Final = rf"arn:{PARTITION}:iam::{ACCOUNT_ID}:role/[\x21-\x7e]+"
ROOT_ARN: Final = rf"arn:{PARTITION}:iam::{ACCOUNT_ID}:root"
POLICY_ARN: Final = rf"arn:{PARTITION}:iam::(?:aws|{ACCOUNT_ID}):policy/[\x21-\x7e]+"
MFA_SERIAL: Final = rf"arn:{PARTITION}:iam::{ACCOUNT_ID}:[\w+=/:,.@-]+|(?!arn:)[\w+=/:,.@-]*"
STS_NAME: Final = r"[\w+=,.@-]*"  # RoleSessionName, SourceIdentity
POLICY: Final = r"[\t\n\r\x20-\xff]+"
URL: Final = r"https?://[\x21-\x7e]+"

PARTITION_PREFIXES: Final = (
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("us-isob-", "aws-iso-b"),
    ("us-isof-", "aws-iso-f"),
    ("us-iso-", "aws-iso"),
    ("eu-isoe-", "aws-iso-e"),
    ("eusc-", "aws-eusc"),
)

FALLBACK_REGION: Final = {
    "aws": "us-east-1",
    "aws-cn": "cn-north-1",
    "aws-us-gov": "us-gov-west-1",
    "aws-iso": "us-iso-east-1",
    "aws-iso-b": "us-isob-east-1",
    "aws-iso-e": "eu-isoe-west-1",
    "aws-iso-f": "us-isof-south-1",
    "aws-eusc": "eusc-de-east-1",
}
"""A region of each partition, for calls that work in any: where no region is configured."""

IAM_FEATURE: Final = "RootCredentialsManagement"
SESSIONS_FEATURE: Final = "RootSessions"


@dataclass(frozen=True)
class Task:
    """A root task: in words, the actions its policy allows, on what, and the feature of IAM that it needs.

    The policies only deny: they are a ceiling, not a grant. Actions as in version 1 of each policy, the only
    one since 2024-11-06.
    """

    purpose: str
    actions: tuple[str, ...]
    bounds: str
    feature: str = IAM_FEATURE


_READ: Final = (
    *("iam:GetAccessKeyLastUsed", "iam:GetLoginProfile", "iam:GetUser"),
    *("iam:ListAccessKeys", "iam:ListMFADevices", "iam:ListSigningCertificates"),
)
_ROOT_USER: Final = "the root user of the account"

TASKS: Final = {
    "IAMAuditRootUserCredentials": Task(
        "look at the root user's credentials", ("iam:GetAccountSummary", *_READ), _ROOT_USER
    ),
    "IAMCreateRootUserPassword": Task(
        "let the root user set a new password", ("iam:CreateLoginProfile", "iam:GetLoginProfile"), _ROOT_USER
    ),
    "IAMDeleteRootUserCredentials": Task(
        "delete the root user's credentials",
        (
            *("iam:DeactivateMFADevice", "iam:DeleteAccessKey", "iam:DeleteLoginProfile"),
            *("iam:DeleteSigningCertificate", "iam:DeleteVirtualMFADevice"),
            *_READ,
        ),
        _ROOT_USER,
    ),
    "S3UnlockBucketPolicy": Task(
        "delete a bucket policy that denies all access",
        ("s3:DeleteBucketPolicy", "s3:GetBucketPolicy", "s3:ListAllMyBuckets", "s3:PutBucketPolicy"),
        "any bucket of the account, but no object",
        SESSIONS_FEATURE,
    ),
    "SQSUnlockQueuePolicy": Task(
        "delete a queue policy that denies all access",
        ("sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ListQueues", "sqs:SetQueueAttributes"),
        "any queue of the account, but no message",
        SESSIONS_FEATURE,
    ),
}
"""AWS's managed root-task policies, by short name."""

PROPAGATION: Final = "changes of delegation and features take up to 3 minutes to take effect"


def feature_of(task: str) -> str:
    """The feature that a root task needs, by the short name of its policy."""
    return TASKS[task].feature if task in TASKS else IAM_FEATURE


def short_task(policy_arn: str) -> str:
    """The short name at the end of a task policy's ARN."""
    return policy_arn.rsplit("/", 1)[-1]


def partition_of(region: str) -> str:
    """The partition that a region belongs to (a test compares this with botocore's partitions)."""
    return next((name for prefix, name in PARTITION_PREFIXES if region.startswith(prefix)), "aws")


def partition_of_arn(text: str) -> str | None:
    """The partition that an ARN names; None for anything else."""
    return text.split(":")[1] if text.startswith("arn:") else None
