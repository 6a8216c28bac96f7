"""The accounts of `--accounts`: ids and aliases, a file of them, or the active members of an organization."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from credhelper.errors import ConfigError, RefusedError, os_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from credhelper.aws.services import Services
    from credhelper.config.profiles import Config, Profile
    from credhelper.credentials import AccessKey

ALL: Final = "all"
LIMIT: Final = 4 * 1024 * 1024
"""Bytes of a file or of stdin."""

LIST_SECONDS: Final = 120.0
"""Time for ListAccounts, which returns twenty accounts a page."""


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
    """The accounts for a profile with an open target, each once, in the order of their names.

    Each of `wanted` and `left_out` is `ID,ALIAS,...`, `@FILE`, or `all`. `organization` lists the accounts of
    `all`; it is called last, after everything else was checked. An account that the profile does not allow is
    an error if it is named, and left out of `all`. Raises ConfigError.
    """
    excluded = set(_ids(config, left_out))
    if ALL in excluded:
        raise ConfigError("'--exclude all' leaves no account")
    found: dict[str, Account] = {}
    for account_id in _ids(config, wanted):
        if account_id != ALL and account_id not in excluded:
            config.with_target(profile, account_id)  # raises where the profile does not allow it
        found[account_id] = Account(account_id, config.account_name(account_id))
    if found.pop(ALL, None):
        found |= {each.id: each for each in _allowed(config, profile, organization()) if each.id not in found}
    picked = [account for account_id, account in found.items() if account_id not in excluded]
    if not picked:
        raise ConfigError("no account is left")
    return picked


def of_organization(services: Services, access_key: AccessKey) -> list[Account]:
    """The active member accounts of the organization of this key. Raises CredhelperError.

    The management account is left out: AssumeRoot does not work there.
    """
    try:
        pages = services.pages(access_key, "organizations", "ListAccounts", LIST_SECONDS)
    except RefusedError as error:
        hint = "'all' needs organizations:ListAccounts; without it, name the accounts, or a file with @FILE"
        raise RefusedError(error.sentence, hint, code=error.code) from None
    listed = [each for page in pages for each in page.get("Accounts", [])]
    return [Account(each["Id"], each.get("Name")) for each in listed if _is_active(each) and _is_member(each)]


def _is_active(account: Mapping[str, Any]) -> bool:
    """Whether an account is active. Older versions of the API have Status and no State."""
    return (account.get("State") or account.get("Status") or "ACTIVE") == "ACTIVE"


def _is_member(account: Mapping[str, Any]) -> bool:
    """Whether it is another one than the MANAGEMENT account in its ARN.

    arn:aws:organizations::MANAGEMENT:account/ORGANIZATION/ACCOUNT
    """
    return str(account.get("Arn")).split(":")[4:5] != [account["Id"]]


def _allowed(config: Config, profile: Profile, accounts: Iterable[Account]) -> Iterator[Account]:
    for account in accounts:
        with contextlib.suppress(ConfigError):
            config.with_target(profile, account.id)
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
    for number, name in names(read_text(path)):
        try:
            yield config.account_id(name)
        except ConfigError as error:  # noqa: PERF203 - it ends the loop
            raise ConfigError(f"'{path}' line {number}: {error.sentence}", *error.hints) from None


def names(text: str) -> Iterator[tuple[int, str]]:
    """The names in a text, one a line, with their line numbers; `#` begins a comment."""
    for number, line in enumerate(text.splitlines(), 1):
        if name := line.partition("#")[0].strip():
            yield number, name


def read_text(path: str) -> str:
    """The text of a file, which may be a pipe: <(...) of a shell. Raises ConfigError."""
    try:
        with open(path, "rb") as file:
            return decoded(file.read(LIMIT + 1), f"'{path}'")
    except OSError as error:
        raise ConfigError(f"cannot read '{path}': {os_reason(error)}") from None


def decoded(content: bytes, origin: str) -> str:
    """The text of a file or of stdin. Raises ConfigError."""
    if len(content) > LIMIT:
        raise ConfigError(f"{origin} is larger than {LIMIT // 1024 // 1024} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{origin} is not UTF-8") from None
