"""Errors of AWS and of botocore as sentences with something to do about them.

A row of the table matches by operation, error code and message. AWS documents the codes and the form of
"not authorized to perform"; a message that no row knows is quoted as it came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import botocore.exceptions as boto

from credhelper.config.aws_names import PROPAGATION, TASKS
from credhelper.config.toml import nearest
from credhelper.deadline import LateError
from credhelper.errors import (
    CodeRejectedError,
    CredhelperError,
    RefusedError,
    SourceError,
    UnreachableError,
    printable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ANY: Final = ("AssumeRoot", "AssumeRole", "GetSessionToken")
ROOT: Final = ("AssumeRoot",)
ROLE: Final = ("AssumeRole",)
SESSION: Final = ("GetSessionToken",)

MESSAGE_LIMIT: Final = 500
"""Characters of AWS's message that are quoted."""

PORTAL: Final = "a captive portal or a proxy may be in the way, or 'endpoint_url' is wrong"


@dataclass(frozen=True)
class Refusal:
    """One reason for a refusal. The call's facts and the pattern's groups fill in sentence and hints."""

    apis: tuple[str, ...]
    code: str
    message: str
    sentence: str
    hints: tuple[str, ...] = ()
    error: type[CredhelperError] = RefusedError


THROTTLING: Final = "Throttling.*|TooManyRequests.*|RequestLimitExceeded|SlowDown"
EXPIRED: Final = "ExpiredToken(?:Exception)?"
UNKNOWN_KEY: Final = "InvalidClientTokenId|UnrecognizedClientException|InvalidAccessKeyId"

_DENIED = "AccessDenied(?:Exception)?"
_ORGANIZATION = r"(?:explicit deny in an?|because no) (?P<kind>(?:service|resource) control policy)"
_OTHER = (
    r"(?:explicit deny in an?|because no(?= session| permissions| VPC)) (?P<kind>[\w -]*?(?:policy|boundary))"
)
_CODE_REJECTED = r"(?i)MultiFactorAuthentication failed with\b.*\b(?:invalid MFA|one time pass code)"
_CALLER = "caller: {caller}"
_QUOTE = "AWS says: {message}"

