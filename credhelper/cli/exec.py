"""`exec`: a command with a profile's credentials in its environment, or behind an endpoint of its own."""

from __future__ import annotations

import os
from typing import Any, Final

import click

from credhelper.cli.exec_accounts import refuse_alone, sweep, sweep_flags
from credhelper.cli.options import complete_profile, help_option, session_flags, wanted
from credhelper.errors import ConfigError
from credhelper.run import command as run_command
from credhelper.run import environment

BEHIND: Final = "a command and its options stand behind '--': credhelper exec NAME -- CMD"


class _BehindDashes(click.Command):
    """What stands behind the first `--` is the command, whatever it looks like."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        ctx.meta["command"] = args[at + 1 :]
        try:
            rest = super().parse_args(ctx, args[:at])
        except click.NoSuchOption as error:
            if error.possibilities or at < len(args):
                raise
            raise ConfigError(f"no such option '{error.option_name}'", BEHIND) from None
        if rest and not ctx.resilient_parsing:  # a shell is completing the line
            raise ConfigError(f"'{rest[0]}' does not stand behind '--'", BEHIND)
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- CMD [ARGUMENT]...]"]


@click.command("exec", cls=_BehindDashes, context_settings={"allow_extra_args": True})
@help_option
@click.argument("name", shell_complete=complete_profile)
@click.option("--serve", is_flag=True, help="Renew the session as long as CMD runs: an endpoint on loopback.")
@sweep_flags
@session_flags
def exec(name: str, *, serve: bool, **flags: Any) -> int:  # noqa: A001 - the verb's name
    """Run CMD with the credentials of profile NAME in its environment; without CMD, your shell.

    CMD gets AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_CREDENTIAL_EXPIRATION,
    CREDHELPER_PROFILE and CREDHELPER_ACCOUNT; and AWS_REGION and AWS_DEFAULT_REGION: those that are set
    already, else the profile's region. AWS_PROFILE and whatever else would lead an SDK to other credentials
    is removed.

    With --serve CMD gets no keys but AWS_CONTAINER_CREDENTIALS_FULL_URI and a token, by which every SDK asks
    an endpoint on 127.0.0.1. The session is renewed in time, and the endpoint is gone with CMD. Renewing asks
    nobody: where a person is needed, the SDK fails and names the 'credhelper login' that lets it go on.

    The exit status is CMD's; 127 where it is not found, 126 where it cannot be run, that of 'get' where there
    is no session for it.

    With --accounts CMD runs once for each of many accounts, for an AssumeRoot profile without a target of
    its own. They are ids or aliases from [accounts], @FILE with one a line, or 'all': the active members of
    the organization that the profile may be used on. Each is a line of JSON as soon as it is done: account,
    name, rc, stdout and stderr (16 MiB of each at most), seconds, and error, which is null or says what went
    wrong that was not CMD's doing. CMD has no terminal and no stdin. The sessions are kept nowhere. The exit
    status is 0 only if all went well. Ctrl-C ends the commands; once more, and they are killed.

    \b
    Examples:
      credhelper exec developer -- aws s3 ls
      credhelper exec audit-root@payments-prod --reason 'ticket 4711' -- ./audit.sh
      credhelper exec developer --serve -- terraform apply
      credhelper exec audit-root --accounts all --exclude @closing.txt -j 16 -- ./audit.sh >audit.jsonl
    """
    command: list[str] = click.get_current_context().meta["command"]
    if flags["accounts"]:
        if serve:
            raise ConfigError("'--serve' does not go with '--accounts'")
        sweep(name, command, flags)
        return 0
    refuse_alone(flags)
    run_command.find(command, os.environ)  # there is no point in a session that nobody uses
    app, request = wanted(name, flags)
    if not serve:
        return run_command.run(command, environment.environment(app, request), replace=True)
    with environment.served(app, request) as environ:
        return run_command.run(command, environ)
