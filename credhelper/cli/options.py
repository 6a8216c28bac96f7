"""The flags that commands share: help, version, JSON, approvals, cache, and every key of a profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from credhelper import __version__, paths
from credhelper.cli.context import open_app
from credhelper.cli.output import emit
from credhelper.config import keys
from credhelper.config.keys import BY_NAME
from credhelper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from click.shell_completion import CompletionItem

    from credhelper import app
    from credhelper.agent.client import CacheMode
    from credhelper.config.keys import Key
    from credhelper.run.environment import SessionRequest

PROGRAM: Final = "credhelper"

EXIT_STATUSES: Final = """\b
Exit status:
  0  success
  1  any other error
  2  wrong usage or configuration
  3  no usable source credentials
  4  AWS refused the request
  5  user interaction needed but not possible, or cancelled
  6  STS unreachable, throttled or failing, and no valid session in the cache
"""


ENVIRONMENT: Final = {
    "CREDHELPER_CONFIG": "path of config.toml",
    "CREDHELPER_KEYRING": "auto, none, or the module.Class of a keyring backend",
    "CREDHELPER_AGENT": "auto, or off: run without the agent",
    "CREDHELPER_PROMPT": "auto, none, or how to prompt: command, tty, pinentry, osascript, zenity",
    "CREDHELPER_REASON": "the reason, unless --reason gives one",
    "CREDHELPER_LOG": "debug: log more details, never a secret",
}
"""credhelper's own environment variables."""


def files(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """credhelper's files, with their content."""
    places = paths.find(environ)
    return [
        (places.config, "the profiles; CREDHELPER_CONFIG names another file"),
        (places.audit, "the audit log: sessions minted and refused"),
        (places.log, "non-fatal errors"),
    ]


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


def _completer(name: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]:
    """A completer that is imported when a shell asks for candidates."""

    def complete(ctx: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem[str]]:
        from credhelper.cli import completers as cli_completers

        found: list[CompletionItem[str]] = getattr(cli_completers, name)(ctx, option, begun)
        return found

    return complete


complete_profile = _completer("profile")
complete_account = _completer("account")
complete_saved_key = _completer("saved_key")
complete_key = _completer("key")


def consent_flags(command: Any) -> Any:
    """Answers to prompts: --reason and --yes."""
    command = click.option("--yes", is_flag=True, help="Confirm; for profiles with 'confirm'.")(command)
    help_text = "The reason; for the audit log, and for {reason} in names and tags."
    return click.option("--reason", help=help_text)(command)


def cache_flags(command: Any) -> Any:
    """--refresh and --no-cache."""
    command = click.option("--no-cache", is_flag=True, help="Mint a session, and do not cache it.")(command)
    help_text = "Mint a session and cache it, or wait for one that is being minted."
    return click.option("--refresh", is_flag=True, help=help_text)(command)


show_flag = click.option("--show", is_flag=True, help="Print the secrets even if stdout is a terminal.")

json_flag = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object; docs/json.md describes it."
)


def session_flags(command: Any) -> Any:
    """All flags that `wanted` takes."""
    return cache_flags(consent_flags(profile_flags(command)))


def profile_flags(command: Any) -> Any:
    """Every key of a profile as a flag."""
    for key in reversed(keys.KEYS):
        command = click.option(
            key.flag if key.form != "boolean" else f"{key.flag}/--no-{key.flag[2:]}",
            key.name,
            default=None,
            multiple=key.form in ("texts", "table", "tables"),
            type=int if key.form == "number" else None,
            metavar="BYTES" if key.name.endswith("_size") else _METAVARS.get(key.form),
            help=key.help,
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


def wanted(name: str, flags: dict[str, Any]) -> tuple[app.App, SessionRequest]:
    """The app, and the session that a command with `session_flags` requests."""
    from credhelper.run.environment import SessionRequest

    opened = open_app(reason=flags.pop("reason"), yes=flags.pop("yes"))
    mode: CacheMode = "mint" if flags.pop("refresh") else "get"
    cache = not flags.pop("no_cache")
    return opened, SessionRequest(name, given(flags), mode, cache)


def given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that are set, in the form of config.toml."""
    return {
        name: _from_flag(BY_NAME[name], value) for name, value in flags.items() if value not in (None, ())
    }


def _from_flag(key: Key, value: Any) -> Any:
    if key.form == "texts":
        return list(value)
    if key.form == "table":
        return dict(_pair(key, text) for text in value)
    if key.form == "tables":
        return [dict(_pair(key, part) for part in text.split(",")) for text in value]
    if key.form == "boolean or text" and value in ("true", "false"):
        return value == "true"
    return value


def _pair(key: Key, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"'{key.flag}' takes KEY=VALUE, not '{text}'")
    return name, value
