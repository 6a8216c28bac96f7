"""What STS says when it refuses, as sentences with something to do about it.

A row matches by operation, error code and message. The codes are those of the STS API reference; AWS does
not document its messages, so patterns are loose and what matches no row is quoted as it came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from credhelper.errors import CredhelperError, RefusedError, SourceError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping

ANY: Final = ("AssumeRoot", "AssumeRole", "GetSessionToken")
ROOT: Final = ("AssumeRoot",)
ROLE: Final = ("AssumeRole",)

FEATURES: Final = {
    "S3UnlockBucketPolicy": "RootSessions",
    "SQSUnlockQueuePolicy": "RootSessions",
}
"""The organization feature a root task needs; for the tasks of IAM it is RootCredentialsManagement."""

PROPAGATION: Final = "changes of delegation and features take up to 3 minutes to take effect"


@dataclass(frozen=True)
class Refusal:
    """One way of being refused. Sentence and hints are filled in with the facts and the pattern's groups."""

    apis: tuple[str, ...]
    code: str
    message: str
    sentence: str
    hints: tuple[str, ...] = ()
    error: type[CredhelperError] = RefusedError


_CALLER = r"(?:User: (?P<caller>\S+) )?"
_ON = r"(?: on resource: (?P<resource>\S+))?"
_LOGIN = "log in again where these credentials come from"

