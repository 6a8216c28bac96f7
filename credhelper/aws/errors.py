"""What STS says when it refuses, as sentences with something to do about it.

A row matches by operation, error code and message. The codes are those of the STS API reference; AWS does
not document its messages, so patterns are loose and what matches no row is quoted as it came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from credhelper.config.aws_names import TASKS, feature_of
from credhelper.config.toml import nearest
from credhelper.errors import (
    CodeRejectedError,
    CredhelperError,
    RefusedError,
    SourceError,
    UnreachableError,
    printable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

ANY: Final = ("AssumeRoot", "AssumeRole", "GetSessionToken")
ROOT: Final = ("AssumeRoot",)
ROLE: Final = ("AssumeRole",)
SESSION: Final = ("GetSessionToken",)

MESSAGE_LIMIT: Final = 500
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


THROTTLING: Final = "Throttling.*|TooManyRequests.*|RequestLimitExceeded|SlowDown"
"""The codes that mean: more slowly."""

_DENIED = "AccessDenied(?:Exception)?"
_ABOUT_TARGET = rf"{_DENIED}|Validation\w*|Invalid(?:Input|Parameter)\w*|Account\w+"
_ORGANIZATION = r"(?:explicit deny in an?|because no) (?P<kind>(?:service|resource) control policy)"
_OTHER = (
    r"(?:explicit deny in an?|because no(?= session| permissions| VPC)) (?P<kind>[\w -]*?(?:policy|boundary))"
)
_CODE_REJECTED = r"(?i)MultiFactorAuthentication failed with\b.*\b(?:invalid MFA|one time pass code)"
_CALLER = "caller: {caller}"
_LOGIN = "log in again where these credentials come from"

TABLE: Final[tuple[Refusal, ...]] = (
    # Who may call AssumeRoot, and on what
    Refusal(
        ROOT,
        _DENIED,
        _ORGANIZATION,
        "a {kind} denies {action} on account '{account}'",
        ("an administrator of the organization has to change the policy{policy}", _CALLER),
    ),
    Refusal(
        ROOT,
        _DENIED,
        _OTHER,
        "not allowed: {action} on '{principal}' with the task {task}, because of the {kind}",
        (_CALLER, "change the policy{policy}, or use another source"),
    ),
    Refusal(
        ROOT,
        ".*",
        r"(?i)(?:centrali[sz]ed root|root access management|root ?sessions?|trusted access|"
        r"root ?credentials ?management|organizations? features?)\b.*\b(?:not|isn't|disabled)",
        "centralized root access is not enabled in the organization for the task {task}",
        ("enable {feature} under 'root access management' in IAM of the management account", PROPAGATION),
    ),
    Refusal(
        ROOT,
        _ABOUT_TARGET,
        r"(?i)\btarget\w*\b.*\bmanagement account\b|\bmanagement account\b.*\btarget|"
        r"\bnot (?:supported|allowed|available|possible)\b.* (?:for|on|in|of) (?:the |an? |your )?"
        r"(?:organization'?s? )?management account|"
        r"\b(?:root|session)\b.*\b(?:of|for|on|into) (?:the |an? |your )?(?:organization'?s? )?management account",
        "account '{account}' is the management account itself: AssumeRoot works on member accounts",
        ("use the root user of the management account for its own root tasks",),
    ),
    Refusal(
        ROOT,
        _ABOUT_TARGET,
        r"(?i)\bdelegated admin|\bmanagement account\b",
        "the caller is neither in the management account nor in the delegated administrator for IAM",
        ("use source credentials of one of these two accounts; caller: {caller}", PROPAGATION),
    ),
    Refusal(
        ROOT,
        _ABOUT_TARGET,
        r"(?i)\b(?:suspended|closed|pending closure|not active)\b",
        "account '{account}' is suspended or closed",
        ("AWS Organizations shows its state; a closed account can be reopened for 90 days",),
    ),
    Refusal(
        ROOT,
        _ABOUT_TARGET,
        r"(?i)\b(?:not|isn't|doesn't|outside)\b(?! authori[sz]ed).*\b(?:organi[sz]ations?|member account)\b",
        "account '{account}' is not in the organization of the caller",
        ("check the account id, and that the source credentials belong to the right organization",),
    ),
    Refusal(
        ROOT,
        "AccountNotFound.*",
        "",
        "account '{account}' is not in the organization of the caller",
        ("check the account id, and that the source credentials belong to the right organization",),
    ),
    Refusal(
        ROOT,
        _DENIED,
        r"(?i)\broot (?:user|account|credential)s?\b.*\b(?:cannot|can't|may not|not)\b|"
        r"\b(?:cannot|can't|may not|not)\b.*\b(?:by|with|as|using) (?:the )?(?:account )?root\b",
        "AssumeRoot cannot be called with a root user's own credentials",
        ("use a role or user of the management account",),
    ),
    Refusal(
        ROOT,
        _DENIED,
        "",
        "not allowed: {action} on '{principal}' with the task {task}",
        (
            "the caller ({caller}) needs sts:AssumeRoot on {principal}, where sts:TaskPolicyArn is {task_arn}",
            "it must be in the management account or IAM's delegated administrator, with the account a member; "
            + PROPAGATION,
        ),
    ),
    Refusal(
        ROOT,
        "InvalidAction|UnknownOperation.*",
        "",
        "the endpoint in '{region}' does not know AssumeRoot",
        ("AssumeRoot needs a regional STS endpoint: check 'sts_region' and 'endpoint_url'",),
    ),
    # AssumeRole and GetSessionToken
    Refusal(
        ROLE,
        _DENIED,
        _ORGANIZATION,
        "a {kind} denies {action} on '{target}'",
        ("an administrator of the organization has to change the policy{policy}", _CALLER),
    ),
    Refusal(
        ROLE,
        _DENIED,
        _OTHER,
        "not allowed: {action} on '{target}', because of the {kind}",
        (_CALLER, "change the policy{policy}, or use another source"),
    ),
    Refusal(
        SESSION,
        _DENIED,
        r"explicit deny|because no .* allows",
        "a policy denies {action} to '{caller}'",
        ("AWS says: {message}",),
    ),
    Refusal(
        ANY,
        _DENIED,
        _CODE_REJECTED,
        "AWS did not accept the MFA code for '{device}'",
        ("wait for the next code: each works only once",),
        CodeRejectedError,
    ),
    Refusal(
        ANY,
        _DENIED,
        r"(?i)MultiFactorAuthentication failed",
        "AWS cannot check an MFA code of '{device}' for this user",
        ("'mfa_serial' must be a device of the user that the source credentials belong to",),
    ),
    Refusal(
        ROLE,
        _DENIED,
        r"(?i)Roles may not be assumed by root",
        "a root user cannot assume a role",
        ("use the credentials of an IAM user or of a role",),
    ),
    Refusal(
        ROLE,
        _DENIED,
        r"no identity-based policy allows",
        "not allowed: {action} on '{target}'",
        ("the caller ({caller}) needs a policy that allows {action} on this role",),
    ),
    Refusal(
        ROLE,
        _DENIED,
        r"not authorized to perform: sts:(?:TagSession|SetSourceIdentity)",
        "not allowed: {action} on '{target}'",
        ("the role's trust policy has to allow {action} too, not only sts:AssumeRole",),
    ),
    Refusal(
        ROLE,
        _DENIED,
        "",
        "not allowed: {action} on '{target}'",
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
        "Validation.*",
        r"1 hour session limit",
        "a role assumed by another role's session lasts at most 1 hour, and {duration} s were asked for",
        ("set duration_seconds = 3600 in this profile",),
    ),
    Refusal(
        ROLE,
        "Validation.*",
        r"MaxSessionDuration",
        "role '{target}' does not allow sessions of {duration} s",
        ("lower 'duration_seconds', or raise the role's maximum session duration",),
    ),
    Refusal(
        SESSION,
        _DENIED,
        r"session credentials",
        "{source} is temporary, and only a long-lived access key can call GetSessionToken",
        ("name a source with a long-lived key; a role may have its code sent along by mfa_session = false",),
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
        THROTTLING,
        "",
        "STS is throttling requests of this account",
        ("wait a little; many callers with different profiles at once cause this",),
        UnreachableError,
    ),
    Refusal(
        ANY,
        "ServiceUnavailable.*|ServiceFailure|Internal(?:Server)?(?:Failure|Error|Exception)|RequestTimeout(?:Exception)?|50[0-9]",
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
    code, message = printable(code, 80), printable(message, MESSAGE_LIMIT)
    prose = re.sub(r"\barn:\S+", "ARN", message)  # the name of a role must not be read as a reason
    for row in TABLE:
        found = re.search(row.message, prose)
        if api in row.apis and found and re.fullmatch(row.code, code):
            known = {**_quoted(api, code, message), **found.groupdict(), **facts}
            known["feature"] = feature_of(known.get("task", ""))
            hints = (hint.format_map(known) for hint in row.hints)
            meant = _task_meant(facts) if issubclass(row.error, RefusedError) else ()
            return row.error(row.sentence.format_map(known), *meant, *hints, code=code)
    raise AssertionError("the last row matches everything")


def _task_meant(facts: Mapping[str, str]) -> tuple[str, ...]:
    """A hint at the root task that an ARN of AWS's misspells; AWS may have added one that we do not know."""
    arn, task = facts.get("task_arn", ""), facts.get("task", "")
    known = task in TASKS and arn.endswith(f":policy/root-task/{task}")
    return () if known or ":iam::aws:" not in arn else nearest(task, TASKS)


def is_throttling(code: str | None) -> bool:
    """Whether this code of AWS's asks for fewer requests."""
    return re.fullmatch(THROTTLING, code or "") is not None


def _quoted(api: str, code: str, message: str) -> dict[str, str]:
    """What a sentence may quote of AWS's message."""
    caller = re.search(r"\bUser: (\S+)", message)
    action = re.search(r"\bperform: (\w+:\w+)", message)
    policy = re.search(r"\barn:[\w-]+:(?:organizations|iam)::\S*:policy/[\w+=,.@/-]+", message)
    return {
        "caller": caller[1] if caller else "the source credentials",
        "action": action[1] if action else f"sts:{api}",
        "policy": f" {policy[0]}" if policy else "",
        "api": api,
        "code": code or "no code",
        "message": message or "nothing more",
    }


def spell_skew(seconds: float) -> str:
    """How far our clock is off, as the end of 'it is ...': AWS's clock is `seconds` ahead of ours."""
    size = abs(seconds)
    amount = f"{size / 60:.0f} min" if size >= 120 else f"{size:.0f} s"
    return f"{amount} behind" if seconds > 0 else f"{amount} ahead of"
