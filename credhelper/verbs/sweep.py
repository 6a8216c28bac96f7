"""`exec --accounts`: a line of JSON an account on stdout, and a progress bar where stderr is a terminal."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import click

from credhelper.errors import ConfigError, CredhelperError
from credhelper.everywhere import Errand
from credhelper.verbs import emit, wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from credhelper.accounts import Account

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
        click.option("--exclude", multiple=True, metavar="ID,...|@FILE", help="But not these."),
        click.option(
            "--accounts",
            multiple=True,
            metavar="ID,...|@FILE|all",
            help="Run CMD once for each of these accounts.",
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
    errand = Errand(opened, opened.config.open_profile(name, request.flags), command)
    accounts = errand.accounts(chosen, left_out)
    if dry_run:
        emit("".join(_line({"account": each.id, "name": each.name}) for each in accounts).encode())
        return
    _go(name, errand, accounts, jobs or JOBS)


def refuse_alone(flags: dict[str, Any]) -> None:
    """Raise ConfigError where one of `sweep_flags` was given without --accounts."""
    flags.pop("accounts")
    for key in ("exclude", "jobs", "dry_run"):
        if flags.pop(key):
            raise ConfigError(f"'--{key.replace('_', '-')}' goes with '--accounts'")


def _go(name: str, errand: Errand, accounts: Sequence[Account], jobs: int) -> None:
    from credhelper.tables import Bar

    done = failed = 0
    errand.begin(accounts)
    with (
        Bar(name, len(accounts), shown=os.isatty(2)) as bar,
        errand.stop.on_signals(bar.stopping),
        contextlib.closing(errand.outcomes(accounts, jobs)) as outcomes,
    ):
        for outcome in outcomes:
            done, failed = done + 1, failed + outcome.failed
            with bar.aside(hidden=os.isatty(1)):
                emit(_line(asdict(outcome)).encode())
            bar.update(done, failed)
    if errand.stop.event.is_set() and (failed or done < len(accounts)):
        raise CredhelperError(f"interrupted after {done} of {len(accounts)} accounts")
    if errand.hopeless:
        raise errand.hopeless
    if failed:
        raise CredhelperError(
            f"{failed} of {len(accounts)} accounts failed",
            "in their lines 'rc' is not 0, or 'error' says what went wrong",
        )


def _line(document: dict[str, Any]) -> str:
    return json.dumps(document) + "\n"
