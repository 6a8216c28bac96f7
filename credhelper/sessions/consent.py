"""What the user has to approve before a mint, whether they have, and for how long that holds.

Approvals are kept next to the lock files, under a digest of the profile: an edited profile needs new ones.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

from credhelper import expiry
from credhelper.credentials import Clocks
from credhelper.errors import CredhelperError, InteractionError, NoPromptError
from credhelper.sessions.parameters import needs_reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from credhelper.cache.locks import FileLocks
    from credhelper.config.profiles import Profile
    from credhelper.credentials import Credentials
    from credhelper.prompts import Answer, Question
    from credhelper.sessions.calls import StsCall
    from credhelper.sessions.prompter import Prompter

Approval = Literal["reason", "confirm", "renewal"]

PAUSE: Final = 3600.0
"""Seconds without a live session after which approvals lapse; renew_for, if that is longer."""

REASON_SECONDS: Final = 42.0
"""Seconds to wait while another caller asks for the reason: its user has 40."""

_PARTS: Final = 5


@dataclass(frozen=True)
class UserInput:
    """What the user gave with the command: a reason, `--yes`, `login` itself, and MFA codes by device."""

    reason: str | None = None
    yes: bool = False
    login: bool = False
    codes: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Permission:
    """For the audit log: the reason, and who confirmed how."""

    reason: str | None = None
    confirmed_by: str | None = None


@dataclass(frozen=True)
class ApprovalState:
    """What the user has approved for a session that renews itself.

    It holds from the first mint, or from the user's last answer (`began`), until PAUSE after the last session
    has ended, which had `rest` seconds left when this was written. `confirmed` is when the user confirmed.
    """

    began: Clocks
    rest: float = 0.0
    confirmed: Clocks | None = None
    reason: str | None = None
    by: str | None = None

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return expiry.since(self.began, expiry.read_clocks())

    def confirmation_left(self, profile: Profile) -> float:
        """Seconds for which the confirmation stays valid."""
        if self.confirmed is None:
            return 0.0
        passed = expiry.since(self.confirmed, expiry.read_clocks())
        return max(0.0, profile.confirm_for - passed) if passed >= 0 else 0.0


def read_state(locks: FileLocks, profile: Profile) -> ApprovalState | None:
    """The approvals for this profile that still hold."""
    noted = locks.states.noted(_name(profile), _PARTS)
    if noted is None:
        return None
    (began, rest, confirmed, reason, by), at = noted
    since = expiry.since(at, expiry.read_clocks())
    first = Clocks.from_list(began)
    if first is None or not isinstance(rest, (int, float)):
        return None
    if not 0 <= since <= rest + max(PAUSE, profile.renew_for or 0.0):
        return None
    return ApprovalState(first, rest, Clocks.from_list(confirmed), reason and str(reason), by and str(by))


def _write_state(locks: FileLocks, profile: Profile, state: ApprovalState) -> bool:
    """Write the approvals; returns whether that was possible. What no mint depends on is not written."""
    if profile.renew_for is None and state.confirmed is None and state.reason is None:
        return True
    confirmed = None if state.confirmed is None else state.confirmed.to_list()
    return locks.states.note(
        _name(profile), [state.began.to_list(), state.rest, confirmed, state.reason, state.by]
    )


def _name(profile: Profile) -> str:
    settings = {key: setting.value for key, setting in profile.settings.items()}
    document = json.dumps([profile.name, profile.kind, profile.target_account, settings], sort_keys=True)
    return "series-" + hashlib.sha256(document.encode()).hexdigest()[:32]


class Consent:
    """Knows what `user` has approved, and asks for the rest. Without a `prompter` it does not ask."""

    def __init__(
        self, given: UserInput, locks: FileLocks, user: str, prompter: Prompter | None = None
    ) -> None:
        self._given = given
        self._locks = locks
        self._user = user
        self._prompter = prompter

    def wants(self, profile: Profile) -> list[Approval]:
        """What has to be asked before a mint for this profile, MFA codes aside."""
        required, confirm = profile.require_reason, profile.confirm
        limit = profile.renew_for
        if not (required or confirm or limit is not None):
            return []
        given, state = self._given, read_state(self._locks, profile)
        wanted: list[Approval] = []
        if required and not _fits(given.reason or (state.reason if state else None), required):
            wanted.append("reason")
        still_valid = state is not None and state.confirmation_left(profile) > 0 and not given.login
        if confirm and not given.yes and not still_valid:
            wanted.append("confirm")
        if limit is not None and state is not None and state.age > limit and not given.login:
            wanted.append("renewal")
        return wanted

    def needs_user(self, call: StsCall) -> bool:
        """Whether a mint of this call waits for the user, who at `login` is there already."""
        asks_code = call.needs_code and call.parameters["SerialNumber"] not in self._given.codes
        return not self._given.login and (asks_code or bool(self.wants(call.profile)))

    def permit(self, call: StsCall) -> Permission:
        """Get every approval that a mint of this call needs. Raises InteractionError."""
        profile, given, now = call.profile, self._given, expiry.read_clocks()
        wanted = self.wants(profile)
        state = read_state(self._locks, profile) or ApprovalState(now)
        if given.login:
            state = replace(state, began=now)
        if given.reason:
            state = replace(state, reason=given.reason)
        if given.yes and profile.confirm:
            state = replace(state, confirmed=now, by=f"{self._user} by --yes")
        if wanted:  # a caller that keeps asking does not make the approvals begin anew
            _write_state(self._locks, profile, replace(state, rest=0.0))
        for approval in wanted:
            if approval != "renewal" or "confirm" not in wanted:  # the confirmation covers the renewal
                state = self._approved(approval, state, call)
        if not _write_state(self._locks, profile, state) and self._locks.usable:
            raise CredhelperError(
                f"nothing is minted for profile '{profile.name}': its approval cannot be stored",
                "is the disk full?",
            )
        return Permission(state.reason, state.by)

    def _approved(self, approval: Approval, state: ApprovalState, call: StsCall) -> ApprovalState:
        from credhelper.sessions import questions

        if approval == "reason":
            pattern = call.profile.require_reason
            if self._given.reason:
                wrong = f"the reason given for profile '{call.profile.name}' does not match '{pattern}'"
                raise InteractionError(wrong, questions.hint(call, " --reason ..."))
            answer = self._ask(questions.reason(call, pattern if isinstance(pattern, str) else None), call)
            return self._renewed(state, answer, reason=answer.text)
        if approval == "confirm":
            answer = self._ask(questions.confirm(call, call.profile.confirm_for), call)
            return self._renewed(state, answer, confirmed=expiry.read_clocks())
        return self._renewed(state, self._ask(questions.renewal(call, state.age), call))

    def _renewed(self, state: ApprovalState, answer: Answer, **what: object) -> ApprovalState:
        """The state after an answer of the user: it begins anew."""
        by = f"{self._user} by {answer.driver}"
        return replace(state, began=expiry.read_clocks(), by=by, **what)  # type: ignore[arg-type]

    def _ask(self, question: Question, call: StsCall | None) -> Answer:
        if self._prompter is None:
            raise NoPromptError(f"{question.title}, and no prompt is possible", question.hint)
        return self._prompter.ask(question, call)

    def code(self, call: StsCall, *, rejected: bool = False) -> str:
        """An MFA code; a new one after a `rejected` one, unless it was given with the command.

        Raises InteractionError.
        """
        if given := self._given.codes.get(call.parameters["SerialNumber"]):
            return given
        from credhelper.sessions import questions

        return self._ask(questions.code(call, rejected=rejected), call).text

    def known_reason(self, profile: Profile) -> str | None:
        """The reason that was given with the command, or else before."""
        if self._given.reason:
            return self._given.reason
        state = read_state(self._locks, profile)
        return state.reason if state else None

    def reason(self, profile: Profile) -> str:
        """The reason for a name or a tag that is part of the call, asked for if need be.

        Raises InteractionError.
        """
        known = self.known_reason(profile)
        if known is None and self._prompter is None:
            raise needs_reason(profile)
        return known or self._reason_in_advance(profile)

    def _reason_in_advance(self, profile: Profile) -> str:
        from credhelper.sessions import questions

        with self._locks.hold("reason", REASON_SECONDS):
            known = self.known_reason(profile)  # another caller may have asked meanwhile
            if known is None:
                answer = self._ask(questions.reason_in_advance(profile), None)
                state = read_state(self._locks, profile) or ApprovalState(expiry.read_clocks())
                _write_state(self._locks, profile, self._renewed(state, answer, reason=answer.text))
                known = answer.text
        return known

    def minted(self, call: StsCall, credentials: Credentials) -> None:
        """Extend the approvals to the life of this session."""
        state = read_state(self._locks, call.profile)
        if state is not None:
            left = expiry.remaining(credentials, expiry.read_clocks())
            _write_state(self._locks, call.profile, replace(state, rest=left))


def _fits(reason: str | None, required: bool | str) -> bool:  # noqa: FBT001 - the two forms of the key
    return bool(reason) and (required is True or bool(re.search(str(required), reason or "")))
