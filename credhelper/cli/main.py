"""The command line: finds the command, and turns its outcome into an exit status.

On success stderr is empty, because some SDKs merge it into stdout. On failure stdout is empty, and stderr has
one `credhelper: error: SENTENCE` and at most two `credhelper: hint: SENTENCE` lines of printable ASCII, never
a secret: SDKs show them as their error.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import time
import warnings
from typing import TYPE_CHECKING, Any, Final

import click

from credhelper import app
from credhelper.agent import client
from credhelper.cli.options import ENVIRONMENT, EXIT_STATUSES, PROGRAM, files, help_option, version_option
from credhelper.errors import ConfigError, CredhelperError, lower_first, place_of, render

if TYPE_CHECKING:
    from credhelper.wire import PendingRequest

COMMAND_MODULES: Final = {
    "get": "get",
    "setup": "setup",
    "login": "login",
    "exec": "exec",
    "env": "env",
    "status": "status",
    "explain": "explain",
    "clear": "clear",
    "doctor": "doctor",
    "key": "key",
    "log": "log",
    "agent": "agent",
    "completion": "completion",
    "assume-root": "assume",
    "assume-role": "assume",
}
"""The commands and their modules: only the module of the command that runs is imported."""

SECTIONS: Final = {
    "Set up": ("setup", "key", "doctor", "completion"),
    "Use": ("get", "login", "exec", "env"),
    "Inspect": ("status", "explain", "log"),
    "Maintain": ("clear", "agent"),
    "API forms": ("assume-root", "assume-role"),
}
"""The commands as the help groups them."""

HIDDEN: Final = {"renew": "get", "complete": "completion"}


def main(arguments: list[str], began: float | None = None, pending: PendingRequest | None = None) -> int:
    """Run one command; returns its exit status and never raises.

    `began` is the start of the program on the monotonic clock; `pending` is the open request to the agent.
    """
    warnings.simplefilter("ignore")  # stderr stays empty, whatever PYTHONWARNINGS is
    start = app.Invocation(time.monotonic() if began is None else began, arguments[1:], pending)
    try:
        return _run(arguments, start)
    except CredhelperError as error:
        return _fail(error, start)
    except Exception as error:  # noqa: BLE001 - a traceback may quote secrets
        bug = CredhelperError(f"internal error: {place_of(error)}", "this is a bug: please report it")
        return _fail(bug, start)


def _fail(error: CredhelperError, start: app.Invocation) -> int:
    if start.pending is not None:
        client.settle(start.pending, error)
    with contextlib.suppress(OSError):  # stderr is closed; the exit status is left
        os.write(2, render(error))
    return error.status


def _run(arguments: list[str], start: app.Invocation) -> int:
    try:
        # No variable can be named "=": this turns click's own completion off.
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
    return lower_first(" ".join(message.split()).rstrip(".").replace('"', "'"))


class _LazyGroup(click.Group):
    """The commands, each imported when it runs."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # before click prints an empty line for it
            raise CredhelperError("interrupted") from None

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        with formatter.section("Environment"):
            formatter.write_dl(list(ENVIRONMENT.items()))
        with formatter.section("Files"):
            formatter.write_dl(files(os.environ))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, names in SECTIONS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(heading):
                formatter.write_dl([(name, each.get_short_help_str(130)) for name, each in commands if each])

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click passes it
        return list(COMMAND_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        module = COMMAND_MODULES.get(cmd_name) or HIDDEN.get(cmd_name)
        if module is None:
            return None
        commands = importlib.import_module(f"credhelper.cli.{module}")
        found: click.Command = getattr(commands, cmd_name.replace("-", "_"))
        for each in (found, *getattr(found, "commands", {}).values()):
            if each.epilog is None:
                each.epilog = EXIT_STATUSES
                help_option(each)
        return found


@click.group(
    cls=_LazyGroup,
    context_settings={"max_content_width": 100},
    epilog=EXIT_STATUSES,
)
@help_option
@version_option
def program() -> None:
    """AssumeRoot and AssumeRole sessions for every AWS SDK, cached in the OS keyring.

    Add this to ~/.aws/config, or run 'credhelper setup', and use the profile with any SDK or the AWS CLI:

    \b
      [profile unlock-bucket]
      credential_process = credhelper get unlock-bucket
    """
