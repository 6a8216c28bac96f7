"""`status`: every profile, where its session is cached, how long it lasts, and who requested it.

No secret is shown. `status` works offline: it reads the index of the keyring's items instead of the keyring,
and takes the requester of a session from the audit log.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from credhelper import expiry
from credhelper.cli import tables
from credhelper.cli.context import agent_admin, cached_sessions, open_app
from credhelper.cli.options import json_flag
from credhelper.cli.output import emit, emit_json
from credhelper.config.aws_names import short_task
from credhelper.config.keys import API, ROLE, ROOT, SESSION
from credhelper.credentials import utc
from credhelper.errors import ConfigError, CredhelperError, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from credhelper.agent.admin import AgentAdmin, Remembered
    from credhelper.app import App
    from credhelper.audit import Audit
    from credhelper.cache.store import Store
    from credhelper.cli.context import CachedSession
    from credhelper.config.profiles import Profile
    from credhelper.sessions.calls import CallPlanner, StsCall

    Document = dict[str, Any]
    AuditLines = Mapping[str, Mapping[str, object]]

KEYRING_NAMES: Final = {
    "keyring.backends.SecretService.Keyring": "Secret Service",
    "keyring.backends.libsecret.Keyring": "libsecret",
    "keyring.backends.kwallet.DBusKeyring": "KWallet",
    "keyring.backends.macOS.Keyring": "macOS Keychain",
    "keyring.backends.Windows.WinVaultKeyring": "Windows Credential Manager",
}
_KEYRING_STATES: Final = {
    "open": "usable",
    "silent": "no answer",
    "absent": "none",
    "unwanted": "not used",
}
_COLUMNS: Final = {"profile": None, "session": None, "cached": 7, "left": 6, "who": 20}


@click.command("status")
@json_flag
def status(*, as_json: bool) -> None:
    """Show every profile, where its session is cached, and how long it lasts. Never a secret.

    status works offline and never unlocks a keyring: it reads credhelper's index of the keyring instead. The
    column 'who' has the source identity or the role session that requested the session, else the access key
    id that CloudTrail shows for it.

    \b
    Examples:
      credhelper status
      credhelper status --json | jq '.profiles[] | select(.cached != []) | .profile'
    """
    document = _document(open_app())
    if as_json:
        emit_json(document)
    else:
        emit(_render(document).encode())


@dataclass(frozen=True)
class ProfileState:
    """A profile with its call, or with the problem that prevents one."""

    name: str
    profile: Profile | None = None
    call: StsCall | None = None
    problem: str | None = None

    @property
    def keys(self) -> set[str]:
        """The KEYs of all calls of the chain."""
        return {hop.key for hop in self.call.hops()} if self.call else set()


def _document(app: App) -> Document:
    """What `status --json` prints."""
    now = expiry.read_clocks().wall
    agent, remembered = _agent(agent_admin(app))
    cached = _cached(app.store, remembered, now)
    states = list(_states(app, cached.values()))
    audit = _audit_lines(app.audit, cached)
    used = {key for state in states for key in state.keys}
    broken = app.loaded if isinstance(app.loaded, ConfigError) else None
    rows: list[Document] = []
    shown: set[str] = set()
    for state in states:
        sessions = _sessions_of(state, cached, used)
        shown.update(session.key for session in sessions)
        rows += [_row(state, session, audit, now) for session in sessions or (None,)]
    for session in cached.values():
        if session.key not in shown:
            in_use = session.key in used if broken is None else None
            rows.append({**_row(ProfileState(session.profile), session, audit, now), "in_use": in_use})
    return {
        "config": {
            "path": app.places.config,
            "problem": printable(broken.sentence) if broken else None,
            "hints": [printable(hint) for hint in broken.hints] if broken else [],
        },
        "profiles": rows,
        "agent": agent,
        "keyring": _keyring(app.store),
    }


def _agent(agent: AgentAdmin) -> tuple[Document, list[Remembered]]:
    try:
        found = agent.status()
    except CredhelperError as error:
        return {"running": True, "pid": None, "problem": printable(error.sentence)}, []
    pid, remembered = found or (None, [])
    return {"running": pid is not None, "pid": pid, "problem": None}, remembered


def _keyring(store: Store) -> Document:
    try:
        found = store.status()
    except CredhelperError as error:
        return {"backend": None, "state": "absent", "problem": printable(error.sentence)}
    return {"backend": found.backend, "state": found.state, "problem": printable(found.why) or None}


def _cached(store: Store, remembered: Iterable[Remembered], now: float) -> dict[str, CachedSession]:
    """Every session that has not expired, by KEY."""
    found: dict[str, CachedSession] = {}
    for session in cached_sessions(store, remembered, now):
        if session.expires > now:
            found.setdefault(session.key, session)
    return found


def _states(app: App, cached: Iterable[CachedSession]) -> Iterator[ProfileState]:
    """The profiles of the file; one without a target also on each account that has a cached session."""
    if isinstance(app.loaded, ConfigError):
        return
    planner: CallPlanner | CredhelperError
    try:
        planner = app.planner(by_index=True)
    except CredhelperError as error:  # such as an invalid ~/.aws/config: each profile reports it
        planner = error
    labels: dict[str, list[str]] = defaultdict(list)
    for session in cached:
        labels[session.profile.partition("@")[0]].append(session.profile)
    for name in app.config.names:
        for each in dict.fromkeys((name, *sorted(labels.get(name, ())))):
            yield _state(app, planner, each)


def _state(app: App, planner: CallPlanner | CredhelperError, name: str) -> ProfileState:
    profile = None
    try:
        profile = app.config.without_target(name)
        if profile.is_open and "@" not in name:
            return ProfileState(name, profile)
        profile = app.config.profile(name)
        if isinstance(planner, CredhelperError):
            raise planner
        return ProfileState(name, profile, planner.call(profile))
    except CredhelperError as error:
        return ProfileState(name, profile, problem=printable(error.sentence))


def _sessions_of(
    state: ProfileState, cached: Mapping[str, CachedSession], used: set[str]
) -> list[CachedSession]:
    """The cached sessions of a profile: by the KEY of its call; by label where a problem prevents a call."""
    if state.call is not None:
        return [cached[state.call.key]] if state.call.key in cached else []
    if state.problem is None:  # a profile without a target has no session
        return []
    return [each for each in cached.values() if each.profile == state.name and each.key not in used]


def _audit_lines(audit: Audit, cached: Mapping[str, CachedSession]) -> AuditLines:
    """The audit line of each session, by KEY: of several mints of a call, the one with the same expiry."""
    found: dict[str, tuple[float, Mapping[str, object]]] = {}
    for line in audit.lines(cached) if cached else ():
        session, expires = cached.get(str(line.get("key"))), _timestamp(line.get("expires"))
        if session is None or expires is None or line.get("outcome") != "minted":
            continue
        distance = abs(expires - session.expires)
        if session.key not in found or distance <= found[session.key][0]:
            found[session.key] = distance, line
    return {key: line for key, (_, line) in found.items()}


def _timestamp(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None


def _row(state: ProfileState, session: CachedSession | None, audit: AuditLines, now: float) -> Document:
    line: Mapping[str, object] = audit.get(session.key, {}) if session else {}
    profile = state.profile
    kind = profile.kind if profile else session.kind if session else ""
    task = profile.get("task_policy_arn") if profile else line.get("task_policy")
    return {
        "profile": state.name,
        "kind": kind or None,
        "api": API.get(kind),  # type: ignore[call-overload]
        "target": _target(profile) if profile else _text(line.get("target")),
        "account": profile.account_id if profile else _text(line.get("account")),
        "account_name": profile.account_name if profile else _text(line.get("account_name")),
        "task_policy": short_task(str(task)) if task else None,
        "description": profile.get("description") if profile else None,
        "problem": state.problem,
        "in_use": True,
        "cached": list(session.places) if session else [],
        "expires": utc(session.expires) if session else None,
        "seconds_left": int(session.expires - now) if session else None,
        "access_key_id": _text(line.get("access_key_id")),
        "source_arn": _text(line.get("source_arn")),
        "source_identity": _text(line.get("source_identity")),
    }


def _target(profile: Profile) -> str | None:
    """The role's ARN, the principal whose root it is, or the MFA device; None for a profile without one."""
    key = {ROOT: "target_principal", ROLE: "role_arn"}.get(profile.kind, "mfa_serial")
    return _text(profile.get(key))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _render(document: Document) -> str:
    """The document as a table, and below it what the table has no column for."""
    rows, config = document["profiles"], document["config"]
    table = tables.render(_COLUMNS, map(_cells, rows)) + "\n" if rows else ""
    stale = any(row["in_use"] is False for row in rows)
    problems = {row["profile"]: row["problem"] for row in rows if row["problem"]}
    return table + tables.pairs(
        *(("problem", f"{name}: {problem}") for name, problem in problems.items()),
        ("file", config["problem"] or ("" if rows else f"no profiles in '{config['path']}'")),
        *(("hint", hint) for hint in config["hints"]),
        ("(*)", "minted with flags, or before the configuration was changed" if stale else ""),
        ("agent", _about_agent(document["agent"])),
        ("keyring", _about_keyring(document["keyring"])),
    )


