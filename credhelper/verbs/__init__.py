"""The verbs of the command line, a file each, and what they share: how they answer, the flags of a profile.

Only here and in `cli` is anything printed, is the environment read, and does the program exit.
"""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from credhelper import __version__, house, vocabulary
from credhelper import completion as fitting  # a verb of this package has the same name
from credhelper.consent import Said
from credhelper.errors import ConfigError, CredhelperError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from credhelper.client import Wish
    from credhelper.handover import Request

PROGRAM: Final = "credhelper"

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


ENVIRONMENT: Final = {
    "CREDHELPER_CONFIG": "another config.toml",
    "CREDHELPER_KEYRING": "auto, none, or the module.Class of a keyring backend",
    "CREDHELPER_AGENT": "auto, or off: without the process that remembers sessions",
    "CREDHELPER_PROMPT": "auto, none, or how to ask: command, tty, pinentry, osascript, zenity",
    "CREDHELPER_REASON": "why, where --reason does not say it",
    "CREDHELPER_LOG": "debug: say more in the log, and never a secret",
}
"""What the program reads of its own, and what it means."""


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


def refuse_terminal(*, show: bool, use: str = "SDKs run this command through credential_process") -> None:
    """Raise ConfigError where the answer would stay in a scrollback; `use` says how it is meant."""
    if os.isatty(1) and not show:
        raise ConfigError(
            "stdout is a terminal, and the answer is secret",
            f"{use}; to see it all the same, add --show",
        )


def started() -> house.Start:
    """How the program has started."""
    start: house.Start = click.get_current_context().find_object(house.Start) or house.Start(0.0)
    return start


def open_house(*, reason: str | None = None, yes: bool = False, login: bool = False) -> house.House:
    """The parts of the house, for this command."""
    return house.open_house(os.environ, started(), Said(reason, yes, login))


def _show_help(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's form
    if wanted and not ctx.resilient_parsing:  # a shell is completing a line that has the flag
        emit(ctx.get_help().encode() + b"\n")
        ctx.exit()


def _show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's form
    if wanted and not ctx.resilient_parsing:
        emit(f"{PROGRAM} {__version__}\n".encode())
        ctx.exit()


help_option = click.help_option("-h", "--help", callback=_show_help)

version_option = click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version.",
)


def _items(words: Iterable[fitting.Word]) -> list[CompletionItem[str]]:
    return [CompletionItem(word.text, "open" if word.open else "plain", word.help) for word in words]


def complete_profile(ctx: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    """For arguments that name a profile, or PROFILE@TARGET."""
    words = fitting.profiles(os.environ, begun)
    return _items(words if ctx.command.name not in BARE else fitting.profiles(os.environ, begun, bare=True))


BARE: Final = ("clear", "doctor", "exec", "explain", "setup")
"""The verbs for which an open profile without a target means something."""


def complete_account(_ctx: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    """For options that name an account."""
    return _items(fitting.accounts(os.environ, begun))


def complete_saved_key(_ctx: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    """For what names a saved key; the index knows them, and no keyring is opened."""
    saved = open_house().store.index.saved_keys()
    return [CompletionItem(key.name, help=key.access_key_id) for key in saved if key.name.startswith(begun)]


def complete_key(ctx: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    """For the flags of a profile's keys."""
    key = vocabulary.BY_NAME[str(option.name)]
    if key.name == "source_profile":
        return _items(fitting.sources(os.environ, begun))
    if key.name in ("target_principal", "allow_targets", "deny_targets"):
        return _items(fitting.accounts(os.environ, begun))
    if key.name == "source_key":
        return complete_saved_key(ctx, option, begun)
    if key.name == "ca_bundle":
        return [CompletionItem(begun, "file")]
    if key.name == "task_policy_arn":
        return [CompletionItem(name, help=words) for name, words in vocabulary.ROOT_TASKS.items()]
    return [CompletionItem(_FORMS.get(choice, str(choice))) for choice in key.choices]


_FORMS: Final[dict[object, str]] = {True: "true", False: "false"}


def consent_flags(command: Any) -> Any:
    """What the person says ahead of time: why, and that they mean it."""
    command = click.option("--yes", is_flag=True, help="Say yes to the profile's 'confirm'.")(command)
    return click.option("--reason", help="Why; for the record, and for {reason} in names and tags.")(command)


def cache_flags(command: Any) -> Any:
    """Whether what is cached will do."""
    command = click.option("--no-cache", is_flag=True, help="Mint; neither read nor store.")(command)
    said = "Mint now and store it; joins a mint that is under way."
    return click.option("--refresh", is_flag=True, help=said)(command)


def session_flags(command: Any) -> Any:
    """All of the flags that `wanted` understands."""
    return cache_flags(consent_flags(profile_flags(command)))


def wanted(name: str, flags: dict[str, Any]) -> tuple[house.House, Request]:
    """Whose session a command wants and how, as `session_flags` say, and the house to get it from."""
    from credhelper.handover import Request

    opened = open_house(reason=flags.pop("reason"), yes=flags.pop("yes"))
    wish: Wish = "mint" if flags.pop("refresh") else "get"
    cache = not flags.pop("no_cache")
    return opened, Request(name, house.given(flags), wish, cache)


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
            shell_complete=complete_key,
        )(command)
    return command


_METAVARS: Final = {
    "text": "TEXT",
    "number": "SECONDS",
    "texts": "TEXT...",
    "table": "KEY=VALUE",
    "tables": "K=V,K=V",
}
