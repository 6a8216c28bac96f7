"""config.toml as frozen profiles; every error names file, line, table and key."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from credhelper.config import aws_names, toml, validation
from credhelper.config import keys as config_keys
from credhelper.config.keys import BY_NAME, ROLE, ROOT, SOURCES, Key, Kind
from credhelper.config.settings import FLAG, OPTION, Setting, check_kind, inherited, merge, select_kind
from credhelper.config.toml import line_of, nearest
from credhelper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLES: Final = ("accounts", "defaults", "profiles", *config_keys.SECTIONS)
QUOTED: Final = 'a profile name with a dot needs quotes: [profiles."a.b"]'


@dataclass(frozen=True)
class Profile:
    """One profile as it takes effect: with [defaults], flags and target, every value valid."""

    name: str
    kind: Kind
    settings: Mapping[str, Setting]
    target_account: str | None = None
    account_name: str | None = None
    config: Config | None = field(default=None, repr=False, compare=False)
    one_off: bool = False

    def get(self, key: str) -> Any:
        """The value of a key, set or by default; its type is in the table of keys."""
        setting = self.settings.get(key)
        return BY_NAME[key].default_for(self.kind) if setting is None else setting.value

    @property
    def confirm(self) -> bool:
        """Whether each new session needs a confirmation."""
        return bool(self.get("confirm"))

    @property
    def confirm_for(self) -> float:
        """Seconds that a confirmation stays valid."""
        return float(self.get("confirm_for"))

    @property
    def require_reason(self) -> bool | str:
        """Whether a session needs a reason, or the regular expression that it must match."""
        required: bool | str = self.get("require_reason")
        return required

    @property
    def renew_for(self) -> float | None:
        """Seconds that a session may renew itself; None where there is no limit."""
        limit: float | None = self.get("renew_for")
        return limit

    @property
    def cache(self) -> bool | str:
        """Where its sessions are cached: True (keyring and agent), 'memory' (agent) or False."""
        kept: bool | str = self.get("cache")
        return kept

    @property
    def is_open(self) -> bool:
        """Whether it is an AssumeRoot profile whose account is still to be named."""
        return self.kind == ROOT and "target_principal" not in self.settings

    @property
    def account_id(self) -> str | None:
        """The account of the session, if the profile tells."""
        if self.kind == ROOT:
            return self.target_account
        arn = self.get("role_arn") if self.kind == ROLE else self.get("mfa_serial")
        account = str(arn).split(":")[4] if str(arn).startswith("arn:") else ""
        return account or None

    def error_at(self, key: str, problem: str, *hints: str) -> ConfigError:
        """An error about this profile's value of `key`, with its place."""
        setting = self.settings.get(key)
        table = f"profiles.{self.name}" if setting is None else setting.table
        if self.config is None:
            return ConfigError(f"'{key}' of '{self.name}' {problem}", *hints)
        return self.config.error_at(table, key, problem, *hints)