TABLE: Final[tuple[Refusal, ...]] = (
    # Who may call AssumeRoot, and on what
    Refusal(
        ROOT,
        "AccessDenied",
        rf"{_CALLER}.*explicit deny in a (?:service|resource) control policy",
        "a service control policy denies sts:AssumeRoot on account '{account}'",
        ("an administrator of the organization has to change the policy", "caller: {caller}"),
    ),
    Refusal(
        ROOT,
        "AccessDenied",
        r"(?i)(?:centrali[sz]ed root|root access management|root ?sessions?|"
        r"root ?credentials ?management|organizations? features?)\b.*\b(?:not|isn't|disabled)",
        "centralized root access is not enabled in the organization for this task",
        ("enable {feature} under 'root access management' in IAM of the management account", PROPAGATION),
    ),
    Refusal(
        ROOT,
        "AccessDenied|ValidationError|InvalidInput.*",
        r"(?i)(?:only|must be|neither|not)\b.*\bdelegated admin",
        "the caller is neither in the management account nor in the delegated administrator for IAM",
        ("use source credentials of one of these two accounts; caller: {caller}", PROPAGATION),
    ),
    Refusal(
        ROOT,
        ".*",
        r"(?i)\bmanagement account\b",
        "account '{account}' is the management account itself: AssumeRoot works on member accounts",
        ("use the root user of the management account for its own root tasks",),
    ),
    Refusal(
        ROOT,
        ".*",
        r"(?i)\b(?:suspended|closed|pending closure|not active)\b",
        "account '{account}' is suspended or closed",
        ("AWS Organizations shows its state; a closed account can be reopened for 90 days",),
    ),
    Refusal(
        ROOT,
        ".*",
        r"(?i)\b(?:not|isn't|outside)\b.*\b(?:organi[sz]ation|member account)\b|AccountNotFound",
        "account '{account}' is not in the organization of the caller",
        ("check the account id, and that the source credentials belong to the right organization",),
    ),
    Refusal(
        ROOT,
        "AccessDenied",
        r"(?i)\broot (?:user|account|credentials)\b.*\b(?:cannot|can't|may not|not)\b",
        "AssumeRoot cannot be called with a root user's own credentials",
        ("use a role or user of the management account",),
    ),
    Refusal(
        ROOT,
        "AccessDenied.*",
        rf"{_CALLER}.*",
        "not allowed: sts:AssumeRoot on '{principal}' with the task {task}",
        (
            "the caller ({caller}) needs sts:AssumeRoot on {principal}, where sts:TaskPolicyArn is {task_arn}",
            "it must be in the management account or IAM's delegated administrator, with the account a member; "
            + PROPAGATION,
        ),
    ),
    Refusal(
        ROOT,
        "InvalidAction",
        "",
        "the endpoint in '{region}' does not know AssumeRoot",
        ("AssumeRoot needs a regional STS endpoint: check 'sts_region' and 'endpoint_url'",),
    ),
    # AssumeRole
    Refusal(
        ANY,
        "AccessDenied",
        r"explicit deny in a service control policy",
        "a service control policy denies sts:{api} in '{resource}'",
        ("an administrator of the organization has to change the policy", "caller: {caller}"),
    ),
    Refusal(
        ROLE,
        "AccessDenied",
        r"explicit deny",
        "a policy explicitly denies assuming '{target}'",
        ("AWS says: {message}",),
    ),
    Refusal(
        ROLE,
        "AccessDenied",
        r"(?i)MultiFactorAuthentication failed.*(?:invalid MFA|one time pass code)",
        "AWS did not accept the MFA code for '{device}'",
        ("wait for the next code: each works only once",),
    ),
    Refusal(
        ANY,
        "AccessDenied",
        r"(?i)MultiFactorAuthentication failed.*invalid MFA",
        "AWS did not accept the MFA code for '{device}'",
        ("wait for the next code: each works only once",),
    ),
    Refusal(
        ANY,
        "AccessDenied",
        r"(?i)MultiFactorAuthentication failed",
        "AWS cannot check an MFA code of '{device}' for this user",
        ("'mfa_serial' must be a device of the user that the source credentials belong to",),
    ),
    Refusal(
        ROLE,
        "AccessDenied",
        r"(?i)Roles may not be assumed by root",
        "a root user cannot assume a role",
        ("use the credentials of an IAM user or of a role",),
    ),
    Refusal(
        ROLE,
        "AccessDenied",
        r"not authorized to perform: (?P<action>sts:TagSession|sts:SetSourceIdentity)",
        "not allowed: {action} on '{target}'",
        ("the role's trust policy has to allow {action} too, not only sts:AssumeRole",),
    ),
    Refusal(
        ROLE,
        "AccessDenied",
        r"no identity-based policy allows",
        "not allowed: sts:AssumeRole on '{target}'",
        ("the caller ({caller}) needs a policy that allows sts:AssumeRole on this role",),
    ),
    Refusal(
        ROLE,
        "AccessDenied",
        r"",
        "not allowed: sts:AssumeRole on '{target}'",
        (
            "the role's trust policy must name the caller ({caller}); check 'external_id' and MFA conditions",
            (
                "in another account, the caller also needs a policy that allows it; AWS says the same of a role "
                "that does not exist"
            ),
        ),
    ),
    Refusal(
        ROLE,
        "ValidationError",
        r"1 hour session limit",
        "a role assumed by another role's session lasts at most 1 hour, and {duration} s were asked for",
        ("set duration_seconds = 3600 in this profile",),
    ),
    Refusal(
        ROLE,
        "ValidationError",
        r"MaxSessionDuration",
        "role '{target}' does not allow sessions of {duration} s",
        ("lower 'duration_seconds', or raise the role's maximum session duration",),
    ),
    Refusal(
        ("GetSessionToken",),
        "AccessDenied",
        r"session credentials",
        "{source} is temporary, and only a long-lived access key can call GetSessionToken",
        ("set mfa_session = false, or another source",),
    ),
    # Everything
    Refusal(
        ANY,
        "RegionDisabledException",
        "",
        "STS is not activated in region '{region}' for this account",
        ("set 'sts_region' to another region, or activate this one in the account settings of IAM",),
    ),
    Refusal(
        ANY,
        "ExpiredToken(?:Exception)?",
        "",
        "the source credentials have expired: {source}",
        (_LOGIN,),
        SourceError,
    ),
    Refusal(
        ANY,
        "InvalidClientTokenId|UnrecognizedClientException|InvalidAccessKeyId",
        "",
        "AWS does not know the access key of {source}: it was deleted or deactivated",
        ("replace the key, or choose another source",),
        SourceError,
    ),
    Refusal(
        ANY,
        "SignatureDoesNotMatch|RequestExpired|RequestTimeTooSkewed|InvalidSignatureException|AuthFailure",
        r"(?i)signature (?:expired|not yet current)|too skewed|request has expired",
        "this machine's clock is wrong: it is {skew} AWS's",
        ("set the clock, then try again",),
    ),
    Refusal(
        ANY,
        "SignatureDoesNotMatch|InvalidSignatureException",
        "",
        "the secret access key of {source} does not belong to its access key id",
        ("enter the key again",),
        SourceError,
    ),
    Refusal(
        ANY,
        "Throttling.*|TooManyRequests.*|RequestLimitExceeded|SlowDown",
        "",
        "STS is throttling requests of this account",
        ("wait a little; many callers with different profiles at once cause this",),
        UnreachableError,
    ),
    Refusal(
        ANY,
        "ServiceUnavailable|ServiceFailure|InternalFailure|InternalError|RequestTimeout.*|50[0-9]",
        "",
        "STS in '{region}' is failing: {code}",
        ("try again, or set 'sts_region' to another region",),
        UnreachableError,
    ),
    Refusal(
        ANY,
        "PackedPolicyTooLarge",
        "",
        "session policy, policy ARNs and tags together are too large",
        ("AWS says: {message}",),
    ),
    Refusal(
        ANY,
        "MalformedPolicyDocument",
        "",
        "STS does not understand the session policy",
        ("AWS says: {message}",),
    ),
    Refusal(ANY, ".*", "", "STS refused {api}: {code}", ("AWS says: {message}",)),
)


def explain(api: str, code: str, message: str, facts: Mapping[str, str]) -> CredhelperError:
    """The error for STS's refusal of a call; `facts` fill in the sentence."""
    for row in TABLE:
        found = re.search(row.message, message, re.DOTALL)
        if api in row.apis and found and re.fullmatch(row.code, code):
            groups = {name: text for name, text in found.groupdict().items() if text}
            known = {
                "caller": _caller(message), "resource": facts.get("target", ""), "api": api, "code": code or "no code",
                "message": message or "nothing more", "feature": FEATURES.get(facts.get("task", ""), "RootCredentialsManagement"),
                **facts, **groups,
            }  # fmt: skip
            return row.error(
                row.sentence.format(**known), *(hint.format(**known) for hint in row.hints), code=code
            )
    raise AssertionError("the last row matches everything")


def _caller(message: str) -> str:
    found = re.search(r"User: (\S+) ", message)
    return found[1] if found else "the source credentials"


def spell_skew(seconds: float) -> str:
    """How far our clock is off, as the end of 'it is ...': AWS's clock is `seconds` ahead of ours."""
    size = abs(seconds)
    amount = f"{size / 60:.0f} min" if size >= 120 else f"{size:.0f} s"
    return f"{amount} behind" if seconds > 0 else f"{amount} ahead of"
