"""What the block will hold, of what was asked for, what it holds already, and what config.toml says."""

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
    """What was asked for: no names, all profiles.

    `accounts` are targets for profiles that leave theirs open: each is `ID,ALIAS,...`, `@FILE` or `all`.
    """

    names: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    prefix: str = ""
    dry_run: bool = False


@dataclass(frozen=True)
class Asked:
    """The profiles to write, PROFILE@TARGET where the target was open, and those that need accounts first."""

    names: tuple[str, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The entries by their names: those there were, and those that are made now.

    `doubts` are about entries that stay as they are.
    """

    before: Mapping[str, Entry]
    made: Mapping[str, Entry]
    doubts: tuple[Conflict, ...]

    @property
    def profiles(self) -> list[str]:
        """The profiles of ours that the made ones are for."""
        return [_profile_of(entry) for entry in self.made.values()]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries of the block, each where it was, the new ones last."""
        return tuple({**self.before, **self.made}.values())


def asked_for(config: Config, options: SetupOptions, targets: Callable[[str], Iterable[str]]) -> Asked:
    """What a wish comes to; `targets` names the accounts of a profile whose target is open.

    Raises CredhelperError: no profile takes accounts, or what `targets` raises.
    """
    names = options.names or config.names
    untargeted = [name for name in names if _is_untargeted(config, name)]
    if options.accounts and not untargeted:
        raise ConfigError("'--accounts' is for profiles without a target of their own, and here is none")
    if options.accounts:
        aimed = {name: [f"{name}@{target}" for target in targets(name)] for name in untargeted}
        return Asked(tuple(each for name in names for each in aimed.get(name, [name])))
    if options.names:  # where a target is missing, the configuration says so
        return Asked(options.names)
    return Asked(tuple(name for name in names if name not in untargeted), tuple(untargeted))


def planned(
    config: Config, options: SetupOptions, asked: Asked, there: Sequence[Entry], program: Sequence[str]
) -> Plan:
    """What the block will hold; all profiles include those that it has already, each made anew.

    Raises ConfigError: a profile that there is not, or one that is not complete.
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
    """The entries to remove; a name stands for all its targets. Raises ConfigError: no entry of that name."""
    found = []
    for name in (options.prefix + name for name in options.names):
        meant = [entry for entry in there if name in (entry.name, entry.name.partition("@")[0])]
        if not meant:
            hints = nearest(name, [entry.name for entry in there])
            raise ConfigError(f"'{path}' has no profile '{name}' of credhelper's", *hints)
        found += meant
    return found


def _is_untargeted(config: Config, name: str) -> bool:
    """Whether the profile is for AssumeRoot and leaves its target open."""
    table = config.table("profiles").get(name)
    return isinstance(table, dict) and "task_policy_arn" in table and "target_principal" not in table


def _entry(config: Config, asked: str, name: str, program: Sequence[str]) -> Entry:
    return Entry(name, command_line(program, asked), config.profile(asked).get("region"))


def _profile_of(entry: Entry) -> str:
    """What an entry's command ends with: names need no quotes."""
    return entry.command.rsplit(maxsplit=1)[-1]


def _renewed(config: Config, entry: Entry, program: Sequence[str]) -> Entry | Conflict:
    """The entry made anew; what is wrong with it where its profile is gone or may not be used so any more."""
    try:
        return _entry(config, _profile_of(entry), entry.name, program)
    except ConfigError as error:
        wrong = f"'{entry.name}' does not work any more: {error.sentence}"
        return Conflict(wrong, f"'credhelper setup --remove {entry.name}' takes it out")


def _nothing(config: Config) -> ConfigError:
    if config.names:
        wrong = f"every profile in '{config.path}' leaves its target open"
        return ConfigError(wrong, "say for which accounts: --accounts ID,...")
    return ConfigError(f"'{config.path}' has no profiles yet", "fill it in, and run the command again")
