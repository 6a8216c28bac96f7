"""The command line: one function a verb. The only place that prints, reads the environment and exits.

stdout carries what was asked for or nothing. stderr is empty on success, because some SDKs merge it into
stdout. On failure it has one `credhelper: error: SENTENCE` and at most two `credhelper: hint: SENTENCE`
lines, printable ASCII, and never a secret: SDKs show that text as their whole error.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any, Final

import click

from credhelper import __version__, client, commands, remote, vocabulary
from credhelper.errors import ConfigError, CredhelperError, spoken

if TYPE_CHECKING:
    from credhelper.wire import Ticket

PROGRAM: Final = "credhelper"
RENEWAL_SPARE: Final = 5
"""Seconds after its deadline at which the system ends a renewal that has not ended itself."""

EXIT_STATUSES: Final = """\b
Exit status:
  0  done
  1  anything not below
  2  usage or configuration
  3  no usable source credentials
  4  AWS refused
  5  a human is needed and none can be reached, or they cancelled
  6  STS not reachable, throttled or failing, and nothing valid in the cache
"""


def main(arguments: list[str], began: float | None = None, ticket: Ticket | None = None) -> int:
    """Run one command; returns its exit status and never raises.

    `began` is when the program started, on the monotonic clock; `ticket` is what asking the agent has left.
    """
    warnings.simplefilter("ignore")  # whatever PYTHONWARNINGS says: stderr has to stay empty
    start = commands.Start(time.monotonic() if began is None else began, arguments[1:], ticket)
    try:
        return _run(arguments, start)
    except CredhelperError as error:
        return _fail(error, start)
    except Exception as error:  # noqa: BLE001 - a traceback may quote secrets and is no answer to an SDK
        return _fail(_internal(error), start)


def _fail(error: CredhelperError, start: commands.Start) -> int:
    if start.ticket is not None:
        client.settle(start.ticket, error)
    with contextlib.suppress(OSError):  # nobody is listening; the exit status still says it
        os.write(2, spoken(error))
    return error.status


def _run(arguments: list[str], start: commands.Start) -> int:
    try:
        # No variable has the name "=": click's completion must not answer in the place of a command.
        status = program.main(
            arguments, prog_name=PROGRAM, standalone_mode=False, obj=start, complete_var="="
        )
    except click.exceptions.NoArgsIsHelpError as error:
        raise ConfigError(
            "no command given", f"run '{error.ctx.command_path} --help'" if error.ctx else ""
        ) from None
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else PROGRAM
        raise ConfigError(_as_sentence(error.format_message()), f"run '{path} --help'") from None
    except (click.exceptions.Abort, KeyboardInterrupt):
        raise CredhelperError("interrupted") from None
    except click.exceptions.Exit as error:
        return error.exit_code
    return status if isinstance(status, int) else 0


def _as_sentence(message: str) -> str:
    text = message.strip().rstrip(".").replace("\n", " ").replace('"', "'")
    return text[:1].lower() + text[1:]


def _internal(error: Exception) -> CredhelperError:
    """A defect of ours, by its place and never by its text."""
    import traceback

    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(frame.filename)} line {frame.lineno}"
    return CredhelperError(
        f"internal error: {type(error).__name__} in {place}", "this is a bug: please report it"
    )


def emit(content: bytes) -> None:
    """Write an answer to stdout, in one write: some SDKs append a reader's whole buffer to a short read."""
    try:
        while content:
            if sys.platform != "win32":
                select.select([], [1], [])  # a pipe that its owner has made non-blocking may be full
            content = content[os.write(1, content) :]
    except OSError as error:
        raise CredhelperError(
            f"cannot write the answer to stdout: {(error.strerror or 'error').lower()}"
        ) from None


