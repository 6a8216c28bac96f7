"""The five root tasks: what AWS's policy of each leaves a root session to do, and what has to be enabled.

The policies only deny: they are a ceiling, not a grant. Actions as in version 1 of each policy, which is the
only one there has been since 2024-11-06.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

IAM_FEATURE: Final = "RootCredentialsManagement"
SESSIONS_FEATURE: Final = "RootSessions"

_LOOK: Final = (
    *("iam:GetAccessKeyLastUsed", "iam:GetLoginProfile", "iam:GetUser"),
    *("iam:ListAccessKeys", "iam:ListMFADevices", "iam:ListSigningCertificates"),
)


@dataclass(frozen=True)
class Task:
    """A root task: its actions, on what, and the feature of centralized root access that it needs."""

    actions: tuple[str, ...]
    bounds: str
    feature: str


TASKS: Final = {
    "IAMAuditRootUserCredentials": Task(
        ("iam:GetAccountSummary", *_LOOK), "the root user of the account", IAM_FEATURE
    ),
    "IAMCreateRootUserPassword": Task(
        ("iam:CreateLoginProfile", "iam:GetLoginProfile"), "the root user of the account", IAM_FEATURE
    ),
    "IAMDeleteRootUserCredentials": Task(
        (
            *("iam:DeactivateMFADevice", "iam:DeleteAccessKey", "iam:DeleteLoginProfile"),
            *("iam:DeleteSigningCertificate", "iam:DeleteVirtualMFADevice"),
            *_LOOK,
        ),
        "the root user of the account",
        IAM_FEATURE,
    ),
    "S3UnlockBucketPolicy": Task(
        ("s3:DeleteBucketPolicy", "s3:GetBucketPolicy", "s3:ListAllMyBuckets", "s3:PutBucketPolicy"),
        "any bucket of the account, but no object",
        SESSIONS_FEATURE,
    ),
    "SQSUnlockQueuePolicy": Task(
        ("sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ListQueues", "sqs:SetQueueAttributes"),
        "any queue of the account, but no message",
        SESSIONS_FEATURE,
    ),
}
"""By the short name of the policy."""

FEATURES: Final = {policy: task.feature for policy, task in TASKS.items()}

PROPAGATION: Final = "changes of delegation and features take up to 3 minutes to take effect"
