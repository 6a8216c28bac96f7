"""`log`: the record of sessions."""

from __future__ import annotations

import click

from credhelper.cli import log_run
from credhelper.cli.context import open_app
from credhelper.cli.options import complete_account, help_option
from credhelper.cli.output import emit
from credhelper.config import keys


@click.command("log")
@help_option
@click.option(
    "--since", metavar="WHEN", help="Only from then on: 2026-11-22, 2026-11-22T08:00:00Z, 90m, 12h, 7d."
)
@click.option(
    "--kind", type=click.Choice([*keys.API]), help="Only AssumeRoot, AssumeRole or GetSessionToken."
)
@click.option(
    "--account", metavar="ID", help="Only this account: an id or an alias.", shell_complete=complete_account
)
@click.option("--json", "form", flag_value="json", help="One JSON object a line; docs/json.md describes it.")
@click.option("--csv", "form", flag_value="csv", help="Comma-separated values, with a header.")
@click.option("--cloudtrail", metavar="KEYID", help="Print the commands that find this session's events.")
def log(
    since: str | None, kind: str | None, account: str | None, form: str | None, cloudtrail: str | None
) -> None:
    """Show the record of sessions minted and refused, oldest first.

    The record is evidence, not proof: its owner can edit it. AWS's own record is CloudTrail, and
    --cloudtrail prints the AWS CLI commands that find a session there by its access key id.

    Who asked and why are columns where there is room for them: in a pipe, and on 120 columns.

    \b
    Examples:
      credhelper log --since 7d --kind root
      credhelper log --account payments-prod --csv > sessions.csv
      credhelper log --json | jq 'select(.outcome != "minted")'
      credhelper log --cloudtrail ASIAIOSFODNN7EXAMPLE
    """
    app = open_app()
    if cloudtrail is not None:
        emit(log_run.cloudtrail(app.audit.lines(), cloudtrail).encode())
        return
    lines = log_run.select(app.audit.lines(), since=since, kind=kind, account=account)
    emit(log_run.render(lines, form or "table").encode())
