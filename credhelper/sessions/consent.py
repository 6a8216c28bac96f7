"""What a person has to say before a mint, and whether they have: a yes, why, that it may go on; codes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from credhelper import expiry
from credhelper.errors import CredhelperError, HumanNeededError, NobodyError
from credhelper.sessions import series
from credhelper.sessions.parameters import needs_reason
from credhelper.sessions.series import ApprovalState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from credhelper.cache.locks import Locks
    from credhelper.config.profiles import Profile
    from credhelper.credentials import Credentials
    from credhelper.prompts import Answer, Question
    from credhelper.sessions.calls import StsCall

ANOTHER_ONES_ANSWER = 42.0
"""Seconds to wait for what somebody else is asking a person: who has 40."""

Matter = Literal["reason", "confirm", "renewal"]


@dataclass(frozen=True)
class UserInput:
    """What the person has said on the command line: why, that they mean it, and that they are here.

    `codes` are MFA codes, by their device.
    """

    reason: str | None = None
    yes: bool = False
    login: bool = False
    codes: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Permission:
    """For the record: why, and who confirmed how."""

    reason: str | None = None
    confirmed_by: str | None = None


@dataclass(frozen=True)
class Asking:
    """How a person is asked: `ask` raises NobodyError and CancelledError; `by` is the program that asks."""

    ask: Callable[[Question, StsCall | None], Answer]
    by: Callable[[], str]


class Consent:
    """Knows what has to be said, and by whom it was: `user`. No `asking`: nobody is to be disturbed."""

    def __init__(self, said: UserInput, locks: Locks, user: str, asking: Asking | None = None) -> None:
        self.said = said
        self._locks = locks
        self._user = user
        self._asking = asking

    def wants(self, profile: Profile) -> list[Matter]:
        """What has to be asked before a mint for this profile. MFA codes are another matter."""
        wanted: list[Matter] = []
        required, limit = profile.require_reason, profile.renew_for
        if not (required or profile.confirm or limit is not None):
            return wanted
        running = series.under_way(self._locks, profile)
        known = self.said.reason or (running.reason if running else None)
        if required and not _fits(known, required):
            wanted.append("reason")
        if profile.confirm and not self.said.yes and not (running and running.yes_left(profile)):
            wanted.append("confirm")
        if limit is not None and running and running.age > limit and not self.said.login:
            wanted.append("renewal")
        return wanted

    def needs_person(self, call: StsCall) -> bool:
        """Whether a mint of this call waits for somebody. A person at `login` is there already."""
        asks_code = call.needs_code and call.parameters["SerialNumber"] not in self.said.codes
        return not self.said.login and (asks_code or bool(self.wants(call.profile)))

    def permit(self, call: StsCall, waiting: Callable[[], int]) -> Permission:
        """See that all has been said; `waiting` tells how many wait for it. Raises HumanNeededError."""
        profile, now = call.profile, expiry.read_clocks()
        wanted = self.wants(profile)
        if self.said.login and profile.confirm and not self.said.yes and "confirm" not in wanted:
            wanted.append("confirm")
        found = series.under_way(self._locks, profile) or ApprovalState(now)
        if self.said.login:
            found = replace(found, began=now)
        if self.said.reason:
            found = replace(found, reason=self.said.reason)
        if self.said.yes and profile.confirm:
            found = replace(found, yes=now, by=f"{self._user} by --yes")
        if wanted:  # whoever goes on asking does not make it a new series
            series.note(self._locks, profile, replace(found, rest=0.0))
        for matter in wanted:
            if matter != "renewal" or "confirm" not in wanted:  # that yes will do
                found = self._answered(matter, found, call, waiting)
        if not series.note(self._locks, profile, found) and self._locks.usable:
            raise CredhelperError(
                f"nothing is minted for profile '{profile.name}': what was said about it cannot be kept",
                "is the disk full?",
            )
        return Permission(found.reason, found.by)

    def _answered(
        self, matter: Matter, found: ApprovalState, call: StsCall, waiting: Callable[[], int]
    ) -> ApprovalState:
        from credhelper.sessions import questions

        by = "" if self._asking is None else self._asking.by()
        if matter == "reason":
            required = call.profile.require_reason
            if self.said.reason:
                wrong = f"the reason given for profile '{call.profile.name}' does not match '{required}'"
                raise HumanNeededError(wrong, questions.hint(call, " --reason ..."))
            pattern = required if isinstance(required, str) else None
            answer = self._ask(questions.reason(call, by, waiting(), pattern), call)
            return self._told(found, answer, reason=answer.text)
        if matter == "confirm":
            lasts = call.profile.confirm_for
            answer = self._ask(questions.confirm(call, by, waiting(), lasts), call)
            return self._told(found, answer, yes=expiry.read_clocks())
        return self._told(found, self._ask(questions.renewal(call, by, waiting(), found.age), call))

    def _told(self, found: ApprovalState, answer: Answer, **what: object) -> ApprovalState:
        """The series begins anew with what somebody has just said."""
        by = f"{self._user} by {answer.driver}"
        return replace(found, began=expiry.read_clocks(), by=by, **what)  # type: ignore[arg-type]

    def _ask(self, question: Question, call: StsCall | None) -> Answer:
        if self._asking is None:
            raise NobodyError(f"{question.title}, and no prompt is possible", question.hint)
        return self._asking.ask(question, call)

    def code(self, call: StsCall, waiting: Callable[[], int], *, rejected: bool = False) -> str:
        """An MFA code, the next one after a `rejected` one; one that was given is the only one.

        Raises HumanNeededError.
        """
        if given := self.said.codes.get(call.parameters["SerialNumber"]):
            return given
        from credhelper.sessions import questions

        by = "" if self._asking is None else self._asking.by()
        return self._ask(questions.code(call, by, waiting(), rejected=rejected), call).text

    def known_reason(self, profile: Profile) -> str | None:
        """Why, as far as it has been said."""
        if self.said.reason:
            return self.said.reason
        running = series.under_way(self._locks, profile)
        return running.reason if running else None

    def reason(self, profile: Profile) -> str:
        """Why, for a name or a tag that is part of the call; perhaps asked for. Raises HumanNeededError."""
        known = self.known_reason(profile)
        if known is None and self._asking is None:
            raise needs_reason(profile)
        return known or self._reason_in_advance(profile)

    def _reason_in_advance(self, profile: Profile) -> str:
        from credhelper.sessions import questions

        question = questions.reason_in_advance(profile, self._asking.by() if self._asking else "")
        with self._locks.hold("reason", ANOTHER_ONES_ANSWER):
            known = self.known_reason(profile)  # somebody else may have been asked meanwhile
            if known is None:
                answer = self._ask(question, None)
                found = series.under_way(self._locks, profile) or ApprovalState(expiry.read_clocks())
                series.note(self._locks, profile, self._told(found, answer, reason=answer.text))
                known = answer.text
        return known

    def minted(self, call: StsCall, credentials: Credentials) -> None:
        """The series goes on for as long as this session lives."""
        running = series.under_way(self._locks, call.profile)
        if running is not None:
            left = expiry.remaining(credentials, expiry.read_clocks())
            series.note(self._locks, call.profile, replace(running, rest=left))


def _fits(reason: str | None, required: bool | str) -> bool:  # noqa: FBT001 - the key's own two forms
    return bool(reason) and (required is True or bool(re.search(str(required), reason or "")))
