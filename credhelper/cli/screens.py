"""What `status` and `explain` have found out, as people read it; programs get the same as JSON."""

from __future__ import annotations

import json
from typing import Any, Final

from credhelper.cli import tables
from credhelper.config.keys import ROLE, ROOT, SESSION

Document = dict[str, Any]

NAMES: Final = {
    "keyring.backends.SecretService.Keyring": "Secret Service",
    "keyring.backends.libsecret.Keyring": "libsecret",
    "keyring.backends.kwallet.DBusKeyring": "KWallet",
    "keyring.backends.macOS.Keyring": "macOS Keychain",
    "keyring.backends.Windows.WinVaultKeyring": "Windows Credential Manager",
}
"""What people call the keyrings."""

_SESSIONS: Final = {"profile": None, "session": None, "cached": 7, "left": 6, "who": 20}


def status(found: Document) -> str:
    """The same for people: a table, then what the table has no room for."""
    rows = found["profiles"]
    table = tables.render(_SESSIONS, map(_cells, rows)) if rows else ""
    stale = any(row["in_use"] is False for row in rows)
    problems = [(row["profile"], row["problem"]) for row in rows if row["problem"]]
    none = "" if rows else f"no profiles in '{found['config']['path']}'"
    notes = [
        *(("problem", f"{name}: {problem}") for name, problem in dict(problems).items()),
        ("file", found["config"]["problem"] or none),
        *(("hint", hint) for hint in found["config"]["hints"]),
        ("(*)", "minted with flags, or before the configuration was changed" if stale else ""),
        ("agent", _agent_said(found["agent"])),
        ("keyring", _keyring_said(found["keyring"])),
    ]
    return table + ("\n" if table else "") + tables.pairs(*notes)


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
    """Seconds as a person says them: '58m', '11h59m', '45s'."""
    minutes = int(seconds) // 60
    if minutes < 2:
        return f"{max(0, int(seconds))}s"
    return f"{minutes}m" if minutes < 120 else f"{minutes // 60}h{minutes % 60:02d}m"


def _agent_said(agent: Document) -> str:
    if agent["problem"]:
        return str(agent["problem"])
    return (
        f"running, process {agent['pid']}" if agent["running"] else "not running; it comes when it is needed"
    )


def _keyring_said(keyring: Document) -> str:
    state = {"open": "usable", "silent": "no answer", "absent": "none", "unwanted": "not used"}
    backend = keyring["backend"]
    name = f"{NAMES.get(backend, backend)}, " if backend else ""
    problem = f": {keyring['problem']}" if keyring["problem"] else ""
    return f"{name}{state.get(keyring['state'], keyring['state'])}{problem}"


def explain(found: Document) -> str:
    """A profile explained: its call, its chain, its keys, and what it asks a human for."""
    parts = [_headline(found), _parameters(found), _chain(found), _keys(found), _rules(found)]
    return "\n".join(part for part in parts if part)


def _headline(found: Document) -> str:
    call, account = found["call"], found["account"]
    return tables.pairs(
        ("profile", found["profile"]),
        ("", found["description"]),
        ("account", f"{account} ({found['account_name']})" if found["account_name"] else account),
        ("call", call and f"{call['api']}{' in ' if call['region'] else ''}{call['region'] or ''}"),
        ("endpoint", call and call["endpoint"]),
        ("KEY", call and call["key"]),
        ("file", found["file"]),
    )


def _parameters(found: Document) -> str:
    sent = found["call"]["parameters"] if found["call"] else {}
    rows = [tables.Row(pair) for name, value in sent.items() for pair in _members(name, value)]
    return tables.render({"parameter": 27, "as sent": None}, rows) if rows else ""


def _members(name: str, value: Any) -> list[tuple[str, Any]]:
    """A parameter in the form of the AWS query protocol: `PolicyArns.member.1.arn`."""
    if isinstance(value, dict):
        return [pair for key, each in value.items() for pair in _members(f"{name}.{key}", each)]
    if isinstance(value, list):
        numbered = enumerate(value, 1)
        return [pair for number, each in numbered for pair in _members(f"{name}.member.{number}", each)]
    return [(name, value)]


def _chain(found: Document) -> str:
    source = found["source"]
    if source is None:
        return ""
    steps = [
        f"{hop['profile']}: {hop['api']} {hop['target'] or ''}".rstrip() + _place(hop, found["file"])
        for hop in found["chain"]
    ]
    steps.append(f"signed with {_origin(source)}{_place(source, found['file'])}")
    return tables.pairs(*((f"{number}.", step) for number, step in enumerate(steps, 1)))


def _origin(source: Document) -> str:
    name, key, login = source["name"], source["access_key_id"], source["login"]
    parts = [
        source["place"].replace("aws", "AWS") + (f" '{name}'" if name and name != "default" else ""),
        key and f"access key {key}",
        login and f"after '{login}'",
    ]
    return ", ".join(part for part in parts if part)


def _place(where: Document, file: str) -> str:
    if where["line"] is None:
        return ""
    return f" (line {where['line']})" if where["file"] == file else f" ({where['file']} line {where['line']})"


def _keys(found: Document) -> str:
    rows = [
        tables.Row(
            (each["key"], _spell(each["value"]), _from(each)), "dim" if each["from"] == "built-in" else ""
        )
        for each in found["settings"]
    ]
    return tables.render({"key": 27, "value": None, "from": None}, rows) if rows else ""


def _spell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _from(setting: Document) -> str:
    said = {"flag": "the command line", "name": "the name", "built-in": "default", "source": "the source"}
    if setting["line"] is not None:
        return f"line {setting['line']} [{setting['in']}]"
    return str(setting["in"] or said.get(setting["from"], setting["from"]))


def _unless(asked: Document) -> str:
    return ", and has said it" if asked["what"] in ("confirm", "reason") and not asked["now"] else ""


def _rules(found: Document) -> str:
    task, problem, human = found["task"], found["problem"], found["human"]
    asked = [f"is asked {each['sentence']}{_unless(each)} ({each['profile']})" for each in human]
    known = task and task["actions"]
    return tables.pairs(
        ("task", task and f"{task['policy']}: {task['words'] or 'not one of the five of AWS'}"),
        ("allows", known and f"{', '.join(task['actions'])} on {task['bounds']}"),
        ("needs", known and f"{task['feature']}, enabled in the organization"),
        *(("a human", each) for each in asked or ([] if problem else ["is not asked"])),
        ("problem", problem and problem["sentence"]),
        *(("hint", hint) for hint in (problem["hints"] if problem else ())),
        ("", problem and f"so 'credhelper get {found['profile']}' ends with status {problem['exit_status']}"),
    )
