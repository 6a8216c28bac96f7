"""`clear`: forgetting sessions."""

from __future__ import annotations

import click

from credhelper.cli.clear_run import clear as forget
from credhelper.cli.context import open_app
from credhelper.cli.options import complete_profile, help_option
from credhelper.cli.output import emit


@click.command("clear")
@help_option
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_profile)
@click.option(
    "--all", "everything", is_flag=True, help="Every profile, and MFA sessions that profiles share."
)
def clear(names: tuple[str, ...], *, everything: bool) -> None:
    """Forget the cached credentials of the profiles NAME.

    Profiles that make the same call share a session and are forgotten together. Saved keys stay, and so do
    MFA sessions that several roles share, unless --all is given.

    AWS cannot revoke a session: what was minted works until it expires, and this command says until when.

    \b
    Examples:
      credhelper clear developer
      credhelper clear audit-root@payments-prod
      credhelper clear --all
    """
    if bool(names) == everything:
        raise click.UsageError("name the profiles to clear, or say --all")
    emit(forget(open_app(), names).encode())
