"""One visit of the doctor: the rounds walk side by side, whatever one of them hangs on.

The checks of a round come one after the other. What they have found by the end of the visit counts; a check
that fails, or that is still at it, is a finding itself.
"""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from credhelper.deadline import Deadline, LateError, Running
from credhelper.doctor.findings import Finding, problem, trouble
from credhelper.errors import CredhelperError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from credhelper.app import App
    from credhelper.aws.services import Services
    from credhelper.credentials import AccessKey
    from credhelper.sessions.provider import SessionProvider

    Check = Callable[["Visit"], Iterator[Finding]]
    Round = Sequence[tuple[str, Check]]

GRACE: Final = 0.5
"""Seconds after the end of a visit in which checks tidy up: what they have started is killed."""


Answer = TypeVar("Answer")
ASK_SECONDS: Final = 4.0


@dataclass(frozen=True)
class Visit:
    """What is looked at: the profiles `names` (none: every one), until the time is over."""

    app: App
    names: tuple[str, ...]
    until: Deadline
    probe: bool = False

    def seconds(self, at_most: float) -> float:
        """The time that one question may take. Raises LateError where none is left."""
        left = self.until.left(at_most)
        if left <= 0:
            raise LateError
        return left

    def provider(self, at_most: float) -> SessionProvider:
        """Gets credentials within these seconds, without a prompt. Raises LateError where none are left."""
        return self.app.provider(deadline=Deadline(self.seconds(at_most)), prompts=False)


class _Walk:
    """One round under way."""

    def __init__(self, visit: Visit, checks: Round) -> None:
        self._visit = visit
        self._checks = checks
        self._found: list[Finding] = []
        self._at = checks[0][0]
        self._running = Running(self._go)

    def _go(self) -> None:
        for name, check in self._checks:
            self._at = name
            try:
                for finding in check(self._visit):
                    self._found.append(finding)
            except CredhelperError as error:
                self._found.append(trouble(name, error))
            except LateError:
                self._found.append(_late(name))
            except Exception as error:  # noqa: BLE001 - one check that is broken must not hide the others
                self._found.append(_broken(name, error))

    def end(self) -> list[Finding]:
        """What it has found when the visit is over."""
        try:
            self._running.wait(self._visit.until.left() + GRACE)
        except LateError:
            return [*self._found, _late(self._at)]
        return self._found


def walk(visit: Visit, rounds: Sequence[Round]) -> list[Finding]:
    """All that these rounds find, in their order."""
    walks = [_Walk(visit, checks) for checks in rounds]
    return [finding for each in walks for finding in each.end()]


def _late(check: str) -> Finding:
    return problem(
        check, "this check did not come to its end in time", "look at one profile: 'credhelper doctor NAME'"
    )


def _broken(check: str, error: Exception) -> Finding:
    """A defect of ours, by its place and never by its text."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(frame.filename)} line {frame.lineno}"
    return problem(check, f"this check failed: {type(error).__name__} in {place}", "please report it: a bug")


@dataclass(frozen=True)
class Caller:
    """Who signs the calls of some profiles, as AWS sees them.

    A service that has not answered once is in `silent`, and is not waited for again.
    """

    services: Services
    access_key: AccessKey
    account: str
    arn: str
    visit: Visit
    silent: dict[str, UnreachableError]

    def ask(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """AWS's answer to one call. Raises CredhelperError."""
        return self._unless_silent(
            service,
            lambda seconds: self.services.ask(self.access_key, service, operation, seconds, **parameters),
        )

    def pages(self, service: str, operation: str, **parameters: Any) -> list[dict[str, Any]]:
        """All pages of a call. Raises CredhelperError."""
        return self._unless_silent(
            service,
            lambda seconds: self.services.pages(self.access_key, service, operation, seconds, **parameters),
        )

    def _unless_silent(self, service: str, question: Callable[[float], Answer]) -> Answer:
        if service in self.silent:
            raise self.silent[service]
        try:
            return question(self.visit.seconds(ASK_SECONDS))
        except UnreachableError as error:
            self.silent[service] = error
            raise
