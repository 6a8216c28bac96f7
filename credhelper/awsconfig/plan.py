"""The entries that `setup` writes: from its options, the present block, and config.toml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from credhelper.awsconfig.block import Entry
from credhelper.awsconfig.command import command_line
from credhelper.awsconfig.conflicts import Conflict
from credhelper.config.toml import nearest
from credhelper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from credhelper.config.profiles import Config


@dataclass(frozen=True)
class SetupOptions:
    """The command's options. No names mean all profiles.

    `accounts` are the targets of profiles with an open target: each is `ID,ALIAS,...`, `@FILE` or `all`.
    """

    names: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    prefix: str = ""
    dry_run: bool = False


@dataclass(frozen=True)
class Asked:
    """The profiles to write, PROFILE@TARGET for an open target, and those that are left out."""

    names: tuple[str, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The entries by name, before and as made now. `doubts` are about entries that cannot be renewed."""

    before: Mapping[str, Entry]
    made: Mapping[str, Entry]
    doubts: tuple[Conflict, ...]

    @property
    def profiles(self) -> list[str]:
        """The profiles of config.toml that the made entries run."""
        return [_profile_of(entry) for entry in self.made.values()]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries of the block in their present order, new ones last."""
        return tuple({**self.before, **self.made}.values())


def asked_for(config: Config, options: SetupOptions, targets: Callable[[str], Iterable[str]]) -> Asked:
    """The profiles to write; `targets` lists the accounts of a profile with an open target.

    Raises ConfigError where no profile takes accounts, and what `targets` raises.
    """
    names = options.names or config.names
    untargeted = [name for name in names if _is_untargeted(config, name)]
    if options.accounts and not untargeted:
        raise ConfigError("'--accounts' is for profiles with an open target, and there is none here")
    if options.accounts:
        targeted = {name: [f"{name}@{target}" for target in targets(name)] for name in untargeted}
        return Asked(tuple(each for name in names for each in targeted.get(name, [name])))
    if options.names:  # a missing target is an error of the configuration
        return Asked(options.names)
    return Asked(tuple(name for name in names if name not in untargeted), tuple(untargeted))


def planned(
    config: Config, options: SetupOptions, asked: Asked, there: Sequence[Entry], program: Sequence[str]
) -> Plan:
    """The entries of the block; without names, present entries are renewed too.

    Raises ConfigError for a profile that does not exist or is incomplete.
    """
    made = {
        options.prefix + name: _entry(config, name, options.prefix + name, program) for name in asked.names
    }
    doubts = []
    for entry in there if not options.names else ():
        if entry.name not in made:
            renewed = _renewed(config, entry, program)
            if isinstance(renewed, Entry):
                made[entry.name] = renewed
            else:
                doubts.append(renewed)
    if not made:
        raise _nothing(config)
    return Plan({entry.name: entry for entry in there}, made, tuple(doubts))


def chosen(there: Sequence[Entry], options: SetupOptions, path: str) -> list[Entry]:
    """The entries to remove; a name includes all its targets. Raises ConfigError for an unknown name."""
    found = []
    for name in (options.prefix + name for name in options.names):
        meant = [entry for entry in there if name in (entry.name, entry.name.partition("@")[0])]
        if not meant:
            hints = nearest(name, [entry.name for entry in there])
            raise ConfigError(f"credhelper has written no profile '{name}' into '{path}'", *hints)
        found += meant
    return found


def _is_untargeted(config: Config, name: str) -> bool:
    """Whether the profile is an AssumeRoot profile with an open target."""
    table = config.table("profiles").get(name)
    return isinstance(table, dict) and "task_policy_arn" in table and "target_principal" not in table


def _entry(config: Config, asked: str, name: str, program: Sequence[str]) -> Entry:
    return Entry(name, command_line(program, asked), config.profile(asked).get("region"))


def _profile_of(entry: Entry) -> str:
    """The last word of an entry's command; names need no quotes."""
    return entry.command.rsplit(maxsplit=1)[-1]


def _renewed(config: Config, entry: Entry, program: Sequence[str]) -> Entry | Conflict:
    """The entry with its present command; a Conflict where its profile is gone or does not allow it."""
    try:
        return _entry(config, _profile_of(entry), entry.name, program)
    except ConfigError as error:
        problem = f"'{entry.name}' does not work any more: {error.sentence}"
        return Conflict(problem, f"remove it with 'credhelper setup --remove {entry.name}'")


def _nothing(config: Config) -> ConfigError:
    if config.names:
        problem = f"every profile in '{config.path}' has an open target"
        return ConfigError(problem, "name the accounts with --accounts ID,...")
    return ConfigError(f"'{config.path}' has no profiles yet", "add one, and run the command again")
