"""Checks of the source credentials: whether they work, STS is reachable, and the clock is right."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from credhelper import expiry
from credhelper.config.keys import ROLE, ROOT
from credhelper.doctor import organization
from credhelper.doctor.findings import fine, from_error, hints_for, note, problem
from credhelper.doctor.runner import ASK_SECONDS, SourceIdentity, valid_profiles
from credhelper.errors import CredhelperError, InteractionError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from credhelper.doctor.findings import Finding
    from credhelper.doctor.runner import Examination, ValidProfile
    from credhelper.sessions.calls import Endpoint, StsCall

SOURCE_SECONDS: Final = 8.0
GENERATED_NAME: Final = re.compile(
    r"i-[0-9a-f]{8,}|(botocore|aws-?(cli|sdk)|session)\b.*|[\d-]*|.*\d{9,}.*", re.IGNORECASE
)
"""Session names that SDKs, instances and jobs generate."""


def checks(examination: Examination) -> Iterator[Finding]:
    """Check each source once, for all profiles that use it, and for AssumeRoot its organization."""
    reachable: dict[Endpoint, bool] = {}
    silent: dict[str, UnreachableError] = {}
    for group in _by_source(valid_profiles(examination)):
        call = group[0].call
        if call.endpoint not in reachable:
            reachable[call.endpoint] = yield from _clock(call, examination)
        if not reachable[call.endpoint]:
            continue
        identity = yield from _identity(call, examination, silent)
        roots = [each for each in group if each.is_root]
        if identity is not None and roots:
            yield _person(call, identity)
            yield from organization.checks(identity, roots)


def _by_source(profiles: Iterable[ValidProfile]) -> list[list[ValidProfile]]:
    found: dict[tuple[str, Endpoint], list[ValidProfile]] = {}
    for each in profiles:
        found.setdefault((each.call.signer_identity, each.call.endpoint), []).append(each)
    return list(found.values())


def _clock(call: StsCall, examination: Examination) -> Generator[Finding, None, bool]:
    """Compare the clock with that of STS, which needs no credentials; returns whether STS answered."""
    from credhelper.aws import errors
    from credhelper.aws.services import Services

    region = call.endpoint.region
    try:
        ahead = Services(call.endpoint, call.source).clock(examination.seconds(ASK_SECONDS))
    except CredhelperError as error:
        yield from_error("endpoint", error)
        return False
    if ahead is None:
        yield note("clock", f"the response of STS in '{region}' has no date", "check the clock yourself")
    elif abs(ahead) > expiry.SKEW_WORTH_SAYING:
        yield problem(
            "clock",
            f"this machine's clock is wrong: it is {errors.spell_skew(ahead)} AWS's",
            "set the clock: AWS refuses signatures that are more than 5 minutes off",
        )
    else:
        yield fine("clock", f"STS in '{region}' answers, and the clock agrees with it")
    return True


def _identity(
    call: StsCall, examination: Examination, silent: dict[str, UnreachableError]
) -> Generator[Finding, None, SourceIdentity | None]:
    """Resolve the source credentials; returns the identity that AWS knows them by."""
    from credhelper.aws.services import Services

    if call.parent is not None and call.parent.profile.kind == ROOT:
        sentence = f"{call.signer} is a root session: doctor mints it only with --probe"
        yield note("source", sentence, "add --probe")
        return None
    provider = examination.provider(SOURCE_SECONDS)
    try:
        access_key = provider.source_key(call)
        services = Services(call.endpoint, call.source)
        who = services.ask(access_key, "sts", "GetCallerIdentity", examination.seconds(ASK_SECONDS))
    except InteractionError as error:
        yield note("source", f"not checked, because it would prompt: {error.sentence}", *hints_for(error))
    except CredhelperError as error:
        yield from_error("source", error)
    else:
        yield fine("source", f"{call.signer} is '{who['Arn']}'")
        return SourceIdentity(services, access_key, who["Account"], who["Arn"], examination, silent)
    return None


def _person(call: StsCall, identity: SourceIdentity) -> Finding:
    """Whether the session that calls AssumeRoot names a person: AssumeRoot itself takes no session name."""
    kind, _, name = identity.arn.split(":", 5)[-1].partition("/")
    if kind == "root":
        sentence = "AssumeRoot cannot be called with a root user's own credentials"
        return problem("person", sentence, "use a role or an IAM user")
    fixed = _fixed_name(call)
    if fixed is None and not (kind == "assumed-role" and GENERATED_NAME.fullmatch(name.rpartition("/")[2])):
        return fine("person", f"CloudTrail will show '{name}' as the caller of AssumeRoot")
    return note(
        "person",
        f"the session that calls AssumeRoot does not name a person: '{fixed or name}'",
        'let its source be a role with role_session_name = "{user}@{host}", or one of IAM Identity Center',
    )


def _fixed_name(call: StsCall) -> str | None:
    """The session name of the role that calls AssumeRoot, if it is the same for every user."""
    if call.parent is None or call.parent.profile.kind != ROLE:
        return None
    profile = call.parent.profile
    names = [profile.get("role_session_name"), profile.get("source_identity") or ""]
    return None if any("{user}" in name for name in names) else names[0]
