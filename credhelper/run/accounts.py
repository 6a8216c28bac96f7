"""Which accounts are meant: ids and aliases, a file of them, or all of an organization that are active."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from credhelper.config.toml import lower_first
from credhelper.errors import ConfigError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from credhelper.aws.services import Services
    from credhelper.config.profiles import Config, Profile
    from credhelper.credentials import AccessKey

ALL: Final = "all"
FILE_LIMIT: Final = 4 * 1024 * 1024
LIST_SECONDS: Final = 120.0
"""Time for ListAccounts, which gives twenty at a time."""


@dataclass(frozen=True)
class Account:
    """An account: its id, and its alias from [accounts], else its name in the organization."""

    id: str
    name: str | None = None


def pick(
    config: Config,
    profile: Profile,
    wanted: Iterable[str],
    left_out: Iterable[str],
    organization: Callable[[], Iterable[Account]],
) -> list[Account]:
    """The accounts, once each and in the order in which they are named, for a profile with an open target.

    Each of `wanted` and `left_out` is `ID,ALIAS,...`, `@FILE`, or `all`; `organization` lists those of the
    last one, and is asked when everything else is known to be right. Of an organization the accounts that
    the profile may not be used on are left out; one that is named is an error. Raises ConfigError.
    """
    excluded = set(_ids(config, left_out))
    if ALL in excluded:
        raise ConfigError("'--exclude all' leaves no account")
    found: dict[str, Account] = {}
    for account_id in _ids(config, wanted):
        if account_id != ALL and account_id not in excluded:
            config.aim(profile, account_id)  # may it be used there?
        found[account_id] = Account(account_id, config.account_name(account_id))
    if found.pop(ALL, None):
        found |= {each.id: each for each in _allowed(config, profile, organization()) if each.id not in found}
    picked = [account for account_id, account in found.items() if account_id not in excluded]
    if not picked:
        raise ConfigError("no account is left to go to")
    return picked


def of_organization(services: Services, access_key: AccessKey) -> list[Account]:
    """The active member accounts of the organization that these keys belong to.

    The management account is not among them: AssumeRoot does not work there. Raises CredhelperError.
    """
    try:
        pages = services.pages(access_key, "organizations", "ListAccounts", LIST_SECONDS)
    except RefusedError as error:
        hint = "'all' needs organizations:ListAccounts; without it, name the accounts, or a file with @FILE"
        raise RefusedError(error.sentence, hint, code=error.code) from None
    listed = [each for page in pages for each in page.get("Accounts", [])]
    return [Account(each["Id"], each.get("Name")) for each in listed if _is_active(each) and _is_member(each)]


def _is_active(account: Mapping[str, Any]) -> bool:
    """Whether its State is so; Status is what older versions of the API say. One that says neither may be."""
    return (account.get("State") or account.get("Status") or "ACTIVE") == "ACTIVE"


def _is_member(account: Mapping[str, Any]) -> bool:
    """Whether it is not the management account, which each account's ARN begins with.

    arn:aws:organizations::MANAGEMENT:account/ORGANIZATION/ACCOUNT
    """
    return str(account.get("Arn")).split(":")[4:5] != [account["Id"]]


def _allowed(config: Config, profile: Profile, accounts: Iterable[Account]) -> Iterator[Account]:
    for account in accounts:
        with contextlib.suppress(ConfigError):
            config.aim(profile, account.id)
            yield Account(account.id, config.account_name(account.id) or account.name)


def _ids(config: Config, values: Iterable[str]) -> Iterator[str]:
    """The account ids of an option's values, and ALL. Raises ConfigError."""
    for value in values:
        if value.startswith("@"):
            yield from _ids_in_file(config, os.path.expanduser(value[1:]))
        else:
            names = [name.strip() for name in value.split(",") if name.strip()]
            yield from (ALL if name == ALL else config.account_id(name) for name in names)


def _ids_in_file(config: Config, path: str) -> Iterator[str]:
    """One id or alias a line; `#` begins a comment."""
    for number, line in enumerate(_read(path).splitlines(), 1):
        name = line.partition("#")[0].strip()
        if not name:
            continue
        try:
            yield config.account_id(name)
        except ConfigError as error:
            raise ConfigError(f"'{path}' line {number}: {error.sentence}", *error.hints) from None


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:  # which may be a pipe: <(...) of a shell
            content = file.read(FILE_LIMIT + 1)
    except OSError as error:
        why = lower_first(error.strerror or "unknown error")
        raise ConfigError(f"'{path}' cannot be read: {why}") from None
    if len(content) > FILE_LIMIT:
        raise ConfigError(f"'{path}' is larger than {FILE_LIMIT // 1024 // 1024} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"'{path}' is not UTF-8") from None
