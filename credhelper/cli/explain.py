"""`explain`: what a profile comes to, offline."""

from __future__ import annotations

import json
from typing import Any

import click

from credhelper.cli import explain_run as room
from credhelper.cli import screens
from credhelper.cli.context import open_app
from credhelper.cli.options import complete_profile, given, help_option, profile_flags
from credhelper.cli.output import emit


@click.command("explain")
@help_option
@click.argument("name", shell_complete=complete_profile)
@click.option("--json", "as_json", is_flag=True, help="One JSON object; docs/json.md describes it.")
@click.option("--reason", help="Why; for {reason} in names and tags.")
@profile_flags
def explain(name: str, *, as_json: bool, reason: str | None, **flags: Any) -> None:
    """Explain profile NAME: the calls it makes, where each of its keys stands, whom it would ask.

    Nothing is sent, nothing is started, and no keyring is opened. What is wrong with the profile is a part of
    the answer: the exit status is 0 all the same.

    \b
    Examples:
      credhelper explain developer
      credhelper explain audit-root@payments-prod
      credhelper explain developer --json | jq .call.parameters
    """
    found = room.explain(open_app(reason=reason), name, given(flags))
    emit(((json.dumps(found) + "\n") if as_json else screens.explain(found)).encode())
