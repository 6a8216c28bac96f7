"""The texts of prompts: which profile, which account or role, which task."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from credhelper.config.aws_names import TASKS, short_task
from credhelper.config.keys import ROOT, SESSION
from credhelper.prompts.question import Question

if TYPE_CHECKING:
    from credhelper.config.profiles import Profile
    from credhelper.prompts.question import Kind
    from credhelper.sessions.calls import StsCall

MINUTE: Final = 60


def code(call: StsCall, *, rejected: bool) -> Question:
    """For an MFA code; `rejected` after one that AWS did not accept."""
    again = ("AWS did not accept the last code: wait for the next one",) if rejected else ()
    label = f"MFA code of '{call.parameters['SerialNumber']}'"
    return _question("code", call, f"profile '{name(call)}' needs an MFA code", again, label)


def reason(call: StsCall, pattern: str | None) -> Question:
    """For the reason, which has to match the pattern."""
    question = _question(
        "reason", call, f"profile '{name(call)}' needs a reason", ("the audit log records it",), "reason"
    )
    return replace(question, pattern=pattern, hint=hint(call, " --reason ..."))


def reason_in_advance(profile: Profile) -> Question:
    """For the reason, where a name or a tag of the call itself contains it."""
    required = profile.require_reason
    pattern = required if isinstance(required, str) else None
    login = f"run 'credhelper login {profile.name} --reason ...'"
    return Question("reason", f"profile '{profile.name}' needs a reason", (), "reason", pattern, login)


def confirm(call: StsCall, seconds: float) -> Question:
    """For the confirmation of a session, which stays valid for some seconds."""
    valid = (f"your confirmation is valid for {spell(seconds)}",)
    title = f"profile '{name(call)}' asks for your confirmation"
    return _question("confirm", call, title, valid, "start this session?")


def renewal(call: StsCall, age: float) -> Question:
    """For leave to renew a session further."""
    title = f"the session of profile '{name(call)}' has been renewing itself for {spell(age)}"
    return _question("confirm", call, title, (), "may it go on?")


def _question(kind: Kind, call: StsCall, title: str, more: tuple[str, ...], label: str) -> Question:
    return Question(kind, title, (*_about(call), *more), label, hint=hint(call))


def name(call: StsCall) -> str:
    """The profile that was asked for; the call may be for a profile that it depends on."""
    return call.path[0][1]


def hint(call: StsCall, more: str = "") -> str:
    """What to do where the user cannot be asked."""
    return f"run 'credhelper login {name(call)}{more}'"


def _about(call: StsCall) -> tuple[str, ...]:
    lines = [_target(call)]
    task = short_task(call.parameters.get("TaskPolicyArn", {}).get("arn", ""))
    if task:
        lines.append(f"task: {TASKS[task].purpose if task in TASKS else task}")
    if call.profile.name != name(call) and call.profile.kind != SESSION:
        lines.append(f"on the way there: profile '{call.profile.name}'")
    return tuple(lines)


def _target(call: StsCall) -> str:
    profile, alias = call.profile, call.profile.account_name
    account = profile.account_id or ""
    named = f"{alias} ({account})" if alias else account
    if profile.kind == ROOT:
        return f"root of account {named}" if account.isdecimal() else f"root of {account}"
    if profile.kind == SESSION:
        return f"a session of account {named}, shared by all roles with this device"
    return f"role {call.parameters.get('RoleArn')}{f' in {alias}' if alias else ''}"


def spell(seconds: float) -> str:
    """A duration in words: seconds below 2 minutes, minutes below 2 hours, else hours."""
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 120 * MINUTE:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds / 3600:.1f} h".replace(".0 h", " h")