@dataclass(frozen=True)
class Config:
    """The file as a whole. Each profile is checked when it is asked for."""

    path: str
    text: str = field(repr=False)
    tables: Mapping[str, Any] = field(repr=False)

    @cached_property
    def accounts(self) -> Mapping[str, str]:
        """Alias to account id."""
        accounts = self.table("accounts")
        for alias, account_id in accounts.items():
            if not validation.matches(rf"(?!{aws_names.ACCOUNT_ID}$){config_keys.NAME}", alias):
                raise self.error_at("accounts", alias, "is not a name for an account")
            if not isinstance(account_id, str) or not validation.matches(aws_names.ACCOUNT_ID, account_id):
                raise self.error_at("accounts", alias, "must be an account id, 12 digits in quotes")
        return MappingProxyType(accounts)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all profiles, in the order of the file."""
        return tuple(self.table("profiles"))

    def option(self, section: str, name: str) -> Any:
        """A key of [keyring], [agent] or [audit], set or by default."""
        key = next(key for key in config_keys.SECTIONS[section] if key.name == name)
        return self.table(section).get(name, key.default)

    def is_open(self, name: str) -> bool:
        """Whether the profile of that name is an AssumeRoot profile whose account is still to be named."""
        table = self.table("profiles").get(name)
        return isinstance(table, dict) and "task_policy_arn" in table and "target_principal" not in table

    def table(self, name: str) -> dict[str, Any]:
        """A top-level table, empty where the file has none."""
        found = self.tables.get(name, {})
        if not isinstance(found, dict):
            raise self.error_at("", name, f"must be a table: [{name}]")
        return found

    def account_name(self, account_id: str | None) -> str | None:
        """The alias of an account id."""
        return next((alias for alias, known in self.accounts.items() if known == account_id), None)

    def error_at(self, table: str, key: str, problem: str, *hints: str) -> ConfigError:
        """An error with its place: flag, or file, line, table and key."""
        if table in (FLAG, OPTION):
            name = BY_NAME[key].flag if table == FLAG else BY_NAME[key].option
            return ConfigError(f"'{name}' {problem}", *hints)
        where = f"'{self.path}' line {line_of(self.text, table, key)}"
        inside = f" in [{table}]" if table else ""
        return ConfigError(f"{where}: '{key}'{inside} {problem}", *hints)

    def profile(self, asked: str, flags: Mapping[str, Any] = MappingProxyType({})) -> Profile:
        """The profile of that name (`NAME` or `NAME@TARGET`), with `flags` laid over it.

        Raises ConfigError.
        """
        profile, target = self.without_target(asked, flags), asked.partition("@")[2]
        if profile.kind == ROOT:
            return self._with_target(profile, asked, target)
        if target:
            raise ConfigError(f"profile '{profile.name}' takes no target: it is not an AssumeRoot profile")
        return replace(profile, account_name=self.account_name(profile.account_id))

    def without_target(self, asked: str, flags: Mapping[str, Any] = MappingProxyType({})) -> Profile:
        """The profile of `NAME` or `NAME@TARGET` before its target is looked up. Raises ConfigError."""
        name, at, target = asked.partition("@")
        if at and not target:
            raise ConfigError(f"'{asked}' names no account after the '@'")
        tables = self.table("profiles")
        for each in (asked, name):
            if each in tables and not validation.matches(config_keys.NAME, each):
                wrong = "is not a profile name (letters, digits and . _ = + -)"
                raise self.error_at("profiles", each, wrong)
        if name not in tables:
            known = ", ".join(self.names[:12])
            listed = f"known profiles: {known}" if known else "the file has no profiles yet"
            hints = nearest(name, self.names) or (listed,)
            raise ConfigError(f"no profile '{name}' in '{self.path}'", *hints)
        if not isinstance(tables[name], dict):
            raise self.error_at("profiles", name, "must be a table")
        return self._assemble(name, tables[name], flags)

    def check_known(self, asked: str) -> None:
        """Raise ConfigError if there is no such profile; an invalid one is known."""
        if asked.partition("@")[0] not in self.names:
            self.without_target(asked)

    def open_profile(self, name: str, flags: Mapping[str, Any] = MappingProxyType({})) -> Profile:
        """The AssumeRoot profile of that name, for `with_target`. Raises ConfigError."""
        if "@" in name:
            raise ConfigError(f"'{name}' names an account already, so no others can be added")
        profile = self.without_target(name, flags)
        if profile.kind != ROOT:
            raise ConfigError(f"profile '{name}' takes no accounts: it is not an AssumeRoot profile")
        if not profile.is_open:
            raise ConfigError(f"profile '{name}' has a target of its own and takes no other accounts")
        return profile

    def with_target(self, profile: Profile, account_id: str) -> Profile:
        """An open profile, for that account. Raises ConfigError where its rules do not allow the account."""
        return self._with_target(profile, f"{profile.name}@{account_id}", account_id)

    def account_id(self, target: str, *, arn: bool = False) -> str:
        """The id of an alias, an id or (where `arn`) a principal's ARN. Raises ConfigError."""
        return self._account(target, None, "", arn=arn)

    def one_off(self, name: str, values: Mapping[str, Any]) -> Profile:
        """A profile from the options of `assume-root` or `assume-role`, over [defaults]."""
        profile = replace(self._assemble(name, {}, values, OPTION), one_off=True)
        if profile.kind == ROOT:
            return profile if profile.is_open else self._with_target(profile, name, "")
        return replace(profile, account_name=self.account_name(profile.account_id))

    def _assemble(
        self, name: str, table: Mapping[str, Any], flags: Mapping[str, Any], place: str = FLAG
    ) -> Profile:
        own = {key: Setting(value, f"profiles.{name}") for key, value in table.items()}
        over = {key: Setting(value, place) for key, value in flags.items()}
        for layer in (own, over):
            self._check_layer(layer)
        defaults = self._defaults()
        kind = select_kind({**defaults, **own, **over}, self.error_at)
        if kind is None:
            line = line_of(self.text, f"profiles.{name}", "")
            raise ConfigError(
                f"'{self.path}' line {line}: [profiles.{name}] does not select an STS call",
                "set 'role_arn' (AssumeRole), 'task_policy_arn' (AssumeRoot), "
                "or 'mfa_serial' and a source (GetSessionToken)",
            )
        settings = merge(inherited(kind, defaults), own, over)
        check_kind(kind, settings, self.error_at)
        profile = Profile(name, kind, MappingProxyType(settings), config=self)
        for key in ("sts_region", "region"):
            if region := profile.get(key):
                check_partition(profile, region)
        return profile

    def _defaults(self) -> Mapping[str, Setting]:
        defaults = {key: Setting(value, "defaults") for key, value in self.table("defaults").items()}
        self._check_layer(defaults)
        for key in defaults:
            if not BY_NAME[key].inherited:
                raise self.error_at("defaults", key, "is a profile's own and cannot be inherited")
        return defaults

    def check(self, known: Mapping[str, Key], table: str, name: str, value: object) -> None:
        """Raise ConfigError where a table has no key `name`, or where `value` is not valid."""
        if name not in known:
            quoted = (QUOTED,) if isinstance(value, dict) else ()  # to TOML, [profiles.a.b] is 'b' in 'a'
            raise self.error_at(table, name, "is not a known key", *(nearest(name, known) or quoted))
        if wrong := validation.problem(known[name], value):
            raise self.error_at(table, name, wrong)

    def _check_layer(self, settings: Mapping[str, Setting]) -> None:
        for name, setting in settings.items():
            self.check(BY_NAME, setting.table, name, setting.value)
            if name in ("allow_targets", "deny_targets"):
                for target in setting.value:
                    self._account(target, setting.table, name)
        sources = [name for name in SOURCES if name in settings]
        if len(sources) > 1:
            table = settings[sources[1]].table
            raise self.error_at(table, sources[1], f"is a second source next to '{sources[0]}'")

    def _with_target(self, profile: Profile, asked: str, target: str) -> Profile:
        """The profile with its target account filled in and allowed."""
        fixed = profile.settings.get("target_principal")
        if fixed and target:
            raise ConfigError(
                f"profile '{profile.name}' has a target of its own, so '@{target}' cannot be added"
            )
        if not fixed and not target:
            raise ConfigError(
                f"profile '{profile.name}' needs a target account",
                f"write '{profile.name}@ACCOUNT', with an account id or an alias from [accounts]",
            )
        table, target = (fixed.table, fixed.value) if fixed else (None, target)
        account = self._account(target, table, "target_principal", arn=bool(fixed))
        self._check_targets(profile, account)
        principal = Setting(target if target.startswith("arn:") else account, table or FLAG)
        settings = {**profile.settings, "target_principal": principal}
        return replace(
            profile,
            name=asked,
            settings=MappingProxyType(settings),
            target_account=account,
            account_name=self.account_name(account),
        )

    def _account(self, target: str, table: str | None, key: str, *, arn: bool = False) -> str:
        if validation.matches(aws_names.ACCOUNT_ID, target):
            return target
        if arn and validation.matches(aws_names.ROOT_ARN, target):
            return target.split(":")[4]
        if target in self.accounts:
            return self.accounts[target]
        problem = f"'{target}' is neither an account id nor an alias from [accounts]"
        hints = nearest(target, self.accounts)
        if table is None:
            raise ConfigError(f"target {problem}", *hints)
        raise self.error_at(table, key, f"names an unknown account: {problem}", *hints)

    def _check_targets(self, profile: Profile, account: str) -> None:
        for key, refused_when in (("allow_targets", False), ("deny_targets", True)):
            setting = profile.settings.get(key)
            if setting is None:
                continue
            listed = {self._account(target, setting.table, key) for target in setting.value}
            if (account in listed) is refused_when:
                verb = "denies" if refused_when else "does not allow"
                raise self.error_at(setting.table, key, f"{verb} the target '{account}'")


def load(path: str, *, optional: bool = False) -> Config:
    """Read a configuration file; a missing one that is `optional` is empty. Raises ConfigError."""
    text, tables = ("", {}) if optional and not os.path.lexists(path) else toml.read(path)
    config = Config(path, text, tables)
    for name in tables:
        if name not in TABLES:
            raise config.error_at("", name, "is not a known table", *nearest(name, TABLES))
    for section, keys in config_keys.SECTIONS.items():
        known = {key.name: key for key in keys}
        for name, value in config.table(section).items():
            config.check(known, section, name, value)
    return config


def check_partition(profile: Profile, region: str) -> None:
    """Raise ConfigError where an ARN of the profile is of another partition than the region."""
    if region == "aws-global":
        return
    partition = aws_names.partition_of(region)
    for key in ("role_arn", "target_principal", "task_policy_arn", "policy_arns", "mfa_serial"):
        value = profile.get(key) or ""
        arns = [value] if isinstance(value, str) else value
        if any(arn.startswith("arn:") and arn.split(":")[1] != partition for arn in arns):
            raise profile.error_at(key, f"is not in the partition of region '{region}' ({partition})")
