"""`exec --accounts`: a line of JSON an account on stdout, and a progress bar where stderr is a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from credhelper.cli.options import complete_account, wanted
from credhelper.cli.output import Crowd, emit, tell
from credhelper.errors import ConfigError
from credhelper.run.batch import AccountCommands

if TYPE_CHECKING:
    from collections.abc import Sequence

JOBS: Final = 8
MOST_JOBS: Final = 64


def sweep_flags(command: Any) -> Any:
    """Where a command goes, and how."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Only say which accounts; nothing is minted for them."),
        click.option(
            "-j",
            "--jobs",
            type=click.IntRange(1, MOST_JOBS),
            help=f"How many accounts at a time (default {JOBS}).",
        ),
        click.option(
            "--exclude",
            multiple=True,
            metavar="ID,...|@FILE",
            help="But not these.",
            shell_complete=complete_account,
        ),
        click.option(
            "--accounts",
            multiple=True,
            metavar="ID,...|@FILE|all",
            help="Run CMD once for each of these accounts.",
            shell_complete=complete_account,
        ),
    ):
        command = option(command)
    return command


def sweep(name: str, command: Sequence[str], flags: dict[str, Any]) -> None:
    """Run a command for each account. `flags` are those of `sweep_flags` and `session_flags`."""
    chosen, left_out, jobs, dry_run = (flags.pop(key) for key in ("accounts", "exclude", "jobs", "dry_run"))
    if flags["refresh"]:
        raise ConfigError("'--refresh' does not go with '--accounts', whose sessions are always minted")
    if not (command or dry_run):
        raise ConfigError("'--accounts' needs a command", "put it behind '--'")
    opened, request = wanted(name, flags)
    profile = opened.config.open_profile(name, request.flags)
    commands = AccountCommands(opened, profile, command)
    accounts = commands.batch.accounts(profile, chosen, left_out)
    if dry_run:
        lines = (json.dumps({"account": each.id, "name": each.name}) + "\n" for each in accounts)
        emit("".join(lines).encode())
        return
    hint = "in their lines 'rc' is not 0, or 'error' says what went wrong"
    crowd = Crowd(name, len(accounts), "accounts", hint)
    tell(crowd, commands.batch, commands.results(accounts, jobs or JOBS))


def refuse_alone(flags: dict[str, Any]) -> None:
    """Raise ConfigError where one of `sweep_flags` was given without --accounts."""
    flags.pop("accounts")
    for key in ("exclude", "jobs", "dry_run"):
        if flags.pop(key):
            raise ConfigError(f"'--{key.replace('_', '-')}' goes with '--accounts'")
