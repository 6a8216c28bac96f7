"""The profiles that are looked at, each with the call that it makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from credhelper.config.keys import ROOT
from credhelper.errors import ConfigError, CredhelperError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credhelper.config.profiles import Config, Profile
    from credhelper.doctor.runner import Visit
    from credhelper.sessions.calls import CallPlanner, StsCall

NOBODY: Final = "000000000000"
"""Stands for the target of a profile that has none, where only the caller's side is looked at."""


@dataclass(frozen=True)
class Case:
    """A profile and the call that answers for it; `aimed` unless the target is made up."""

    name: str
    call: StsCall
    aimed: bool

    @property
    def is_root(self) -> bool:
        """Whether it is an AssumeRoot profile."""
        return self.call.profile.kind == ROOT


@dataclass(frozen=True)
class Broken:
    """A profile that no call answers for, and why."""

    name: str
    error: CredhelperError


def sound(visit: Visit) -> Iterator[Case]:
    """The profiles that a call answers for."""
    return (case for case in every(visit) if isinstance(case, Case))


def every(visit: Visit) -> Iterator[Case | Broken]:
    """The profiles asked for, or all; none where a file cannot be read, which is said elsewhere."""
    try:
        config, planner = visit.app.config, visit.app.planner()
    except ConfigError:
        return
    for name in visit.names or config.names:
        yield _case(name, config, planner)


def _case(name: str, config: Config, planner: CallPlanner) -> Case | Broken:
    try:
        profile, aimed = _aim(name, config)
        return Case(name, planner.call(profile), aimed)
    except CredhelperError as error:
        return Broken(name, error)


def _aim(name: str, config: Config) -> tuple[Profile, bool]:
    """The profile, at a target that it allows where it has none of its own. Raises ConfigError."""
    if not config.is_open(name):
        return config.profile(name), True
    rules = {**config.table("defaults"), **config.table("profiles")[name]}
    allowed, denied = ([*map(str, rules.get(f"{verb}_targets") or ())] for verb in ("allow", "deny"))
    target = next((each for each in allowed if each not in denied), NOBODY)
    return config.profile(f"{name}@{target}"), False