TABLE: Final[tuple[Refusal, ...]] = (
    Refusal((*ROOT, *ROLE), _DENIED, _ORGANIZATION,
            "a {kind} denies {action} on {resource}",
            ("an administrator of the organization has to change the policy{policy}",
             _CALLER)),
    Refusal((*ROOT, *ROLE), _DENIED, _OTHER,
            "not allowed: {action} on {target}, because of the {kind}",
            (_CALLER,
             "change the policy{policy}, or use another source")),
    Refusal(ROOT, _DENIED, "not authorized to perform",
            "not allowed: {action} on {target}",
            ("the caller ({caller}) needs sts:AssumeRoot on {principal}, where sts:TaskPolicyArn is {task_arn}",
             f"it must be in the management account or IAM's delegated administrator; {PROPAGATION}")),
    Refusal(ROOT, _DENIED, "",
            "not allowed: {action} on {target}",
            (_QUOTE,
             "'credhelper doctor' checks the caller ({caller}), the account and the organization's features")),
    Refusal(ROOT, "InvalidAction|UnknownOperation.*", "",
            "the endpoint in '{region}' does not know AssumeRoot",
            ("AssumeRoot needs a regional STS endpoint: check 'sts_region' and 'endpoint_url'",)),
    Refusal(SESSION, _DENIED, r"explicit deny|because no .* allows",
            "a policy denies {action} to '{caller}'",
            (_QUOTE,)),
    Refusal(ANY, _DENIED, _CODE_REJECTED,
            "AWS did not accept the MFA code for '{device}'",
            ("wait for the next code: each works only once",), CodeRejectedError),
    Refusal(ANY, _DENIED, r"(?i)MultiFactorAuthentication failed",
            "AWS cannot check an MFA code of '{device}' for this user",
            ("'mfa_serial' must be a device of the user that the source credentials belong to",)),
    Refusal(ROLE, _DENIED, r"(?i)Roles may not be assumed by root",
            "a root user cannot assume a role",
            ("use the credentials of an IAM user or of a role",)),
    Refusal(ROLE, _DENIED, "no identity-based policy allows",
            "not allowed: {action} on {target}",
            ("the caller ({caller}) needs a policy that allows {action} on this role",)),
    Refusal(ROLE, _DENIED, r"not authorized to perform: sts:(?:TagSession|SetSourceIdentity)",
            "not allowed: {action} on {target}",
            ("the role's trust policy has to allow {action} too, not only sts:AssumeRole",)),
    Refusal(ROLE, _DENIED, "",
            "not allowed: {action} on {target}",
            ("the role's trust policy must name the caller ({caller}); check 'external_id' and MFA conditions",
             "the caller may need a policy that allows it, too; AWS says the same of a role that does not exist")),
    Refusal(ROLE, "Validation.*", r"1 hour session limit",
            "a role assumed by another role's session lasts at most 1 hour, and {duration} s were asked for",
            ("set duration_seconds = 3600 in this profile",)),
    Refusal(ROLE, "Validation.*", r"MaxSessionDuration",
            "role {target} does not allow sessions of {duration} s",
            ("lower 'duration_seconds', or raise the role's maximum session duration",)),
    Refusal(SESSION, _DENIED, r"session credentials",
            "{source} is temporary, and only a long-lived access key can call GetSessionToken",
            ("name a source with a long-lived key; a role may have its code sent along by mfa_session = false",)),
    Refusal(ANY, "RegionDisabledException", "",
            "STS is not activated in region '{region}' for this account",
            ("set 'sts_region' to another region, or activate this one in the account settings of IAM",)),
    Refusal(ANY, EXPIRED, "",
            "the source credentials have expired: {source}",
            ("log in again where these credentials come from",), SourceError),
    Refusal(ANY, UNKNOWN_KEY, "",
            "AWS does not know the access key of {source}: it was deleted or deactivated",
            ("replace the key, or choose another source",), SourceError),
    Refusal(ANY, "SignatureDoesNotMatch|RequestExpired|RequestTimeTooSkewed|InvalidSignatureException|AuthFailure", r"(?i)signature (?:expired|not yet current)|too skewed|request has expired",
            "this machine's clock is wrong: it is {skew} AWS's",
            ("set the clock, then try again",)),
    Refusal(ANY, "SignatureDoesNotMatch|InvalidSignatureException", "",
            "the secret access key of {source} does not belong to its access key id",
            ("enter the key again",), SourceError),
    Refusal(ANY, THROTTLING, "",
            "STS is throttling requests of this account",
            ("wait a little; many callers with different profiles at once cause this",), UnreachableError),
    Refusal(ANY, "ServiceUnavailable.*|ServiceFailure|Internal(?:Server)?(?:Failure|Error|Exception)|RequestTimeout(?:Exception)?|50[0-9]", "",
            "STS in '{region}' is failing: {code}",
            ("try again, or set 'sts_region' to another region",), UnreachableError),
    Refusal(ANY, "PackedPolicyTooLarge", "",
            "session policy, policy ARNs and tags together are too large",
            (_QUOTE,)),
    Refusal(ANY, "MalformedPolicyDocument", "",
            "STS does not understand the session policy",
            (_QUOTE,)),
    Refusal(ANY, ".*", "", "STS refused {api}: {code}", (_QUOTE,)),
)  # fmt: skip

_TRANSPORT: Final[tuple[tuple[Any, ...], ...]] = (
    (boto.SSLError, "the TLS connection to {peer} failed: {error}",
     "behind a proxy that inspects TLS, set 'ca_bundle' to its certificate"),
    (boto.ProxyConnectionError, "the proxy on the way to {peer} cannot be reached: {error}"),
    (boto.EndpointConnectionError, "cannot connect to {peer}", "check the network, 'region' and 'endpoint_url'"),
    (boto.ConnectTimeoutError, "no connection to {peer} in time", "check the network and the proxy"),
    (boto.ReadTimeoutError, "{peer} did not answer in time"),
    (boto.ConnectionClosedError, "{peer} closed the connection without an answer"),
    (boto.HTTPClientError, "no answer from {peer}: {error}"),
)  # fmt: skip


