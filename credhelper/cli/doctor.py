"""`doctor`: check that everything works, and say how to fix what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from credhelper import doctor as checks
from credhelper.cli import tables
from credhelper.cli.context import open_app
from credhelper.cli.options import complete_profile, consent_flags, json_flag
from credhelper.cli.output import emit, emit_json
from credhelper.errors import CredhelperError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from credhelper.doctor.findings import Finding

LONGEST_NAME: Final = 22
"""The width of the column of names on 80 columns; longer names are folded."""

_STYLES: Final = {"fine": "", "note": "yellow", "problem": "red"}


@click.command("doctor")
@click.argument("name", shell_complete=complete_profile, required=False)
@click.option("--probe", is_flag=True, help="Mint a session and make one harmless call with it.")
@json_flag
@consent_flags
def doctor(name: str | None, *, probe: bool, as_json: bool, reason: str | None, yes: bool) -> None:
    """Check this machine, its files and the profile NAME (without NAME: every profile).

    Each finding is 'fine', a 'note' (worth knowing, nothing is broken) or a 'problem', with a hint how to fix
    it. Exit status 0 without a problem, 1 otherwise. What the caller may not read in AWS is a note.

    doctor never prompts. Without --probe it mints no root session and nothing that would prompt; it assumes
    the roles that a profile's source needs. With --probe it mints the session of the profile, with a line in
    the audit log, and makes one harmless read with it: only that shows a service control policy that denies
    root. Run 'credhelper login NAME' first if the profile prompts.

    \b
    Examples:
      credhelper doctor
      credhelper doctor unlock-bucket
      credhelper doctor unlock-bucket --probe --reason 'first use'
      credhelper doctor --json | jq '.findings[] | select(.level == "problem")'
    """
    app = open_app(reason=reason, yes=yes)
    findings = checks.examine(app, [] if name is None else [name], probe=probe)
    problems = sum(each.level == "problem" for each in findings)
    if as_json:
        emit_json({"fit": not problems, "findings": [each.to_json() for each in findings]})
    else:
        emit(_table(findings).encode())
    if problems:
        raise CredhelperError(f"not fit: {problems} {'problem' if problems == 1 else 'problems'} found")


def _table(findings: Sequence[Finding]) -> str:
    """A row for each finding, and one below it for each hint."""
    rows: list[tables.Row] = []
    for each in findings:
        style = _STYLES[each.level]
        rows.append(tables.Row((each.level, each.profile or each.check, each.sentence), style))
        rows += [tables.Row((" ", " ", f"-> {hint}"), style) for hint in each.hints if hint]
    longest = max((len(each.profile or each.check) for each in findings), default=0)
    return tables.render({"level": 7, "about": min(longest, LONGEST_NAME), "finding": None}, rows)
