"""Whose credentials make the calls: whether they are there, STS can be reached, and its clock is ours."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from credhelper import expiry
from credhelper.config.keys import ROLE, ROOT
from credhelper.deadline import Deadline
from credhelper.doctor import organization
from credhelper.doctor.cases import sound
from credhelper.doctor.findings import advice, fine, note, problem, trouble
from credhelper.doctor.runner import ASK_SECONDS, Caller
from credhelper.errors import CredhelperError, HumanNeededError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from credhelper.doctor.cases import Case
    from credhelper.doctor.findings import Finding
    from credhelper.doctor.runner import Visit
    from credhelper.sessions.calls import Endpoint, StsCall

SOURCE_SECONDS: Final = 8.0
MACHINE: Final = re.compile(
    r"i-[0-9a-f]{8,}|(botocore|aws-?(cli|sdk)|session)\b.*|[\d-]*|.*\d{9,}.*", re.IGNORECASE
)
"""Session names that SDKs, instances and jobs give themselves."""


def checks(visit: Visit) -> Iterator[Finding]:
    """Each source once, however many profiles rest on it, and what it may see of the organization."""
    reached: dict[Endpoint, bool] = {}
    silent: dict[str, UnreachableError] = {}
    for group in _by_source(sound(visit)):
        call = group[0].call
        if call.endpoint not in reached:
            reached[call.endpoint] = yield from _clock(call, visit)
        if not reached[call.endpoint]:
            continue
        caller = yield from _caller(call, visit, silent)
        roots = [case for case in group if case.is_root]
        if caller is not None and roots:
            yield _person(call, caller)
            yield from organization.checks(caller, roots)


def _by_source(cases: Iterable[Case]) -> list[list[Case]]:
    found: dict[tuple[str, Endpoint], list[Case]] = {}
    for case in cases:
        found.setdefault((case.call.signer_identity, case.call.endpoint), []).append(case)
    return list(found.values())


def _clock(call: StsCall, visit: Visit) -> Generator[Finding, None, bool]:
    """STS's clock, which it tells anybody; returns whether STS was there to tell it."""
    from credhelper.aws import errors
    from credhelper.aws.services import Services

    region = call.endpoint.region
    try:
        ahead = Services(call.endpoint, call.source).clock(visit.seconds(ASK_SECONDS))
    except CredhelperError as error:
        yield trouble("endpoint", error)
        return False
    if ahead is None:
        yield note("clock", f"STS in '{region}' does not say what time it is", "look at the clock yourself")
    elif abs(ahead) > expiry.SKEW_WORTH_SAYING:
        yield problem(
            "clock",
            f"this machine's clock is wrong: it is {errors.spell_skew(ahead)} AWS's",
            "set the clock: AWS refuses signatures that are more than 5 minutes off",
        )
    else:
        yield fine("clock", f"STS in '{region}' answers, and its clock is ours")
    return True


def _caller(
    call: StsCall, visit: Visit, silent: dict[str, UnreachableError]
) -> Generator[Finding, None, Caller | None]:
    """The keys that would sign the call; returns whom AWS knows by them."""
    from credhelper.aws.services import Services

    if call.parent is not None and call.parent.profile.kind == ROOT:
        yield note(
            "source",
            f"{call.signer} is a root session: it is not minted for a look",
            "add --probe, which mints it",
        )
        return None
    app = replace(visit.app, deadline=Deadline(visit.seconds(SOURCE_SECONDS)))
    try:
        access_key = app.provider().source_key(call)
        services = Services(call.endpoint, call.source)
        who = services.ask(access_key, "sts", "GetCallerIdentity", visit.seconds(ASK_SECONDS))
    except HumanNeededError as error:
        yield note(
            "source", f"not looked at, because a person would be asked: {error.sentence}", *advice(error)
        )
    except CredhelperError as error:
        yield trouble("source", error)
    else:
        yield fine("source", f"{call.signer} is '{who['Arn']}'")
        return Caller(services, access_key, who["Account"], who["Arn"], visit, silent)
    return None


def _person(call: StsCall, caller: Caller) -> Finding:
    """Whether the session that calls AssumeRoot says who it was: AssumeRoot itself takes no name."""
    kind, _, name = caller.arn.split(":", 5)[-1].partition("/")
    if kind == "root":
        return problem(
            "person",
            "AssumeRoot cannot be called with a root user's own credentials",
            "use a role or an IAM user",
        )
    fixed = _fixed_name(call)
    if fixed is None and not (kind == "assumed-role" and MACHINE.fullmatch(name.rpartition("/")[2])):
        return fine("person", f"the record of AWS will show '{name}' before AssumeRoot")
    return note(
        "person",
        f"the session before AssumeRoot does not say who it was: '{fixed or name}'",
        'let its source be a role with role_session_name = "{user}@{host}", or one of IAM Identity Center',
    )


def _fixed_name(call: StsCall) -> str | None:
    """The session name that stands before AssumeRoot where it is the same for everybody."""
    if call.parent is None or call.parent.profile.kind != ROLE:
        return None
    profile = call.parent.profile
    names = [profile.get("role_session_name"), profile.get("source_identity") or ""]
    return None if any("{user}" in name for name in names) else names[0]
