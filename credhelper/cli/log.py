"""`log`: the audit log as a table, JSON lines, CSV, or CloudTrail commands."""

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
from typing import Any, Final

import click

from credhelper import audit
from credhelper.cli import tables
from credhelper.cli.context import open_app
from credhelper.cli.options import complete_account
from credhelper.cli.output import emit
from credhelper.config.keys import API
from credhelper.credentials import utc
from credhelper.errors import ConfigError, printable

AuditLine = Mapping[str, Any]

CSV_COLUMNS: Final = tuple(field.name for field in dataclasses.fields(audit.Line))
UNITS: Final = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
_COLUMNS: Final = {"time": 16, "profile": None, "account": None, "session": None}
_LAST_COLUMN: Final = {"key id, or why not": 20}


@click.command("log")
@click.option(
    "--since", metavar="WHEN", help="Only later lines: 2026-11-22, 2026-11-22T08:00:00Z, 90m, 12h, 7d."
)
@click.option(
    "--kind", type=click.Choice([*API]), help="Only lines of AssumeRoot, AssumeRole or GetSessionToken."
)
@click.option(
    "--account",
    metavar="ID",
    help="Only lines of this account: an id or an alias.",
    shell_complete=complete_account,
)
@click.option("--json", "form", flag_value="json", help="One JSON object a line; docs/json.md describes it.")
@click.option("--csv", "form", flag_value="csv", help="Comma-separated values, with a header.")
@click.option("--cloudtrail", metavar="KEYID", help="Print the commands that find this session's events.")
def log(
    since: str | None, kind: str | None, account: str | None, form: str | None, cloudtrail: str | None
) -> None:
    """Show the audit log: the sessions minted and refused, oldest first.

    The log is evidence, not proof: its owner can edit it. AWS's own record is CloudTrail; --cloudtrail prints
    the AWS CLI commands that find a session there by its access key id.

    The columns 'who' and 'reason' appear in a pipe and on terminals of at least 120 columns.

    \b
    Examples:
      credhelper log --since 7d --kind root
      credhelper log --account payments-prod --csv > sessions.csv
      credhelper log --json | jq 'select(.outcome != "minted")'
      credhelper log --cloudtrail ASIAIOSFODNN7EXAMPLE
    """
    lines = open_app().audit.lines()
    if cloudtrail is not None:
        emit(_cloudtrail(lines, cloudtrail).encode())
        return
    render = {"json": _json, "csv": _csv, None: _table}[form]
    emit(render(_select(lines, since=since, kind=kind, account=account)).encode())


def _select(
    lines: Iterable[AuditLine], *, since: str | None, kind: str | None, account: str | None
) -> list[AuditLine]:
    """The lines that match all filters. Raises ConfigError for an invalid time."""
    earliest = "" if since is None else _time(since)
    return [
        line
        for line in lines
        if str(line["time"]) >= earliest
        and (kind is None or line.get("api") == API[kind])  # type: ignore[index]
        and (account is None or account in (line.get("account"), line.get("account_name")))
    ]


def _time(text: str) -> str:
    """A date, a time, or a span before now, in the form of the audit log."""
    if span := re.fullmatch(r"([0-9]{1,6})([mhdw])", text):
        return utc(max(0.0, time.time() - int(span[1]) * UNITS[span[2]]))
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ConfigError(
            f"'{text}' is not a time", "write 2026-11-22, 2026-11-22T08:00:00Z, 90m, 12h or 7d"
        ) from None
    return utc((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp())


def _json(lines: list[AuditLine]) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


def _csv(lines: list[AuditLine]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _no_formula(value) for name, value in line.items()} for line in lines)
    return out.getvalue()


def _no_formula(value: object) -> str:
    """A cell that a spreadsheet does not evaluate."""
    text = "" if value is None else printable(str(value))
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _table(lines: list[AuditLine]) -> str:
    if not lines:
        return "no sessions are on record\n"
    optional: dict[str, list[Any]] = {
        "who": [_who(line) for line in lines],
        "reason": [line.get("reason") for line in lines],
    }
    shown = {name: cells for name, cells in optional.items() if any(cells) and tables.is_wide()}
    rows = [
        tables.Row(
            (*_cells(line), *(cells[number] for cells in shown.values()), _outcome(line)),
            "" if line.get("outcome") == "minted" else "red",
        )
        for number, line in enumerate(lines)
    ]
    return tables.render(_COLUMNS | dict.fromkeys(shown) | _LAST_COLUMN, rows)


def _cells(line: AuditLine) -> tuple[object, ...]:
    return (
        str(line["time"])[:16].replace("T", " "),
        line.get("profile"),
        line.get("account_name") or line.get("account"),
        line.get("task_policy") or line.get("api"),
    )


def _outcome(line: AuditLine) -> object:
    outcome = line.get("outcome")
    if outcome == "minted":
        return line.get("access_key_id")
    why = line.get("error") or ("no answer" if outcome == "failed" else "")
    return f"{outcome}: {why}" if why else outcome


def _who(line: AuditLine) -> str:
    """The source identity, else the role session that made the call."""
    return str(line.get("source_identity") or line.get("source_arn") or "").rpartition(":assumed-role/")[2]


def _cloudtrail(lines: Iterable[AuditLine], access_key_id: str) -> str:
    """AWS CLI commands that find a session's events. Raises ConfigError for an unknown access key id."""
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
        f"# the session's calls: run in account {account}\n{shlex.join(session)}\n"
        f"# the call that minted it, request id {request}: run in the caller's account\n{shlex.join(mint)}\n"
    )
