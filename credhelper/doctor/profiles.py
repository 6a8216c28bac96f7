"""Checks of each profile that need no network: its call, its endpoint, its prompts."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from credhelper.config.aws_names import short_task
from credhelper.config.keys import ROLE, ROOT
from credhelper.doctor.findings import Finding, fine, from_error, hints_for, note, problem
from credhelper.doctor.machine import agent_off
from credhelper.doctor.runner import InvalidProfile, all_profiles
from credhelper.errors import InteractionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credhelper.app import App
    from credhelper.doctor.runner import Examination, ValidProfile
    from credhelper.sessions.calls import StsCall

CHAINED_ROLE_SECONDS: Final = 3600
"""The longest session of a role that another role's session assumes (AssumeRole, API reference)."""


def calls(examination: Examination) -> Iterator[Finding]:
    """Whether each profile is valid and has no loop, and which prompts to expect."""
    app = examination.app
    urls: dict[str, None] = {}
    for each in all_profiles(examination):
        if isinstance(each, InvalidProfile):
            yield _invalid(each)
            continue
        call = each.call
        checks = (_region(call, app), _ca_bundle(call), _duration(call), _prompts(call), _cache(call, app))
        found = [finding for check in checks for finding in check]
        if not any(finding.level == "problem" for finding in found):
            yield fine("profile", _summary(each), each.name)
        for finding in found:
            yield replace(finding, profile=each.name)
        if call.endpoint.url:
            urls[call.endpoint.url] = None
    yield from map(_endpoint, urls)


def _invalid(profile: InvalidProfile) -> Finding:
    error = profile.error
    if isinstance(error, InteractionError):
        return note("profile", error.sentence, *hints_for(error), profile=profile.name)
    return from_error("profile", error, profile.name)


def _summary(checked: ValidProfile) -> str:
    call = checked.call
    profile, where = call.profile, f"in {call.endpoint.region}"
    account = f"{profile.account_id} ({profile.account_name})" if profile.account_name else profile.account_id
    if profile.kind == ROLE:
        return f"AssumeRole {profile.get('role_arn')} {where}"
    if profile.kind == ROOT:
        target = account if checked.has_target else f"{checked.name}@ACCOUNT"
        return f"AssumeRoot {short_task(call.parameters['TaskPolicyArn']['arn'])} on {target} {where}"
    return f"GetSessionToken {where}"


def _ca_bundle(call: StsCall) -> Iterator[Finding]:
    path = call.endpoint.ca_bundle
    if path is not None and not os.path.exists(path):
        yield from_error("endpoint", call.profile.error_at("ca_bundle", f"names no file: '{path}'"))


def _region(call: StsCall, app: App) -> Iterator[Finding]:
    profile, environ = call.profile, app.environ
    regions = (profile.get("sts_region"), profile.get("region"), call.source.region)
    if not any((*regions, environ.get("AWS_REGION"), environ.get("AWS_DEFAULT_REGION"))):
        sentence = f"no region is configured, so '{call.endpoint.region}' is used"
        yield note("region", sentence, "set 'region' in [defaults]")


def _endpoint(url: str) -> Finding:
    sentence = f"STS is called at '{url}', not at AWS's own endpoint"
    origin = "'endpoint_url' or AWS_ENDPOINT_URL_STS sets it"
    parts = urlsplit(url)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        return problem("endpoint", f"{sentence}, and sessions travel unencrypted", f"{origin}: use https")
    return note("endpoint", sentence, f"{origin}: unset it to use AWS's own")


def _is_loopback(host: str) -> bool:
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
            f"its source is another role, so AWS refuses 'duration_seconds' above {CHAINED_ROLE_SECONDS}",
            f"set duration_seconds = {CHAINED_ROLE_SECONDS} in this profile",
        )


def _prompts(call: StsCall) -> Iterator[Finding]:
    login = f"run 'credhelper login {call.profile.name}' to answer the prompt now"
    for hop in call.hops():
        if device := hop.parameters.get("SerialNumber"):
            yield note("human", f"a mint prompts for an MFA code of '{device}'", login)
    if call.profile.confirm:
        yield note("human", "a mint prompts for a confirmation", login)
    if call.profile.require_reason:
        yield note("human", "a mint needs a reason", "give it with --reason or in CREDHELPER_REASON")


def _cache(call: StsCall, app: App) -> Iterator[Finding]:
    if call.profile.cache == "memory" and (why := agent_off(app)):
        sentence = f"sessions are kept in the agent's memory only, and {why}: every call mints"
        yield note("cache", sentence, "set 'cache' to true")
