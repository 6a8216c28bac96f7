"""`doctor`: whether everything works, and what to do about what does not."""

from __future__ import annotations

import click

from credhelper import doctor as practice
from credhelper.cli import doctor_page
from credhelper.cli.context import open_app
from credhelper.cli.options import complete_profile, consent_flags, help_option
from credhelper.cli.output import emit
from credhelper.errors import CredhelperError


@click.command("doctor")
@help_option
@click.argument("name", shell_complete=complete_profile, required=False)
@click.option("--probe", is_flag=True, help="Mint a session and make one harmless call with it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, as described above.")
@consent_flags
def doctor(name: str | None, *, probe: bool, as_json: bool, reason: str | None, yes: bool) -> None:
    """Check this machine, its files and the profile NAME (without NAME: every profile).

    Each finding is 'fine', a 'note' (worth knowing, nothing is broken) or a 'problem', and says what to do.
    Exit status 0 without a problem, 1 otherwise. What AWS does not let you look at is a note.

    Without --probe no root session is made, and nothing that needs a person; the roles that a profile rests
    on are assumed, to see that they can be. With --probe the session itself is minted, recorded like any
    other, and tried with one harmless read: a policy of the organization that denies root shows only there.
    Nobody is asked anything: where a person would be, run 'credhelper login NAME' first.

    \b
    --json prints one object:
      fit       true where there is no problem
      findings  a list of objects: level ("fine", "note", "problem"), check (a word),
                profile (a name or null), sentence, hints (a list of sentences)

    \b
    Examples:
      credhelper doctor
      credhelper doctor unlock-bucket
      credhelper doctor unlock-bucket --probe --reason 'first use'
      credhelper doctor --json | jq '.findings[] | select(.level == "problem")'
    """
    app = open_app(reason=reason, yes=yes)
    findings = practice.examine(app, [] if name is None else [name], probe=probe)
    emit((doctor_page.document if as_json else doctor_page.table)(findings).encode())
    problems = sum(finding.level == "problem" for finding in findings)
    if problems:
        raise CredhelperError(f"not fit: {problems} {'problem' if problems == 1 else 'problems'} found")
