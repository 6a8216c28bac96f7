"""The command line: which verb is meant, and how everything ends.

stdout carries what was asked for or nothing. stderr is empty on success, because some SDKs merge it into
stdout. On failure it has one `credhelper: error: SENTENCE` and at most two `credhelper: hint: SENTENCE`
lines, printable ASCII, and never a secret: SDKs show that text as their whole error.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import time
import warnings
from typing import TYPE_CHECKING, Any, Final

import click

from credhelper import app, paths
from credhelper.agent import client
from credhelper.cli.options import ENVIRONMENT, EXIT_STATUSES, PROGRAM, help_option, version_option
from credhelper.errors import ConfigError, CredhelperError, render

if TYPE_CHECKING:
    from credhelper.wire import PendingRequest

VERBS: Final = {
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
"""The verbs, in the order of the help, and the file of each: only the one that is meant is loaded."""

SECTIONS: Final = {
    "Begin": ("setup", "key", "doctor", "completion"),
    "Use": ("get", "login", "exec", "env"),
    "Look": ("status", "explain", "log"),
    "Forget": ("clear", "agent"),
    "API forms": ("assume-root", "assume-role"),
}
"""The verbs as the help groups them, in the order in which one meets them."""

HIDDEN: Final = {"renew": "get", "complete": "completion"}


def main(arguments: list[str], began: float | None = None, pending: PendingRequest | None = None) -> int:
    """Run one command; returns its exit status and never raises.

    `began` is when the program started, on the monotonic clock; `pending` is what asking the agent has left.
    """
    warnings.simplefilter("ignore")  # whatever PYTHONWARNINGS says: stderr has to stay empty
    start = app.Invocation(time.monotonic() if began is None else began, arguments[1:], pending)
    try:
        return _run(arguments, start)
    except CredhelperError as error:
        return _fail(error, start)
    except Exception as error:  # noqa: BLE001 - a traceback may quote secrets and is no answer to an SDK
        return _fail(_internal(error), start)


def _fail(error: CredhelperError, start: app.Invocation) -> int:
    if start.pending is not None:
        client.settle(start.pending, error)
    with contextlib.suppress(OSError):  # nobody is listening; the exit status still says it
        os.write(2, render(error))
    return error.status


def _run(arguments: list[str], start: app.Invocation) -> int:
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
    text = " ".join(message.split()).rstrip(".").replace('"', "'")
    return text[:1].lower() + text[1:]


def _internal(error: Exception) -> CredhelperError:
    """A defect of ours, by its place and never by its text."""
    import traceback

    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(frame.filename)} line {frame.lineno}"
    return CredhelperError(
        f"internal error: {type(error).__name__} in {place}", "this is a bug: please report it"
    )


class _Verbs(click.Group):
    """Loads the verb that is meant; lists all of them in the order in which one meets them."""

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
            places = paths.find(os.environ)
            formatter.write_dl(
                [
                    (places.config, "the profiles; CREDHELPER_CONFIG names another file"),
                    (places.audit, "the audit log: sessions minted and refused"),
                    (places.log, "non-fatal errors"),
                ]
            )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, verbs in SECTIONS.items():
            found = [(verb, self.get_command(ctx, verb)) for verb in verbs]
            if any(command for _, command in found):
                with formatter.section(heading):
                    formatter.write_dl([(verb, each.get_short_help_str(130)) for verb, each in found if each])

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click passes it
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        module = VERBS.get(cmd_name) or HIDDEN.get(cmd_name)
        if module is None:
            return None
        verbs = importlib.import_module(f"credhelper.cli.{module}")
        found: click.Command = getattr(verbs, cmd_name.replace("-", "_"))
        for each in (found, *getattr(found, "commands", {}).values()):
            each.epilog = each.epilog or EXIT_STATUSES
        return found


@click.group(
    cls=_Verbs,
    context_settings={"max_content_width": 100},
    epilog=EXIT_STATUSES,
)
@help_option
@version_option
def program() -> None:
    """AssumeRoot and AssumeRole sessions for every AWS SDK, kept in the OS keyring.

    Put this into ~/.aws/config and use the profile with any SDK or the AWS CLI:

    \b
      [profile unlock-bucket]
      credential_process = credhelper get unlock-bucket
    """
