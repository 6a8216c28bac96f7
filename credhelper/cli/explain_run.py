"""`explain`: the calls that a profile comes to, where each of its keys stands, and what it would ask a human.

Nothing is started and nothing sent: what AWS would say is not looked at. What is wrong is a part of the
answer, so that everything up to there is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from credhelper import expiry
from credhelper.cli import provenance
from credhelper.config.aws_names import FALLBACK_REGION, TASKS, short_task
from credhelper.config.keys import API, BY_NAME, DURATIONS, ROLE, ROOT, SESSION
from credhelper.config.profiles import FLAG, Profile, Setting
from credhelper.errors import ConfigError, CredhelperError, HumanNeededError, printable
from credhelper.sessions import caller, calls, consent, parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from credhelper.app import App
    from credhelper.config.keys import Kind
    from credhelper.sessions.calls import StsCall

Document = dict[str, Any]

LIVES: Final[dict[Kind, int]] = {ROOT: DURATIONS[ROOT][1], ROLE: 3600, SESSION: 43200}
"""Seconds that a session lasts where no duration is set: AWS's own defaults, but for AssumeRoot."""

_NOWHERE: Final = {"endpoint": None, "key": None}

UNSAID: Final = "REASON"
"""Stands where {reason} does, as long as nobody has given one."""


@dataclass(frozen=True)
class Found:
    """How far a profile can be followed, and what stands in the way.

    `is_whole` is whether the call's parameters are what would be sent: a target or a reason may be missing.
    """

    profile: Profile
    call: StsCall | None = None
    problem: CredhelperError | None = None
    is_whole: bool = True
    wants_reason: bool = False


def explain(app: App, name: str, flags: Mapping[str, Any]) -> Document:
    """What `explain --json` prints. Raises ConfigError for a name that the file does not have."""
    found = _find(app, name, flags)
    profile, places = found.profile, provenance.Places(app, flags)
    human = _human(app, found)
    try:
        call, problem = _call(app, found), found.problem
    except CredhelperError as error:  # such as a CA bundle that is not there
        call, problem = None, found.problem or error
    hops = found.call.hops() if found.call else ()
    settings = places.settings(profile)
    settings += places.around(found.call) if found.call else ()
    return {
        "profile": name,
        "file": app.config.path,
        "kind": profile.kind or None,
        "description": provenance.shown("description", profile.get("description")),
        "account": profile.account_id if profile.kind else None,
        "account_name": profile.account_name,
        "call": call,
        "chain": [places.hop(hop, has_key=found.is_whole) for hop in hops],
        "source": places.source(found.call.source) if found.call else None,
        "settings": [*settings, *_unset(profile, human)],
        "task": _task(profile),
        "human": human,
        "problem": _spelt(problem) if problem else None,
    }


def _find(app: App, name: str, flags: Mapping[str, Any]) -> Found:
    try:
        profile = app.config.unaimed(name, flags)
    except ConfigError as error:
        return Found(_unread(app, name, flags), problem=error)
    is_open = profile.kind == ROOT and "@" not in name and profile.get("target_principal") is None
    try:
        profile = profile if is_open else app.config.profile(name, flags)
        return _follow(app, profile, is_whole=not is_open)
    except CredhelperError as error:
        return Found(profile, problem=error, is_whole=False)


def _follow(app: App, profile: Profile, *, is_whole: bool) -> Found:
    """The call of a profile. For a {reason} that nobody has given, UNSAID stands in it."""
    try:
        return Found(profile, app.planner(by_index=True).call(profile), is_whole=is_whole)
    except HumanNeededError:
        call = app.planner(lambda _: UNSAID, by_index=True).call(profile)
        return Found(profile, call, is_whole=False, wants_reason=True)


def _human(app: App, found: Found) -> list[Document]:
    """What all the mints that it takes ask a human for."""
    if found.call is None:
        return _asks(app, found.profile, None)
    human = [asked for hop in found.call.hops() for asked in _asks(app, hop.profile, hop)]
    if found.wants_reason and not any(each["what"] == "reason" for each in human):
        sentence = "for a reason, which is a part of the call"
        human.append({"what": "reason", "now": True, "profile": found.profile.name, "sentence": sentence})
    return human


