"""What may stand where a profile or an account is named, for the shells' completion.

It is read out of config.toml as that is at the moment, half written perhaps: what is no valid name is passed
over, and a file that cannot be read has no names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from credhelper import paths
from credhelper.awsconfig import profiles as awsconfig_profiles
from credhelper.config import toml, validation
from credhelper.config.aws_names import ACCOUNT_ID, short_task
from credhelper.config.keys import NAME
from credhelper.errors import ConfigError, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HELP_LIMIT: Final = 60
PLAIN: Final = r"[A-Za-z0-9._+@:/-]+"
"""Characters that no shell gives a meaning to: what is completed stands in the person's line as it is."""


@dataclass(frozen=True)
class Word:
    """A word that fits, and what to say about it. One that is `open` goes on: no space behind it."""

    text: str
    help: str = ""
    open: bool = False


def profiles(environ: Mapping[str, str], begun: str, *, bare: bool = False) -> list[Word]:
    """The profiles that begin so; behind an '@', the accounts that an open one can be aimed at.

    `bare` is where an open profile may also stand for all its targets.
    """
    tables = _read(environ)
    name, at, _ = begun.partition("@")
    if at:
        table = _named(tables, "profiles").get(name)
        found = [Word(f"{name}@{each.text}", each.help) for each in _accounts(tables) if _is_open(table)]
    else:
        found = list(_profiles(tables, bare=bare))
    return [word for word in found if word.text.startswith(begun)]


def accounts(environ: Mapping[str, str], begun: str) -> list[Word]:
    """The accounts with names that begin so; of a list with commas, for its last part."""
    before, comma, last = begun.rpartition(",")
    fitting = [word for word in _accounts(_read(environ)) if word.text.startswith(last)]
    return [Word(f"{before}{comma}{word.text}", word.help) for word in fitting]


def sources(environ: Mapping[str, str], begun: str) -> list[Word]:
    """What `source_profile` may name: profiles of ours, and of the AWS files."""
    found = {word.text: word for word in _profiles(_read(environ), bare=True) if not word.open}
    try:
        for name in awsconfig_profiles.read(environ).profiles:
            if validation.matches(PLAIN, name):
                found.setdefault(name, Word(name, "AWS profile"))
    except ConfigError:
        pass
    return [word for word in found.values() if word.text.startswith(begun)]


def _read(environ: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        return toml.read(paths.find(environ).config)[1]
    except ConfigError:
        return {}


def _named(tables: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What stands in a table under a name that is valid."""
    table = tables.get(name)
    entries = table.items() if isinstance(table, dict) else ()
    return {key: value for key, value in entries if validation.matches(NAME, key)}


def _accounts(tables: Mapping[str, Any]) -> Iterator[Word]:
    for alias, account in _named(tables, "accounts").items():
        if isinstance(account, str) and validation.matches(ACCOUNT_ID, account):
            yield Word(alias, account)


def _profiles(tables: Mapping[str, Any], *, bare: bool) -> Iterator[Word]:
    for name, table in _named(tables, "profiles").items():
        if bare or not _is_open(table):
            yield Word(name, _about(table))
        if _is_open(table):
            yield Word(f"{name}@", _about(table), open=True)


def _is_open(table: object) -> bool:
    """Whether it is an AssumeRoot profile without an account of its own."""
    return isinstance(table, dict) and "task_policy_arn" in table and "target_principal" not in table


def _about(table: object) -> str:
    if not isinstance(table, dict):
        return ""
    task, role = table.get("task_policy_arn"), table.get("role_arn")
    usual = short_task(str(task)) if task else str(role or "").rpartition(":")[2]
    return printable(str(table.get("description") or usual), HELP_LIMIT)
