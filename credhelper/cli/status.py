"""`status`: what is cached, for which profile, and for how long."""

from __future__ import annotations

import json

import click

from credhelper.cli.context import open_app
from credhelper.cli.options import help_option
from credhelper.cli.output import emit
from credhelper.cli.screens import status as render
from credhelper.cli.status_run import probe


@click.command("status")
@help_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object; docs/json.md describes it.")
def status(*, as_json: bool) -> None:
    """Show every profile, where its session is cached, and how long that lasts. Never a secret.

    It works offline and opens no keyring, so nobody is asked to unlock one: what the keyring should have, the
    index of its items says. 'who' is the source identity or the role session that asked for the session,
    else the access key id under which CloudTrail shows it.

    \b
    Examples:
      credhelper status
      credhelper status --json | jq '.profiles[] | select(.cached != []) | .profile'
    """
    found = probe(open_app())
    emit(((json.dumps(found) + "\n") if as_json else render(found)).encode())
