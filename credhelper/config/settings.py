"""The settings of one profile: their layers, and the kind that they select."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from credhelper.config import validation
from credhelper.config.aws_names import TASKS
from credhelper.config.keys import API, BY_NAME, ROLE, ROOT, SESSION, SOURCES, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from credhelper.errors import ConfigError

FLAG: Final = "the command line"
"""The table of a setting from the command line."""
OPTION: Final = "an API form"
"""The table of a setting from `assume-root` or `assume-role`, whose options have the AWS CLI's names."""


@dataclass(frozen=True)
class Setting:
    """A value and its table: 'profiles.x', 'defaults', FLAG or OPTION."""

    value: Any
    table: str


def merge(*layers: Mapping[str, Setting]) -> dict[str, Setting]:
    """The layers as one: a later one wins, and its source replaces an earlier source."""
    settings: dict[str, Setting] = {}
    for layer in layers:
        if any(name in layer for name in SOURCES):
            settings = {name: value for name, value in settings.items() if name not in SOURCES}
        settings.update(layer)
    return settings


def inherited(kind: Kind, defaults: Mapping[str, Setting]) -> dict[str, Setting]:
    """What a profile of this kind inherits: what it has a use for, except a root duration."""
    return {
        name: setting
        for name, setting in defaults.items()
        if kind in BY_NAME[name].kinds and not (kind == ROOT and name == "duration_seconds")
    }


def select_kind(settings: Mapping[str, Setting], error_at: Callable[..., ConfigError]) -> Kind | None:
    """The kind of a profile with these settings; None for none. Raises ConfigError."""
    role, target = settings.get("role_arn"), settings.get("target_principal")
    if "task_policy_arn" in settings:
        if role:
            raise error_at(role.table, "role_arn", "and 'task_policy_arn' exclude each other")
        return ROOT
    if role:
        return ROLE
    if target:
        hint = f"AssumeRoot needs a root task: one of {', '.join(TASKS)}"
        raise error_at(target.table, "target_principal", "needs a 'task_policy_arn'", hint)
    has_source = any(source in settings for source in SOURCES)
    return SESSION if "mfa_serial" in settings and has_source else None


def check_kind(kind: Kind, settings: Mapping[str, Setting], error_at: Callable[..., ConfigError]) -> None:
    """Raise ConfigError where a setting does not belong to the kind, or a duration is not the kind's."""
    for name, setting in settings.items():
        if kind not in BY_NAME[name].kinds:
            elsewhere = " or ".join(API[other] for other in BY_NAME[name].kinds)
            raise error_at(setting.table, name, f"is not a key of {API[kind]}: it belongs to {elsewhere}")
    if duration := settings.get("duration_seconds"):
        one_off = duration.table == OPTION
        if wrong := validation.duration_problem(kind, duration.value, one_off=one_off):
            raise error_at(duration.table, "duration_seconds", wrong)
