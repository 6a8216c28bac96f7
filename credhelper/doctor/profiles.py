"""Each profile by itself, as far as that takes no network: its call, its endpoint, whom it would ask."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from credhelper.config.aws_names import short_task
from credhelper.config.keys import ROLE, ROOT
from credhelper.doctor.agent import switched_off
from credhelper.doctor.cases import Broken, every
from credhelper.doctor.findings import Finding, advice, fine, note, problem, trouble
from credhelper.errors import HumanNeededError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credhelper.doctor.cases import Case
    from credhelper.doctor.runner import Visit
    from credhelper.sessions.calls import StsCall

CHAINED_ROLE_SECONDS: Final = 3600
"""What a session lasts at most that the session of another role has assumed (AssumeRole, API reference)."""


def calls(visit: Visit) -> Iterator[Finding]:
    """Valid, without a loop, to an endpoint that is sound; and what a person would be asked."""
    urls: dict[str, None] = {}
    for case in every(visit):
        if isinstance(case, Broken):
            yield _no_call(case)
            continue
        call = case.call
        checks = (_region(call, visit), _bundle(call), _duration(call), _people(call), _cache(call, visit))
        found = [finding for check in checks for finding in check]
        if not any(finding.level == "problem" for finding in found):
            yield fine("profile", _spell(case), case.name)
        for finding in found:
            yield replace(finding, profile=case.name)
        urls |= {call.endpoint.url: None} if call.endpoint.url else {}
    yield from map(_override, urls)


def _no_call(case: Broken) -> Finding:
    if isinstance(case.error, HumanNeededError):
        return note("profile", case.error.sentence, *advice(case.error), profile=case.name)
    return trouble("profile", case.error, case.name)


def _spell(case: Case) -> str:
    """What it does, in a line."""
    call = case.call
    profile, where = call.profile, f"in {call.endpoint.region}"
    account = f"{profile.account_id} ({profile.account_name})" if profile.account_name else profile.account_id
    if profile.kind == ROLE:
        return f"AssumeRole {profile.get('role_arn')} {where}"
    if profile.kind == ROOT:
        target = f"on {account}" if case.aimed else f"on {case.name}@ACCOUNT"
        return f"AssumeRoot {short_task(call.parameters['TaskPolicyArn']['arn'])} {target} {where}"
    return f"GetSessionToken {where}"


def _bundle(call: StsCall) -> Iterator[Finding]:
    path = call.endpoint.ca_bundle
    if path is not None and not os.path.exists(path):
        yield trouble("endpoint", call.profile.error_at("ca_bundle", f"names no file: '{path}'"))


def _region(call: StsCall, visit: Visit) -> Iterator[Finding]:
    environ, profile = visit.app.environ, call.profile
    named = (profile.get("sts_region"), profile.get("region"), call.source.region, environ.get("AWS_REGION"))
    if not any((*named, environ.get("AWS_DEFAULT_REGION"))):
        sentence = f"nothing names a region, so '{call.endpoint.region}' is used"
        yield note("region", sentence, "set 'region' in [defaults]")


def _override(url: str) -> Finding:
    sentence = f"STS is asked at '{url}' and not at AWS's own endpoint"
    who = "'endpoint_url' or AWS_ENDPOINT_URL_STS says so"
    parts = urlsplit(url)
    if parts.scheme == "http" and not _is_this_machine(parts.hostname or ""):
        return problem("endpoint", f"{sentence}, and its answers travel unencrypted", f"{who}: use https")
    return note("endpoint", sentence, f"{who}: unset it to use AWS's own")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _duration(call: StsCall) -> Iterator[Finding]:
    seconds = call.parameters.get("DurationSeconds", 0)
    chained = call.parent is not None and any(hop.profile.kind == ROLE for hop in call.parent.hops())
    if call.profile.kind == ROLE and chained and seconds > CHAINED_ROLE_SECONDS:
        yield problem(
            "duration",
            f"it rests on another role, so AWS refuses 'duration_seconds' above {CHAINED_ROLE_SECONDS}",
            f"set duration_seconds = {CHAINED_ROLE_SECONDS} in this profile",
        )


def _people(call: StsCall) -> Iterator[Finding]:
    """What a mint would ask of a person."""
    ahead = f"'credhelper login {call.profile.name}' asks ahead of time"
    for hop in call.hops():
        if device := hop.parameters.get("SerialNumber"):
            yield note("human", f"a mint asks for an MFA code of '{device}'", ahead)
    if call.profile.confirm:
        yield note("human", "a mint asks somebody to confirm it", ahead)
    if call.profile.require_reason:
        yield note("human", "a mint needs a reason", "give it with --reason or in CREDHELPER_REASON")


def _cache(call: StsCall, visit: Visit) -> Iterator[Finding]:
    kept = call.profile.cache
    if kept == "memory" and (why := switched_off(visit.app)):
        yield note(
            "cache",
            f"it is to be kept in the agent's memory, and {why}: every call mints",
            "set 'cache' to true",
        )