def _unread(app: App, name: str, flags: Mapping[str, Any]) -> Profile:
    """A profile that is not valid, as it is written and said. Raises ConfigError where there is none."""
    bare = name.partition("@")[0]
    table = app.config.table("profiles").get(bare)
    if not isinstance(table, dict):
        app.config.profile(name)
        raise ConfigError(f"'{name}' is not a profile")
    layers = ((app.config.table("defaults"), "defaults"), (table, f"profiles.{bare}"), (flags, FLAG))
    written = {key: Setting(value, origin) for layer, origin in layers for key, value in layer.items()}
    return Profile(name, cast("Kind", ""), written)


def _call(app: App, found: Found) -> Document | None:
    """The call with its parameters as they would be sent, as far as the profile can be followed."""
    profile, call = found.profile, found.call
    if not profile.kind:
        return None
    if call is None:
        person = parameters.NameContext(caller.user(app.environ), caller.host(app.environ), lambda _: UNSAID)
        region = profile.get("sts_region") or profile.get("region")
        sent = parameters.of(profile, region or FALLBACK_REGION["aws"], person)
        return {"api": API[profile.kind], "parameters": provenance.sent(sent), "region": region} | _NOWHERE
    from credhelper.aws.sts import Sts

    return {
        "api": call.api,
        "parameters": provenance.sent(call.parameters),
        "region": call.endpoint.region,
        "endpoint": provenance.without_password(Sts(app.environ).address(call)),
        "key": call.key if found.is_whole else None,
    }


def _spelt(problem: CredhelperError) -> Document:
    return {
        "sentence": printable(provenance.without_password(problem.sentence)),
        "hints": [printable(hint) for hint in problem.hints if hint],
        "exit_status": problem.status,
    }


def _task(profile: Profile) -> Document | None:
    if profile.kind != ROOT:
        return None
    policy = short_task(profile.get("task_policy_arn"))
    task = TASKS.get(policy)
    return {
        "policy": policy,
        "words": task.purpose if task else None,
        "actions": list(task.actions) if task else None,
        "bounds": task.bounds if task else None,
        "feature": task.feature if task else None,
    }


def _asks(app: App, profile: Profile, call: StsCall | None) -> list[Document]:
    """What a mint asks a human for, and whether the next one does. Without a call the keys alone tell."""
    found = []
    device = profile.get("mfa_serial") if call is None else call.parameters.get("SerialNumber")
    if device and profile.kind in (ROLE, SESSION):
        by = provenance.shown("mfa_command", profile.get("mfa_command"))
        found.append(("mfa", f"for an MFA code of '{device}'{f', from {by[0]!r}' if by else ''}"))
    if profile.get("confirm", False):
        found.append(("confirm", f"for a yes, which lasts {consent.confirm_for(profile):.0f} s"))
    if wanted := profile.get("require_reason", False):
        matching = f" that matches '{wanted}'" if isinstance(wanted, str) else ""
        found.append(("reason", f"for a reason{matching}"))
    if seconds := consent.renew_for(profile):
        found.append(("renewal", f"to log in again when it has been renewing itself for {seconds:.0f} s"))
    now = {"mfa", *(app.consent().wants(profile) if call else ())}
    return [
        {"what": what, "now": what in now, "profile": profile.name, "sentence": sentence}
        for what, sentence in found
    ]


def _unset(profile: Profile, human: list[Document]) -> list[Document]:
    """The keys that are not set and take effect all the same."""
    if not profile.kind:
        return []
    life = profile.get("duration_seconds", LIVES[profile.kind])
    disturbs = any(each["what"] != "renewal" for each in human)
    values: Document = {
        "duration_seconds": life,
        "connect_timeout": calls.Endpoint.connect_timeout,
        "read_timeout": calls.Endpoint.read_timeout,
        "confirm": False,
        "require_reason": False,
        "cache": True,
        "min_remaining": int(expiry.SERVABLE if disturbs else expiry.floor(life)),
    }
    if profile.kind == ROLE:
        values["role_session_name"] = parameters.SESSION_NAME
        if profile.get("mfa_serial"):
            values |= {"mfa_session": True, "mfa_duration_seconds": calls.MFA_SESSION_SECONDS}
    if profile.get("confirm", False):
        values["confirm_for"] = int(consent.CONFIRM_SECONDS)
    if profile.kind == ROOT:
        values["renew_for"] = int(consent.ROOT_RENEW_SECONDS)
    return [
        provenance.entry(key, values[key], "built-in")
        for key in BY_NAME
        if key in values.keys() - profile.settings
    ]