def _cells(row: Document) -> tables.Row:
    left, who = row["seconds_left"], row["source_identity"] or row["source_arn"] or row["access_key_id"]
    return tables.Row(
        (
            row["profile"] + (" (*)" if row["in_use"] is False else ""),
            _session(row),
            " ".join(row["cached"]),
            None if left is None else span(left),
            str(who or "").rpartition(":assumed-role/")[2],
        ),
        "red" if row["problem"] else "" if row["cached"] else "dim",
    )


def _session(row: Document) -> str:
    """Such as 'S3UnlockBucketPolicy on payments-prod' or 'role Developer in 222233334444'."""
    account = row["account_name"] or row["account"]
    if row["kind"] == ROOT:
        return f"{row['task_policy']} on {account or '@ACCOUNT'}"
    if row["kind"] == ROLE and row["target"]:
        return f"{row['target'].rpartition(':')[2].replace('role/', 'role ', 1)} in {account}"
    device = str(row["target"] or "").rpartition(":")[2]
    return f"MFA session{' of ' if device else ''}{device}" if row["kind"] == SESSION else ""


def span(seconds: float) -> str:
    """Seconds in a form that fits a column: '58m', '11h59m', '45s'."""
    minutes = int(seconds) // 60
    if minutes < 2:
        return f"{max(0, int(seconds))}s"
    return f"{minutes}m" if minutes < 120 else f"{minutes // 60}h{minutes % 60:02d}m"


def _about_agent(agent: Document) -> str:
    running = f"running, process {agent['pid']}" if agent["running"] else "not running (starts on demand)"
    return agent["problem"] or running


def _about_keyring(keyring: Document) -> str:
    backend, state, problem = keyring["backend"], keyring["state"], keyring["problem"]
    name = f"{KEYRING_NAMES.get(backend, backend)}, " if backend else ""
    return f"{name}{_KEYRING_STATES.get(state, state)}{f': {problem}' if problem else ''}"
