"""`exec`: run a command with a profile's credentials, or once for each of many accounts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import click

from credhelper.cli.options import (
    complete_account,
    complete_profile,
    session_flags,
    wanted,
)
from credhelper.cli.output import JOBS, Batch, emit_json, print_results
from credhelper.errors import ConfigError
from credhelper.run import command as run_command
from credhelper.run import environment

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_JOBS: Final = 64

AFTER_DASHES: Final = "put the command and its options after '--': credhelper exec NAME -- CMD"


class _CommandAfterDashes(click.Command):
    """Everything after the first `--` is the command, options included."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        ctx.meta["command"] = args[at + 1 :]
        try:
            rest = super().parse_args(ctx, args[:at])
        except click.NoSuchOption as error:
            if error.possibilities or at < len(args):
                raise
            raise ConfigError(f"no such option '{error.option_name}'", AFTER_DASHES) from None
        if rest and not ctx.resilient_parsing:  # a shell is completing the line
            raise ConfigError(f"'{rest[0]}' is not after '--'", AFTER_DASHES)
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- CMD [ARGUMENT]...]"]


@click.command("exec", cls=_CommandAfterDashes, context_settings={"allow_extra_args": True})
@click.argument("name", shell_complete=complete_profile)
@click.option("--serve", is_flag=True, help="Give CMD an endpoint on loopback that renews the session.")
@click.option(
    "--accounts",
    multiple=True,
    metavar="ID,...|@FILE|all",
    help="Run CMD once for each of these accounts.",
    shell_complete=complete_account,
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="ID,...|@FILE",
    help="Leave out these accounts.",
    shell_complete=complete_account,
)
@click.option(
    "-j", "--jobs", type=click.IntRange(1, MOST_JOBS), help=f"How many accounts at a time (default {JOBS})."
)
@click.option("--dry-run", is_flag=True, help="Print the accounts; mint nothing for them.")
@session_flags
def exec(  # noqa: A001 - the command's name
    name: str,
    *,
    serve: bool,
    accounts: tuple[str, ...],
    exclude: tuple[str, ...],
    jobs: int | None,
    dry_run: bool,
    **flags: Any,
) -> int:
    """Run CMD with the credentials of profile NAME in its environment; without CMD, your shell.

    CMD gets AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_CREDENTIAL_EXPIRATION,
    CREDHELPER_PROFILE and CREDHELPER_ACCOUNT. It gets AWS_REGION and AWS_DEFAULT_REGION too: as they are set,
    or else the profile's region. AWS_PROFILE and other variables that lead an SDK to different credentials
    are removed.

    With --serve, CMD gets AWS_CONTAINER_CREDENTIALS_FULL_URI and a token instead of keys: SDKs read the
    session from an endpoint on 127.0.0.1, which renews it in time and ends with CMD. A renewal never prompts:
    if one would have to, the SDK fails with an error that names the 'credhelper login' to run.

    The exit status is CMD's. It is 127 if CMD is not found, 126 if it cannot be run, and that of 'get' if
    there is no session.

    With --accounts, CMD runs once for each account; NAME is an AssumeRoot profile without a target account.
    Accounts are ids, aliases from [accounts], @FILE with one a line, or 'all': the active accounts of the
    organization that the profile may be used on. Each finished account is a line of JSON: account, name, rc,
    stdout and stderr (up to 16 MiB of each), seconds, and error: null, or what failed other than CMD. CMD has
    no terminal and no stdin. The sessions are not cached. The exit status is 0 only if all succeeded. Ctrl-C
    ends the commands; a second one kills them.

    \b
    Examples:
      credhelper exec developer -- aws s3 ls
      credhelper exec audit-root@payments-prod --reason 'ticket 4711' -- ./audit.sh
      credhelper exec developer --serve -- terraform apply
      credhelper exec audit-root --accounts all --exclude @closing.txt -j 16 -- ./audit.sh >audit.jsonl
    """
    command: list[str] = click.get_current_context().meta["command"]
    if accounts:
        if serve:
            raise ConfigError("'--serve' does not go with '--accounts'")
        if flags["refresh"]:
            raise ConfigError("'--refresh' does not go with '--accounts', whose sessions are always minted")
        if not (command or dry_run):
            raise ConfigError("'--accounts' needs a command", "put it after '--'")
        _run_in_accounts(name, command, flags, (accounts, exclude), None if dry_run else jobs or JOBS)
        return 0
    for option, given in (("exclude", exclude), ("jobs", jobs), ("dry-run", dry_run)):
        if given:
            raise ConfigError(f"'--{option}' goes with '--accounts'")
    run_command.find(command, os.environ)  # before a session is minted for a command that does not exist
    app, request = wanted(name, flags)
    if not serve:
        return run_command.run(command, environment.environment(app, request), replace=True)
    with environment.served(app, request) as environ:
        return run_command.run(command, environ)


def _run_in_accounts(
    name: str,
    command: Sequence[str],
    flags: dict[str, Any],
    selection: tuple[Sequence[str], Sequence[str]],
    jobs: int | None,
) -> None:
    """Run the command for each account; without `jobs` print the accounts."""
    from credhelper.run.batch import AccountCommands

    app, request = wanted(name, flags)
    profile = app.config.open_profile(name, request.flags)
    commands = AccountCommands(app, profile, command)
    accounts = commands.batch.accounts(profile, *selection)
    if jobs is None:
        for each in accounts:
            emit_json({"account": each.id, "name": each.name})
        return
    hint = "in their lines 'rc' is not 0, or 'error' says what went wrong"
    print_results(
        Batch(name, len(accounts), "accounts", hint), commands.batch, commands.results(accounts, jobs)
    )
