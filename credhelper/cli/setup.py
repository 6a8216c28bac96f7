"""`setup`: profiles of ~/.aws/config that run credhelper."""

from __future__ import annotations

import os
import sys

import click

from credhelper.cli.context import open_app
from credhelper.cli.options import complete_account, complete_profile, help_option
from credhelper.cli.output import emit
from credhelper.cli.setup_run import SetupOptions, remove
from credhelper.cli.setup_run import setup as write


@click.command("setup")
@help_option
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_profile)
@click.option(
    "--accounts",
    multiple=True,
    metavar="ID,...|@FILE|all",
    shell_complete=complete_account,
    help="Accounts for profiles that leave their target open: a profile for each.",
)
@click.option("--prefix", default="", metavar="TEXT", help="Put this before the names in ~/.aws/config.")
@click.option("--dry-run", is_flag=True, help="Print what would change, and write nothing.")
@click.option("--remove", "removing", is_flag=True, help="Take the profiles NAME out; without NAME, all.")
def setup(
    names: tuple[str, ...], *, accounts: tuple[str, ...], prefix: str, dry_run: bool, removing: bool
) -> None:
    """Write profiles into ~/.aws/config that run credhelper, one for each NAME.

    They stand in a block between two comments, and nothing outside it changes. With NAME, the others in the
    block stay as they are; without, it is every profile of config.toml, and those that the block has already
    are written anew. A profile that leaves its target open needs accounts: PROFILE@ACCOUNT, or --accounts.

    Where there is no config.toml yet, one to fill in is written instead. --remove gives back the bytes that
    were there before; where something of yours would be lost, a copy is kept beside the file.

    \b
    Examples:
      credhelper setup --dry-run
      credhelper setup developer unlock-bucket
      credhelper setup audit-root --accounts payments-prod,111122223333
      credhelper setup --remove developer
    """
    if removing and accounts:
        raise click.UsageError("--remove takes names: PROFILE@ACCOUNT, or PROFILE for all its accounts")
    options = SetupOptions(names, accounts, prefix, dry_run)
    app = open_app()
    emit((remove(app, options) if removing else write(app, options, _directories())).encode())


def _directories() -> list[str]:
    """Where to look for the program: the PATH, then where this one is."""
    here = (os.path.dirname(os.path.abspath(path)) for path in (sys.argv[0], sys.executable))
    return [*os.environ.get("PATH", os.defpath).split(os.pathsep), *here]
