"""The TOML file, read into frozen profiles; every complaint names file, line, table and key."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from credhelper.config import aws_names, toml, validation
from credhelper.config import keys as config_keys
from credhelper.config.keys import BY_NAME, ROLE, ROOT, SESSION, SOURCES, Key, Kind
from credhelper.config.toml import line_of, nearest
from credhelper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLES: Final = ("accounts", "defaults", "profiles", *config_keys.SECTIONS)
FLAG: Final = "the command line"
"""The table of a setting that came from the command line."""
OPTION: Final = "an API form"
"""The same for the options of `assume-root` and `assume-role`, which are called as the AWS CLI calls them."""
QUOTED: Final = 'a profile name with a dot stands in quotes: [profiles."a.b"]'


@dataclass(frozen=True)
class Setting:
    """A value, and the table of the file that it stands in ('profiles.x', 'defaults'), FLAG or OPTION."""

    value: Any
    table: str


@dataclass(frozen=True)
class Profile:
    """One profile as it takes effect: inherited, flags applied, target resolved, every value valid."""

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
        """The account that the session will be in, as far as the profile tells."""
        if self.kind == ROOT:
            return self.target_account
        arn = self.get("role_arn") if self.kind == ROLE else self.get("mfa_serial")
        account = str(arn).split(":")[4] if str(arn).startswith("arn:") else ""
        return account or None

    def error_at(self, key: str, problem: str, *hints: str) -> ConfigError:
        """An error about this profile's value of `key`, with the place where it stands."""
        setting = self.settings.get(key)
        table = f"profiles.{self.name}" if setting is None else setting.table
        if self.config is None:
            return ConfigError(f"'{key}' of '{self.name}' {problem}", *hints)
        return self.config.error_at(table, key, problem, *hints)


