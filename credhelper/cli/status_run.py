"""`status`: every profile, where its session is cached, how long that lasts, and whose it is.

Never a secret. AWS is not asked and no keyring is opened: what the keyring should have, the index says, and
whose a session is, the record. So it answers offline, and nobody is asked to unlock anything.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from credhelper import expiry
from credhelper.agent import admin
from credhelper.app import agent_directory
from credhelper.config.aws_names import short_task
from credhelper.config.keys import API, ROLE, ROOT
from credhelper.credentials import utc
from credhelper.errors import ConfigError, CredhelperError, printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from credhelper.app import App
    from credhelper.config.profiles import Profile
    from credhelper.sessions.calls import CallPlanner, StsCall

Document = dict[str, Any]


@dataclass(frozen=True)
class Cached:
    """A session that is cached somewhere: its KEY, for whom it was minted, until when (epoch)."""

    key: str
    label: str
    kind: str
    expires: float
    places: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """A profile as it stands now, and the call that it comes to; what stands against it where it does not."""

    name: str
    profile: Profile | None = None
    call: StsCall | None = None
    problem: str | None = None

    @property
    def keys(self) -> set[str]:
        """The KEYs of the call and of all that it rests on."""
        found, call = set(), self.call
        while call is not None:
            found.add(call.key)
            call = None if call.source is call.origin else call.source  # type: ignore[assignment]
        return found


def probe(app: App) -> Document:
    """What `status --json` prints."""
    now = expiry.read_clocks().wall
    agent, remembered = _agent(app)
    cached = _cached(app, remembered, now)
    asked = list(_asked(app, cached.values()))
    minted = _minted(app, cached)
    used = {key for each in asked for key in each.keys}
    broken = app.loaded if isinstance(app.loaded, ConfigError) else None
    rows: list[Document] = []
    placed: set[str] = set()
    for each in asked:
        mine = _sessions_of(each, cached, used)
        placed.update(session.key for session in mine)
        rows += [_row(each, session, minted, now) for session in mine] or [_row(each, None, minted, now)]
    for session in cached.values():
        if session.key not in placed:
            row = _row(Asked(session.label), session, minted, now)
            rows.append({**row, "in_use": session.key in used if broken is None else None})
    return {
        "config": {
            "path": app.places.config,
            "problem": _sentence(broken) if broken else None,
            "hints": [printable(hint) for hint in broken.hints] if broken else [],
        },
        "profiles": rows,
        "agent": agent,
        "keyring": _keyring(app),
    }


def _sentence(error: CredhelperError) -> str:
    return printable(error.sentence)


def _agent(app: App) -> tuple[Document, list[admin.Remembered]]:
    try:
        found = admin.AgentAdmin(agent_directory(app.environ)).status()
    except CredhelperError as error:
        return {"running": True, "pid": None, "problem": _sentence(error)}, []
    pid, remembered = found or (None, [])
    return {"running": pid is not None, "pid": pid, "problem": None}, remembered


def _keyring(app: App) -> Document:
    try:
        found = app.store.status()
    except CredhelperError as error:
        return {"backend": None, "state": "absent", "problem": _sentence(error)}
    return {"backend": found.backend, "state": found.state, "problem": printable(found.why) or None}


def _cached(app: App, remembered: Iterable[admin.Remembered], now: float) -> dict[str, Cached]:
    """Every session that has not expired, by KEY."""
    found = {
        item.key: Cached(item.key, item.profile, item.kind, item.expires, ("keyring",))
        for item in app.store.items()
        if item.expires > now
    }
    for each in remembered:
        kept = found.get(each.key) or Cached(each.key, each.profile, "", now + each.seconds, ())
        if "agent" not in kept.places and each.seconds > 0:
            found[each.key] = replace(kept, places=("agent", *kept.places))
    return found


def _asked(app: App, cached: Iterable[Cached]) -> Iterator[Asked]:
    """The profiles of the file, and the open ones on each account that something is cached for."""
    if isinstance(app.loaded, ConfigError):
        return
    planner: CallPlanner | CredhelperError
    try:
        planner = app.planner(by_index=True)
    except CredhelperError as error:  # such as an AWS config that nobody can read
        planner = error
    aimed: dict[str, list[str]] = defaultdict(list)
    for session in cached:
        aimed[session.label.partition("@")[0]].append(session.label)
    for name in app.config.names:
        for each in dict.fromkeys((name, *sorted(aimed.get(name, ())))):
            yield _resolved(app, planner, each)


def _resolved(app: App, planner: CallPlanner | CredhelperError, name: str) -> Asked:
    profile = None
    try:
        profile = app.config.unaimed(name)
        if profile.is_open and "@" not in name:
            return Asked(name, profile)
        profile = app.config.profile(name)
        if isinstance(planner, CredhelperError):
            raise planner
        return Asked(name, profile, planner.call(profile))
    except CredhelperError as error:
        return Asked(name, profile, problem=_sentence(error))


def _sessions_of(asked: Asked, cached: Mapping[str, Cached], used: Collection[str]) -> list[Cached]:
    """What answers for that profile; without a call to compare, the label has to do."""
    if asked.call is not None:
        return [cached[asked.call.key]] if asked.call.key in cached else []
    if asked.problem is None:  # an open profile without a target has no session
        return []
    return [each for each in cached.values() if each.label == asked.name and each.key not in used]


def _minted(app: App, cached: Mapping[str, Cached]) -> dict[str, Mapping[str, object]]:
    """The record's line about each session: of those about the same call, the one that expires with it."""
    found: dict[str, tuple[float, Mapping[str, object]]] = {}
    for line in app.audit.lines(cached) if cached else ():
        session, expires = cached.get(str(line.get("key"))), _moment(line.get("expires"))
        if session is None or expires is None or line.get("outcome") != "minted":
            continue
        away = abs(expires - session.expires)
        if session.key not in found or away <= found[session.key][0]:
            found[session.key] = away, line
    return {key: line for key, (_, line) in found.items()}


def _moment(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None


def _row(
    asked: Asked, session: Cached | None, minted: Mapping[str, Mapping[str, object]], now: float
) -> Document:
    line: Mapping[str, object] = minted.get(session.key, {}) if session else {}
    profile, kind = asked.profile, asked.profile.kind if asked.profile else session.kind if session else ""
    task = profile.get("task_policy_arn") if profile else line.get("task_policy")
    return {
        "profile": asked.name,
        "kind": kind or None,
        "api": API.get(kind),  # type: ignore[call-overload]
        "target": _target(profile) if profile else _text(line.get("target")),
        "account": profile.account_id if profile else _text(line.get("account")),
        "account_name": profile.account_name if profile else _text(line.get("account_name")),
        "task_policy": short_task(str(task)) if task else None,
        "description": profile.get("description") if profile else None,
        "problem": asked.problem,
        "in_use": True,
        "cached": list(session.places) if session else [],
        "expires": utc(session.expires) if session else None,
        "seconds_left": int(session.expires - now) if session else None,
        "access_key_id": _text(line.get("access_key_id")),
        "source_arn": _text(line.get("source_arn")),
        "source_identity": _text(line.get("source_identity")),
    }


def _target(profile: Profile) -> str | None:
    """The role's ARN, the principal whose root it is, or the MFA device; None for an open target."""
    key = {ROOT: "target_principal", ROLE: "role_arn"}.get(profile.kind, "mfa_serial")
    return _text(profile.get(key))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
