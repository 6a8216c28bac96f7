"""The parameters of an STS request, from the settings of a profile."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from credhelper.config import validation
from credhelper.config.aws_names import TASKS, partition_of
from credhelper.config.keys import BY_NAME, KEYS, ROLE, ROOT
from credhelper.errors import InteractionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from credhelper.config.profiles import Profile


def _no_reason(_profile: Profile) -> str | None:
    return None


@dataclass(frozen=True)
class NameContext:
    """The values of the placeholders in names and tags; `reason` finds the one for a profile."""

    user: str
    host: str
    reason: Callable[[Profile], str | None] = _no_reason


def of(profile: Profile, region: str, names: NameContext) -> dict[str, Any]:
    """The parameters, in botocore's form."""
    settings = {name: setting.value for name, setting in profile.settings.items()}
    if profile.kind == ROLE:
        settings.setdefault("role_session_name", profile.get("role_session_name"))
    if profile.kind == ROOT and not profile.one_off:
        settings.setdefault("duration_seconds", profile.get("duration_seconds"))
    return {
        key.parameter: _member(profile, key.name, settings[key.name], region, names)
        for key in KEYS
        if key.parameter and key.name in settings and profile.kind in key.kinds
    }


def _member(profile: Profile, name: str, value: Any, region: str, names: NameContext) -> Any:
    if name == "task_policy_arn":
        return {"arn": _task_policy(profile, value, region)}
    if name == "policy_arns":
        return [{"arn": arn} for arn in value]
    if name == "tags":
        return [
            {"Key": key, "Value": _fill(profile, text, names, r"[^\w .:/=+@-]", validation.TAG_VALUE)}
            for key, text in value.items()
        ]
    if name == "provided_contexts":
        return [dict(context) for context in value]
    if BY_NAME[name].placeholders:
        low, high = BY_NAME[name].limits
        return _fill(profile, value, names, r"[^\w+=,.@-]", high or 0).ljust(low or 0, "-")
    return value


def _task_policy(profile: Profile, value: str, region: str) -> str:
    partition = partition_of(region)
    if value in TASKS:
        return f"arn:{partition}:iam::aws:policy/root-task/{value}"
    if value.split(":")[1] != partition:
        raise profile.error_at(
            "task_policy_arn", f"is not in the partition of region '{region}' ({partition})"
        )
    return value


def _fill(profile: Profile, template: str, names: NameContext, unfit: str, limit: int) -> str:
    """The template with user, host and reason, cleaned and cut to what the API takes."""
    reason = names.reason(profile) if "{reason}" in template else ""
    if reason is None:
        raise needs_reason(profile)
    known = {"user": names.user, "host": names.host, "reason": reason}
    cleaned = {name: re.sub(unfit, "-", text, flags=re.ASCII) for name, text in known.items()}
    return validation.fill(template, cleaned)[: max(limit, len(template))]


def needs_reason(profile: Profile) -> InteractionError:
    """The error for a missing reason."""
    return InteractionError(
        f"profile '{profile.name}' needs a reason",
        f"run 'credhelper login {profile.name} --reason ...'",
        "or give one with --reason or in CREDHELPER_REASON",
    )