@dataclass(frozen=True)
class Config:
    """The file as a whole. Profiles are read out of it, and checked, one at a time."""

    path: str
    text: str = field(repr=False)
    tables: Mapping[str, Any] = field(repr=False)

    @cached_property
    def accounts(self) -> Mapping[str, str]:
        """Alias to account id."""
        accounts = self.table("accounts")
        for alias, account_id in accounts.items():
            if not validation.matches(config_keys.NAME, alias) or validation.matches(
                aws_names.ACCOUNT_ID, alias
            ):
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
        profile, target = self.unaimed(asked, flags), asked.partition("@")[2]
        if profile.kind == ROOT:
            return self._aim(profile, asked, target)
        if target:
            raise ConfigError(f"profile '{profile.name}' takes no target: it is not an AssumeRoot profile")
        return replace(profile, account_name=self.account_name(profile.account_id))

    def unaimed(self, asked: str, flags: Mapping[str, Any] = MappingProxyType({})) -> Profile:
        """The profile before its target is looked up; for one with an open target, without one.

        Raises ConfigError.
        """
        name, at, target = asked.partition("@")
        if at and not target:
            raise ConfigError(f"'{asked}' names no account after the '@'")
        return self._named(name, asked, flags)

    def open_profile(self, name: str, flags: Mapping[str, Any] = MappingProxyType({})) -> Profile:
        """The AssumeRoot profile of that name, which leaves the account to `aim`. Raises ConfigError."""
        if "@" in name:
            raise ConfigError(f"'{name}' names an account already, so no others can be added")
        profile = self._named(name, name, flags)
        if profile.kind != ROOT:
            raise ConfigError(f"profile '{name}' takes no accounts: it is not an AssumeRoot profile")
        if not profile.is_open:
            raise ConfigError(f"profile '{name}' has a target of its own and takes no other accounts")
        return profile

    def aim(self, profile: Profile, account_id: str) -> Profile:
        """An open profile, for that account. Raises ConfigError where the profile is not to be used on it."""
        return self._aim(profile, f"{profile.name}@{account_id}", account_id)

    def account_id(self, target: str, *, arn: bool = False) -> str:
        """The id that an alias, an id or (where `arn`) a principal's ARN stands for. Raises ConfigError."""
        return self._account(target, None, "", arn=arn)

    def _named(self, name: str, asked: str, flags: Mapping[str, Any]) -> Profile:
        """The profile as the file and the flags say it, with its target still to be looked at."""
        tables = self.table("profiles")
        for each in (asked, name):
            if each in tables and not validation.matches(config_keys.NAME, each):
                wrong = "is not a profile name (letters, digits and . _ = + -)"
                raise self.error_at("profiles", each, wrong)
        if name not in tables:
            raise self._unknown_profile(name)
        if not isinstance(tables[name], dict):
            raise self.error_at("profiles", name, "must be a table")
        return self._assemble(name, tables[name], flags)

    def one_off(self, name: str, values: Mapping[str, Any]) -> Profile:
        """A profile that stands in no file: the options of an API form, over [defaults].

        Without a target it is one for `aim`. Raises ConfigError.
        """
        profile = replace(self._assemble(name, {}, values, OPTION), one_off=True)
        if profile.kind == ROOT:
            return self._aim(profile, name, "") if "target_principal" in values else profile
        return replace(profile, account_name=self.account_name(profile.account_id))

    def _unknown_profile(self, name: str) -> ConfigError:
        known = self.names
        listed = f"known profiles: {', '.join(known[:12])}" if known else "the file has no profiles yet"
        return ConfigError(f"no profile '{name}' in '{self.path}'", *(nearest(name, known) or (listed,)))

    def _assemble(
        self, name: str, table: Mapping[str, Any], flags: Mapping[str, Any], place: str = FLAG
    ) -> Profile:
        own = {key: Setting(value, f"profiles.{name}") for key, value in table.items()}
        over = {key: Setting(value, place) for key, value in flags.items()}
        for layer in (own, over):
            self._check_layer(layer)
        inherited = self._defaults()
        kind = self._kind(name, {**inherited, **own, **over})
        settings = self._lay_over(self._reaching(kind, inherited), own, over)
        self._check_kind(kind, settings)
        profile = Profile(name, kind, MappingProxyType(settings), config=self)
        _check_regions(profile)
        return profile

    def _defaults(self) -> Mapping[str, Setting]:
        defaults = {key: Setting(value, "defaults") for key, value in self.table("defaults").items()}
        self._check_layer(defaults)
        for key in defaults:
            if not BY_NAME[key].inherited:
                raise self.error_at("defaults", key, "is a profile's own and cannot be inherited")
        return defaults

    def check(self, known: Mapping[str, Key], table: str, name: str, value: object) -> None:
        """Raise ConfigError where `name` is no known key of a table, or `value` no value for it."""
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
            raise self.error_at(table, sources[1], f"is a second source beside '{sources[0]}'")

    @staticmethod
    def _lay_over(*layers: Mapping[str, Setting]) -> dict[str, Setting]:
        """Each layer beats the ones before it; a source replaces whatever source was there."""
        settings: dict[str, Setting] = {}
        for layer in layers:
            if any(name in layer for name in SOURCES):
                settings = {name: value for name, value in settings.items() if name not in SOURCES}
            settings.update(layer)
        return settings

    def _kind(self, name: str, settings: Mapping[str, Setting]) -> Kind:
        if "task_policy_arn" in settings and "role_arn" in settings:
            where = settings["role_arn"].table
            raise self.error_at(where, "role_arn", "and 'task_policy_arn' make two kinds of one profile")
        if "task_policy_arn" in settings:
            return ROOT
        if "role_arn" in settings:
            return ROLE
        if "target_principal" in settings:
            hint = f"AssumeRoot needs a root task: one of {', '.join(aws_names.TASKS)}"
            where = settings["target_principal"].table
            raise self.error_at(where, "target_principal", "has no 'task_policy_arn' beside it", hint)
        if "mfa_serial" in settings and any(source in settings for source in SOURCES):
            return SESSION
        line = line_of(self.text, f"profiles.{name}", "")
        raise ConfigError(
            f"'{self.path}' line {line}: [profiles.{name}] is no kind of profile",
            "it needs 'role_arn' (AssumeRole), 'task_policy_arn' (AssumeRoot), "
            "or 'mfa_serial' and a source (GetSessionToken)",
        )

    @staticmethod
    def _reaching(kind: Kind, inherited: Mapping[str, Setting]) -> dict[str, Setting]:
        """What of [defaults] reaches a profile of this kind; a default duration never reaches AssumeRoot."""
        return {
            name: setting
            for name, setting in inherited.items()
            if kind in BY_NAME[name].kinds and not (kind == ROOT and name == "duration_seconds")
        }

    def _check_kind(self, kind: Kind, settings: Mapping[str, Setting]) -> None:
        for name, setting in settings.items():
            if kind not in BY_NAME[name].kinds:
                elsewhere = " or ".join(config_keys.API[other] for other in BY_NAME[name].kinds)
                wrong = f"does not go with {config_keys.API[kind]}: it belongs to {elsewhere}"
                raise self.error_at(setting.table, name, wrong)
        duration = settings.get("duration_seconds")
        problem = duration and validation.duration_problem(
            kind, duration.value, one_off=duration.table == OPTION
        )
        if duration and problem:
            raise self.error_at(duration.table, "duration_seconds", problem)

    def _aim(self, profile: Profile, asked: str, target: str) -> Profile:
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
        if fixed:
            account = self._account(fixed.value, fixed.table, "target_principal", arn=True)
        else:
            account = self._account(target, None, "")
        self._check_targets(profile, account)
        principal = fixed.value if fixed and fixed.value.startswith("arn:") else account
        table = fixed.table if fixed else FLAG
        settings = {**profile.settings, "target_principal": Setting(principal, table)}
        return replace(
            profile,
            name=asked,
            settings=MappingProxyType(settings),
            target_account=account,
            account_name=self.account_name(account),
        )

    def _account(self, target: str, table: str | None, key: str, *, arn: bool = False) -> str:
        """The account id behind an alias, an id or (where `arn`) a root principal's ARN."""
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
    """Read a configuration file. Raises ConfigError for everything that is wrong with it as a whole.

    Where it is `optional` a file that is not there is an empty one.
    """
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


def _check_regions(profile: Profile) -> None:
    for key in ("sts_region", "region"):
        if region := profile.get(key):
            check_partition(profile, region)


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
