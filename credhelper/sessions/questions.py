"""What a person is asked before a mint, in words: which profile, account or role, which task, for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from credhelper.config.aws_names import TASKS, short_task
from credhelper.config.keys import ROOT, SESSION
from credhelper.prompts.question import Question

if TYPE_CHECKING:
    from credhelper.config.profiles import Profile
    from credhelper.sessions.calls import StsCall

MINUTE: Final = 60


def code(call: StsCall, asked_by: str, waiting: int, *, rejected: bool) -> Question:
    """For an MFA code; `rejected` after one that AWS did not accept."""
    device = call.parameters["SerialNumber"]
    again = ("AWS did not accept the last code: wait for the next one",) if rejected else ()
    return Question(
        "code",
        f"profile '{name(call)}' needs an MFA code",
        (*_about(call, asked_by, waiting), *again),
        f"MFA code of '{device}'",
        hint=hint(call),
    )


def reason(call: StsCall, asked_by: str, waiting: int, pattern: str | None) -> Question:
    """Why."""
    return Question(
        "reason",
        f"profile '{name(call)}' needs a reason",
        (*_about(call, asked_by, waiting), "it goes into the record"),
        "reason",
        pattern,
        hint(call, " --reason ..."),
    )


def reason_in_advance(profile: Profile, asked_by: str) -> Question:
    """Why, for a name or a tag in the call itself."""
    return Question(
        "reason",
        f"profile '{profile.name}' needs a reason",
        (f"asked by {asked_by}",) if asked_by else (),
        "reason",
        pattern=profile.require_reason if isinstance(profile.require_reason, str) else None,
        hint=f"run 'credhelper login {profile.name} --reason ...'",
    )


def confirm(call: StsCall, asked_by: str, waiting: int, seconds: float) -> Question:
    """Whether a session is wanted at all; the yes holds for so many seconds."""
    return Question(
        "confirm",
        f"profile '{name(call)}' asks for your confirmation",
        (*_about(call, asked_by, waiting), f"a yes lasts {spell(seconds)}"),
        "start this session?",
        hint=hint(call),
    )


def renewal(call: StsCall, asked_by: str, waiting: int, age: float) -> Question:
    """Whether a session may go on renewing itself."""
    return Question(
        "confirm",
        f"the session of profile '{name(call)}' has been renewing itself for {spell(age)}",
        _about(call, asked_by, waiting),
        "may it go on?",
        hint=hint(call),
    )


def name(call: StsCall) -> str:
    """The profile that was asked for: what is minted may be a step on the way there."""
    return call.path[0][1]


def hint(call: StsCall, more: str = "") -> str:
    """What to do where nobody can be asked."""
    return f"run 'credhelper login {name(call)}{more}'"


def _about(call: StsCall, asked_by: str, waiting: int) -> tuple[str, ...]:
    lines = [_target(call)]
    task = short_task(call.parameters.get("TaskPolicyArn", {}).get("arn", ""))
    if task:
        lines.append(f"task: {TASKS[task].purpose if task in TASKS else task}")
    if call.profile.name != name(call) and call.profile.kind != SESSION:
        lines.append(f"on the way there: profile '{call.profile.name}'")
    if asked_by:
        lines.append(f"asked by {asked_by}")
    if waiting:
        lines.append(f"{waiting} more {'waits' if waiting == 1 else 'wait'} for the answer")
    return tuple(lines)


def _target(call: StsCall) -> str:
    profile = call.profile
    account = profile.account_id or ""
    named = f"{profile.account_name} ({account})" if profile.account_name else account
    if profile.kind == ROOT:
        return f"root of account {named}" if account.isdecimal() else f"root of {account}"
    if profile.kind == SESSION:
        return f"a session of account {named}, shared by all roles with this device"
    return f"role {call.parameters.get('RoleArn')}" + (
        f" in {profile.account_name}" if profile.account_name else ""
    )


def spell(seconds: float) -> str:
    """A span of time, as people say it."""
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 120 * MINUTE:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds / 3600:.1f} h".replace(".0 h", " h")