def translate(
    error: Exception, peer: str, seconds: float, refusal: Callable[[Mapping[str, Any]], CredhelperError]
) -> CredhelperError:
    """What a call to `peer` raised within its `seconds`; `refusal` words an answer of AWS that is an error."""
    if isinstance(error, CredhelperError):
        return error
    if isinstance(error, LateError):
        return UnreachableError(f"{peer} did not answer within {seconds:.0f} s")
    if isinstance(error, boto.ClientError):
        return refusal(error.response)
    if isinstance(error, boto.ParamValidationError):
        return CredhelperError(f"botocore does not accept the request: {error}")
    for kind, sentence, *hints in _TRANSPORT:
        if isinstance(error, kind):
            cause = error.kwargs.get("error", "")
            if type(error) is boto.HTTPClientError and not isinstance(cause, str):
                cause = type(cause).__name__  # http.client quotes the header that it refuses
            return UnreachableError(sentence.format(peer=peer, error=cause), *hints)
    return UnreachableError(f"{peer} sent an answer that cannot be read ({type(error).__name__})", PORTAL)


def explain(api: str, error: Mapping[str, Any], facts: Mapping[str, str]) -> CredhelperError:
    """The error for STS's refusal of a call; `facts` fill in the sentence."""
    code, message = _code(error), printable(str(error.get("Message", "")), MESSAGE_LIMIT)
    prose = re.sub(r"\barn:\S+", "ARN", message)  # the name of a role must not be read as a reason
    for row in TABLE:
        found = re.search(row.message, prose)
        if api in row.apis and found and re.fullmatch(row.code, code):
            known = {**_quoted(api, code, message), **found.groupdict(), **facts}
            hints = (hint.format_map(known) for hint in row.hints)
            meant = _task_meant(facts) if issubclass(row.error, RefusedError) else ()
            return row.error(row.sentence.format_map(known), *meant, *hints, code=code)
    raise AssertionError("the last row matches everything")


def explain_other(operation: str, error: Mapping[str, Any]) -> CredhelperError:
    """The error for AWS's refusal of a call that mints nothing, such as 'iam:ListAccessKeys'."""
    code, message = _code(error), printable(str(error.get("Message", "")), MESSAGE_LIMIT)
    for codes, kind, sentence in (
        (THROTTLING, UnreachableError, f"AWS is throttling '{operation}'"),
        (UNKNOWN_KEY, SourceError, f"AWS does not know the access key that signed '{operation}'"),
        (f"{EXPIRED}|RequestExpired", SourceError, f"the session that signed '{operation}' has expired"),
    ):
        if re.fullmatch(codes, code):
            return kind(sentence, code=code)
    return RefusedError(f"AWS refused '{operation}' ({code or 'no code'}): {message}", code=code)


def is_throttling(code: str | None) -> bool:
    """Whether this error code of AWS's asks for fewer requests."""
    return re.fullmatch(THROTTLING, code or "") is not None


def _code(error: Mapping[str, Any]) -> str:
    return printable(str(error.get("Code", "")), 80)


def _task_meant(facts: Mapping[str, str]) -> tuple[str, ...]:
    """A hint at the root task that an ARN of AWS's misspells; AWS may have added one that we do not know."""
    arn, task = facts.get("task_arn", ""), facts.get("task", "")
    known = task in TASKS and arn.endswith(f":policy/root-task/{task}")
    return () if known or ":iam::aws:" not in arn else nearest(task, TASKS)


def _quoted(api: str, code: str, message: str) -> dict[str, str]:
    """The parts of AWS's message that a sentence may quote."""
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
