"""`login`: what a person has to say, said ahead of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from credhelper.cli import login_run as room
from credhelper.cli.context import open_app
from credhelper.cli.options import (
    EXIT_STATUSES,
    complete_profile,
    consent_flags,
    given,
    help_option,
    profile_flags,
)
from credhelper.cli.output import emit

if TYPE_CHECKING:
    from credhelper.agent.client import CacheMode


@click.command("login", epilog=EXIT_STATUSES)
@help_option
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_profile)
@click.option("--refresh", is_flag=True, help="Mint anew although a session is cached.")
@consent_flags
@profile_flags
def login(names: tuple[str, ...], *, refresh: bool, reason: str | None, yes: bool, **flags: Any) -> None:
    """Say ahead of time what the sessions of the profiles NAME need: an MFA code, a yes, a reason.

    Asks on the terminal, or in a dialog where there is none, mints what is missing, and prints how long
    everything lasts; never a secret. Programs that use the profiles then find the session, and so does
    whoever could not ask you.

    A session that has renewed itself for as long as 'renew_for' allows (AssumeRoot: an hour) goes on for as
    long again. A reason holds until the session has ended and nobody has renewed it.

    \b
    Examples:
      credhelper login developer
      credhelper login unlock-bucket --reason 'ticket 4711'
      credhelper login audit-root@payments-prod --yes
    """
    mode: CacheMode = "mint" if refresh else "get"
    said = []
    for name in names:
        app = open_app(reason=reason, yes=yes, login=True)
        said.append(room.login(app, app.config.profile(name, given(flags)), mode=mode))
    emit("".join(said).encode())