def _show_help(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's form
    if wanted:
        emit(ctx.get_help().encode() + b"\n")
        ctx.exit()


def _show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's form
    if wanted:
        emit(f"{PROGRAM} {__version__}\n".encode())
        ctx.exit()


help_option = click.help_option("-h", "--help", callback=_show_help)


class _Sections(click.Group):
    """Lists the verbs in the order in which one meets them, and the files of this user."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # before click prints an empty line for it
            raise CredhelperError("interrupted") from None

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        with formatter.section("Files"):
            formatter.write_dl(commands.files(os.environ))

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click passes it
        return list(self.commands)


@click.group(
    cls=_Sections,
    context_settings={"max_content_width": 100},
    epilog=EXIT_STATUSES,
)
@help_option
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version.",
)
def program() -> None:
    """AssumeRoot and AssumeRole sessions for every AWS SDK, kept in the OS keyring.

    Put this into ~/.aws/config and use the profile with any SDK or the AWS CLI:

    \b
      [profile unlock-bucket]
      credential_process = credhelper get unlock-bucket
    """


def _start() -> commands.Start:
    started: commands.Start = click.get_current_context().obj
    return started


def profile_flags(command: Any) -> Any:
    """Every key of a profile as a flag: one vocabulary."""
    for key in reversed(vocabulary.KEYS):
        command = click.option(
            key.flag if key.form != "boolean" else f"{key.flag}/--no-{key.flag[2:]}",
            key.name,
            default=None,
            multiple=key.form in ("texts", "table", "tables"),
            type=int if key.form == "number" else None,
            metavar="BYTES" if key.name.endswith("_size") else _METAVARS.get(key.form),
            help=key.meaning,
        )(command)
    return command


_METAVARS: Final = {
    "text": "TEXT",
    "number": "SECONDS",
    "texts": "TEXT...",
    "table": "KEY=VALUE",
    "tables": "K=V,K=V",
}


@program.command("get", epilog=EXIT_STATUSES)
@help_option
@click.argument("name")
@click.option("--refresh", is_flag=True, help="Mint now and store it; joins a mint that is under way.")
@click.option("--no-cache", is_flag=True, help="Mint; neither read nor store.")
@click.option("--show", is_flag=True, help="Print the secrets although stdout is a terminal.")
@click.option("--reason", help="Why; for the record, and for {reason} in names and tags.")
@click.option("--yes", is_flag=True, help="Say yes to the profile's 'confirm'.")
@profile_flags
def get(
    name: str, *, refresh: bool, no_cache: bool, show: bool, reason: str | None, yes: bool, **flags: Any
) -> None:
    """Print the credentials of profile NAME as the JSON that SDKs read.

    This is what credential_process runs. NAME is a profile of config.toml, or PROFILE@TARGET for an
    AssumeRoot profile without a target of its own: TARGET is an account id or an alias from [accounts].

    The flags below --yes are the keys of a profile; each beats what the file says.

    \b
    Examples:
      credhelper get developer | jq .Expiration
      credhelper get audit-root@payments-prod --reason 'ticket 4711' | jq .AccountId
    """
    if os.isatty(1) and not show:
        raise ConfigError(
            "stdout is a terminal, and the answer is secret",
            "SDKs run this command through credential_process; to see it all the same, add --show",
        )
    house = commands.open_house(os.environ, _start(), reason=reason, yes=yes)
    wish: client.Wish = "mint" if refresh else "get"
    emit(commands.get(house, name, flags, wish=wish, cache=not no_cache))


def _renew(name: str, *, reason: str | None, yes: bool, **flags: Any) -> None:
    """Mint ahead of need, for a `get` with these arguments that the agent has answered.

    Nobody waits for this: nobody is asked, nothing is printed, and it ends in time whatever hangs.
    """
    start = _start()
    if sys.platform != "win32":
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        signal.alarm(int(commands.GET_SECONDS) + RENEWAL_SPARE)
    start.ticket = commands.renewal(os.environ, start.arguments)
    start.hushed = True
    if start.ticket is not None:
        house = commands.open_house(os.environ, start, reason=reason, yes=yes)
        keys = {key: flag for key, flag in flags.items() if key in vocabulary.BY_NAME}
        commands.get(house, name, keys, wish="renew")


program.add_command(click.Command("renew", params=get.params, callback=_renew, hidden=True))


@program.command("clear")
@help_option
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--all", "everything", is_flag=True, help="Every profile, and MFA sessions that profiles share."
)
def clear(names: tuple[str, ...], *, everything: bool) -> None:
    """Forget the cached credentials of the profiles NAME.

    Profiles that make the same call share a session and are forgotten together. Saved keys stay, and so do
    MFA sessions that several roles share, unless --all is given.

    AWS cannot revoke a session: what was minted works until it expires, and this command says until when.
    """
    if bool(names) == everything:
        raise click.UsageError("name the profiles to clear, or say --all")
    from credhelper.clear import clear as forget

    emit(forget(commands.open_house(os.environ, _start()), names).encode())


@program.command("log")
@help_option
@click.option(
    "--since", metavar="WHEN", help="Only from then on: 2026-11-22, 2026-11-22T08:00:00Z, 90m, 12h, 7d."
)
@click.option(
    "--kind", type=click.Choice([*vocabulary.API]), help="Only AssumeRoot, AssumeRole or GetSessionToken."
)
@click.option("--account", metavar="ID", help="Only this account: an id or an alias.")
@click.option("--json", "form", flag_value="json", help="One JSON object a line.")
@click.option("--csv", "form", flag_value="csv", help="Comma-separated values, with a header.")
@click.option("--cloudtrail", metavar="KEYID", help="Print the commands that find this session's events.")
def log(
    since: str | None, kind: str | None, account: str | None, form: str | None, cloudtrail: str | None
) -> None:
    """Show the record of sessions minted and refused, oldest first.

    The record is evidence, not proof: its owner can edit it. AWS's own record is CloudTrail, and
    --cloudtrail prints the AWS CLI commands that find a session there by its access key id.
    """
    from credhelper import report

    house = commands.open_house(os.environ, _start())
    if cloudtrail is not None:
        emit(report.cloudtrail(house.audit.lines(), cloudtrail).encode())
        return
    lines = report.select(house.audit.lines(), since=since, kind=kind, account=account)
    emit(report.render(lines, form or "table").encode())


@program.group("agent")
@help_option
def agent() -> None:
    """The process that remembers sessions, so that an answer costs no more than starting an interpreter.

    It comes with the first caller that needs it and leaves when it has had nothing to remember for a while
    ([agent] idle_exit); nobody has to start or stop it. [agent] mode = "off" or CREDHELPER_AGENT=off does
    without it.
    """


@agent.command("run")
@help_option
def agent_run() -> None:
    """Be the agent, in the foreground: for systemd and other supervisors."""
    commands.run_agent(commands.open_house(os.environ, _start()))


@agent.command("start")
@help_option
def agent_start() -> None:
    """Start the agent in the background, where none runs."""
    emit(commands.start_agent(commands.open_house(os.environ, _start())).encode())


@agent.command("stop")
@help_option
def agent_stop() -> None:
    """End the agent; what only it remembers is minted anew when it is needed."""
    emit(commands.stop_agent(commands.open_house(os.environ, _start())).encode())


@agent.command("status")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: running, pid, sessions.")
@help_option
def agent_status(*, as_json: bool) -> None:
    """Show what the agent remembers: profiles, and how long their sessions last. Never a secret."""
    from credhelper import report

    house = commands.open_house(os.environ, _start())
    found = remote.Remote(commands.agent_directory(house.environ)).status()
    emit(report.agent(found, as_json=as_json).encode())
