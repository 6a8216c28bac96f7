"""The candidates for profiles, accounts, saved keys and values, for shell completion.

They are read from config.toml as it is, perhaps half written: invalid names are skipped, and an unreadable
file has no names.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from click.shell_completion import CompletionItem

from credhelper import paths
from credhelper.awsconfig import profiles as aws_profiles
from credhelper.cli.context import open_app
from credhelper.config import keys, toml, validation
from credhelper.config.aws_names import ACCOUNT_ID, TASKS, short_task
from credhelper.config.keys import NAME
from credhelper.errors import ConfigError, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import click

    Item = CompletionItem[str]

BARE: Final = ("clear", "doctor", "exec", "explain", "setup")
"""The commands that accept a profile without its target."""

HELP_LIMIT: Final = 60
PLAIN: Final = r"[A-Za-z0-9._+@:/-]+"
"""Characters without a meaning for any shell: candidates are inserted unquoted."""

_FLAG_VALUES: Final[dict[object, str]] = {True: "true", False: "false"}


def profile(ctx: click.Context, _: click.Parameter, begun: str) -> list[Item]:
    """Complete PROFILE or PROFILE@TARGET."""
    return profiles(os.environ, begun, bare=ctx.command.name in BARE)


def account(_ctx: click.Context, _: click.Parameter, begun: str) -> list[Item]:
    """Complete an account, or the last of a list of accounts."""
    return accounts(os.environ, begun)


def saved_key(_ctx: click.Context, _: click.Parameter, begun: str) -> list[Item]:
    """Complete the name of a saved key, from the index: no keyring is opened."""
    saved = open_app().store.index.saved_keys()
    return _matching((CompletionItem(key.name, help=key.access_key_id) for key in saved), begun)


def key(ctx: click.Context, option: click.Parameter, begun: str) -> list[Item]:
    """Complete the value of a profile flag."""
    meant = keys.BY_NAME[str(option.name)]
    if meant.name == "source_profile":
        return sources(os.environ, begun)
    if meant.name in ("target_principal", "allow_targets", "deny_targets"):
        return accounts(os.environ, begun)
    if meant.name == "source_key":
        return saved_key(ctx, option, begun)
    if meant.name == "ca_bundle":
        return [CompletionItem(begun, "file")]
    if meant.name == "task_policy_arn":
        return [CompletionItem(name, help=task.purpose) for name, task in TASKS.items()]
    return [CompletionItem(_FLAG_VALUES.get(each, str(each))) for each in meant.choices]


def profiles(environ: Mapping[str, str], begun: str, *, bare: bool = False) -> list[Item]:
    """The profiles that match; after an '@', the accounts. `bare`: also without the target it needs."""
    tables = _read(environ)
    name, at, _ = begun.partition("@")
    if not at:
        return _matching(_profiles(tables, bare=bare), begun)
    needs_target = _needs_target(_named(tables, "profiles").get(name))
    found = _accounts(tables) if needs_target else ()
    return _matching((CompletionItem(f"{name}@{each.value}", help=each.help) for each in found), begun)


def accounts(environ: Mapping[str, str], begun: str) -> list[Item]:
    """The aliases that match the last part of a comma-separated list."""
    before, comma, last = begun.rpartition(",")
    found = _matching(_accounts(_read(environ)), last)
    return [CompletionItem(f"{before}{comma}{each.value}", help=each.help) for each in found]


def sources(environ: Mapping[str, str], begun: str) -> list[Item]:
    """The names that `source_profile` accepts: profiles of config.toml and of the AWS files."""
    found = {each.value: each for each in _profiles(_read(environ), bare=True) if each.type == "plain"}
    try:
        for name in aws_profiles.read(environ).profiles:
            if validation.matches(PLAIN, name):
                found.setdefault(name, CompletionItem(name, help="AWS profile"))
    except ConfigError:
        pass
    return _matching(found.values(), begun)


def _matching(items: Iterable[Item], begun: str) -> list[Item]:
    return [item for item in items if item.value.startswith(begun)]


def _read(environ: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        return toml.read(paths.find(environ).config)[1]
    except ConfigError:
        return {}


def _named(tables: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The entries of a table that have a valid name."""
    table = tables.get(name)
    entries = table.items() if isinstance(table, dict) else ()
    return {key: value for key, value in entries if validation.matches(NAME, key)}


def _accounts(tables: Mapping[str, Any]) -> Iterator[Item]:
    for alias, account_id in _named(tables, "accounts").items():
        if isinstance(account_id, str) and validation.matches(ACCOUNT_ID, account_id):
            yield CompletionItem(alias, help=account_id)


def _profiles(tables: Mapping[str, Any], *, bare: bool) -> Iterator[Item]:
    for name, table in _named(tables, "profiles").items():
        if bare or not _needs_target(table):
            yield CompletionItem(name, help=_description(table))
        if _needs_target(table):  # 'open': the shell adds no space, the account follows
            yield CompletionItem(f"{name}@", "open", _description(table))


def _needs_target(table: object) -> bool:
    return isinstance(table, dict) and "task_policy_arn" in table and "target_principal" not in table


def _description(table: object) -> str:
    if not isinstance(table, dict):
        return ""
    task, role = table.get("task_policy_arn"), table.get("role_arn")
    session = short_task(str(task)) if task else str(role or "").rpartition(":")[2]
    return printable(str(table.get("description") or session), HELP_LIMIT)
