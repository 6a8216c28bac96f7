"""What the block will hold, of what was asked for, what it holds already, and what config.toml says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from credhelper.awsconfig import Entry, Neighbour, command_line
from credhelper.errors import ConfigError
from credhelper.tomlfile import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from credhelper.config import Config


@dataclass(frozen=True)
class Wish:
    """What was asked for: no names, all profiles.

    `accounts` are targets for profiles that leave theirs open: each is `ID,ALIAS,...`.
    """

    names: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    prefix: str = ""
    dry_run: bool = False


@dataclass(frozen=True)
class Plan:
    """The entries by their names: those there were, and those that are made now.

    `left_out` are profiles that need an account first, `doubts` are about entries that stay as they are.
    """

    before: Mapping[str, Entry]
    made: Mapping[str, Entry]
    left_out: tuple[str, ...]
    doubts: tuple[Neighbour, ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries of the block, each where it was, the new ones last."""
        return tuple({**self.before, **self.made}.values())


def planned(config: Config, wish: Wish, there: Sequence[Entry], program: Sequence[str]) -> Plan:
    """What was asked for; all profiles include those that the block has already, each made anew.

    Raises ConfigError: a profile that there is not, or one that is not complete.
    """
    asked, left_out = _asked(config, wish)
    made = {wish.prefix + name: _entry(config, name, wish.prefix + name, program) for name in asked}
    doubts = []
    for entry in there if not wish.names else ():
        if entry.name not in made:
            renewed = _renewed(config, entry, program)
            if isinstance(renewed, Entry):
                made[entry.name] = renewed
            else:
                doubts.append(renewed)
    if not made:
        raise _nothing(config)
    return Plan({entry.name: entry for entry in there}, made, left_out, tuple(doubts))


def chosen(there: Sequence[Entry], wish: Wish, path: str) -> list[Entry]:
    """The entries to remove; a name stands for all its targets. Raises ConfigError: no entry of that name."""
    found = []
    for name in (wish.prefix + name for name in wish.names):
        meant = [entry for entry in there if name in (entry.name, entry.name.partition("@")[0])]
        if not meant:
            hints = nearest(name, [entry.name for entry in there])
            raise ConfigError(f"'{path}' has no profile '{name}' of credhelper's", *hints)
        found += meant
    return found


def _asked(config: Config, wish: Wish) -> tuple[Sequence[str], tuple[str, ...]]:
    """The profiles to make, PROFILE@TARGET where accounts were given, and those to leave out."""
    names = wish.names or config.names
    untargeted = [name for name in names if _is_untargeted(config, name)]
    if wish.accounts and not untargeted:
        raise ConfigError("'--accounts' is for profiles without a target of their own, and here is none")
    if wish.accounts:
        aimed = {name: [f"{name}@{target}" for target in _targets(wish)] for name in untargeted}
        return [each for name in names for each in aimed.get(name, [name])], ()
    if wish.names:  # where a target is missing, the configuration says so
        return names, ()
    return [name for name in names if name not in untargeted], tuple(untargeted)


def _targets(wish: Wish) -> list[str]:
    """The accounts, as they were named. Raises ConfigError: none was."""
    found = [name.strip() for value in wish.accounts for name in value.split(",") if name.strip()]
    if not found:
        raise ConfigError("'--accounts' names no account")
    return found


def _is_untargeted(config: Config, name: str) -> bool:
    """Whether the profile is for AssumeRoot and leaves its target open."""
    table = config.table("profiles").get(name)
    return isinstance(table, dict) and "task_policy_arn" in table and "target_principal" not in table


def _entry(config: Config, asked: str, name: str, program: Sequence[str]) -> Entry:
    return Entry(name, command_line(program, asked), config.profile(asked).get("region"))


def _renewed(config: Config, entry: Entry, program: Sequence[str]) -> Entry | Neighbour:
    """The entry made anew; what is wrong with it where its profile is gone or may not be used so any more."""
    asked = entry.command.rsplit(maxsplit=1)[-1]  # the command ends with it, and names need no quotes
    try:
        return _entry(config, asked, entry.name, program)
    except ConfigError as error:
        wrong = f"'{entry.name}' does not work any more: {error.sentence}"
        return Neighbour(wrong, f"'credhelper setup --remove {entry.name}' takes it out")


def _nothing(config: Config) -> ConfigError:
    if config.names:
        wrong = f"every profile in '{config.path}' leaves its target open"
        return ConfigError(wrong, "say for which accounts: --accounts ID,...")
    return ConfigError(f"'{config.path}' has no profiles yet", "fill it in, and run the command again")
