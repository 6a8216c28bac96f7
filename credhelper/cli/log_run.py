"""The record as people and programs read it: a table, JSON lines, CSV, and CloudTrail commands."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import shlex
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from credhelper import audit
from credhelper.cli import tables
from credhelper.config.keys import API
from credhelper.credentials import utc
from credhelper.errors import ConfigError, printable

if TYPE_CHECKING:
    from credhelper.agent.admin import Remembered

Line = Mapping[str, Any]

COLUMNS: Final = tuple(field.name for field in dataclasses.fields(audit.Line))
_WIDTHS: Final = {"time": 16, "profile": None, "account": None, "session": None}
UNITS: Final = {"m": 60, "h": 3600, "d": 86400, "w": 604800}


def select(lines: Iterable[Line], *, since: str | None, kind: str | None, account: str | None) -> list[Line]:
    """The lines that were asked for. Raises ConfigError for a `since` that is no time."""
    earliest = "" if since is None else _moment(since)
    return [
        line
        for line in lines
        if str(line["time"]) >= earliest
        and (kind is None or line.get("api") == API[kind])  # type: ignore[index]
        and (account is None or account in (line.get("account"), line.get("account_name")))
    ]


def _moment(text: str) -> str:
    """A date, a time, or a span before now, as the record writes times."""
    if span := re.fullmatch(r"([0-9]{1,6})([mhdw])", text):
        return utc(max(0.0, time.time() - int(span[1]) * UNITS[span[2]]))
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ConfigError(
            f"'{text}' is not a time", "write 2026-11-22, 2026-11-22T08:00:00Z, 90m, 12h or 7d"
        ) from None
    return utc((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp())


def render(lines: list[Line], form: str) -> str:
    """The lines as 'table', 'json' or 'csv'."""
    if form == "json":
        return "".join(json.dumps(line) + "\n" for line in lines)
    if form == "csv":
        return _csv(lines)
    return _table(lines) if lines else "no sessions are on record\n"


def _csv(lines: list[Line]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _inert(value) for name, value in line.items()} for line in lines)
    return out.getvalue()


def _inert(value: object) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = "" if value is None else printable(str(value))
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _table(lines: list[Line]) -> str:
    """Who and why are shown where there is room, and where anybody has said them."""
    more: dict[str, list[Any]] = {
        "who": [_person(line) for line in lines],
        "reason": [line.get("reason") for line in lines],
    }
    shown = {name: cells for name, cells in more.items() if any(cells) and tables.is_wide()}
    rows = [
        tables.Row(
            (*_cells(line), *(cells[number] for cells in shown.values()), _outcome(line)),
            "" if line.get("outcome") == "minted" else "red",
        )
        for number, line in enumerate(lines)
    ]
    return tables.render({**_WIDTHS, **dict.fromkeys(shown), "key id, or why not": 20}, rows)


def _cells(line: Line) -> tuple[object, ...]:
    return (
        str(line["time"])[:16].replace("T", " "),
        line.get("profile"),
        line.get("account_name") or line.get("account"),
        line.get("task_policy") or line.get("api"),
    )


def _outcome(line: Line) -> object:
    if line.get("outcome") == "minted":
        return line.get("access_key_id")
    why = line.get("error") or ("no answer" if line.get("outcome") == "failed" else "")
    return f"{line.get('outcome')}: {why}" if why else line.get("outcome")


def _person(line: Line) -> str:
    """The session or the person that made the call, as far as it is known."""
    return str(line.get("source_identity") or line.get("source_arn") or "").rpartition(":assumed-role/")[2]


def agent(found: tuple[int, list[Remembered]] | None, *, as_json: bool) -> str:
    """What the agent remembers; as JSON: `running`, `pid`, `sessions` of `profile` and `seconds_left`."""
    pid, sessions = found or (None, [])
    if as_json:
        listed = [{"profile": each.profile, "seconds_left": int(each.seconds)} for each in sessions]
        return json.dumps({"running": pid is not None, "pid": pid, "sessions": listed}) + "\n"
    if pid is None:
        return "no agent is running; the next caller that needs one starts it\n"
    lines = [
        f"running, process {pid}",
        *(f"{each.seconds:7.0f} s left  {printable(each.profile)}" for each in sessions),
    ]
    return "".join(line + "\n" for line in lines)


def cloudtrail(lines: Iterable[Line], access_key_id: str) -> str:
    """AWS CLI commands that find a session's events. Raises ConfigError for a key that is not on record."""
    found = next((line for line in lines if line.get("access_key_id") == access_key_id), None)
    if found is None:
        raise ConfigError(f"no session with the access key id '{access_key_id}' is on record")
    region = str(found.get("region") or "us-east-1")
    lookup = ["aws", "cloudtrail", "lookup-events", "--region", region, "--start-time", str(found["time"])]
    session = [*lookup, "--lookup-attributes", f"AttributeKey=AccessKeyId,AttributeValue={access_key_id}"]
    mint = [*lookup, "--lookup-attributes", f"AttributeKey=EventName,AttributeValue={found.get('api')}"]
    account = printable(str(found.get("account") or "of the session"))
    request = printable(str(found.get("request_id") or "not known"))
    return (
        f"# what the session did: run in account {account}\n{shlex.join(session)}\n"
        f"# the call that minted it, request id {request}: run in the caller's account\n{shlex.join(mint)}\n"
    )
