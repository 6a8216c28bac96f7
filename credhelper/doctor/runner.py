"""Runs the checks: groups of checks in parallel, each group in order, until a deadline.

A check that fails, or that has not finished at the deadline, is a finding itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from credhelper.config.keys import ROOT
from credhelper.deadline import Deadline, LateError, Running
from credhelper.doctor.findings import Finding, from_error, problem
from credhelper.errors import ConfigError, CredhelperError, UnreachableError, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from credhelper.app import App
    from credhelper.aws.services import Services
    from credhelper.config.profiles import Config, Profile
    from credhelper.credentials import AccessKey
    from credhelper.sessions.calls import CallPlanner, StsCall
    from credhelper.sessions.provider import SessionProvider

    Check = Callable[["Examination"], Iterator[Finding]]
    CheckGroup = Sequence[tuple[str, Check]]

GRACE: Final = 0.5
"""Seconds after the deadline for checks to clean up: the programs they have started are killed."""

ASK_SECONDS: Final = 4.0
"""The longest that one request to AWS may take."""

PLACEHOLDER_ACCOUNT: Final = "000000000000"
"""The target of a profile without one, where a check looks only at the caller's side."""

Response = TypeVar("Response")


@dataclass(frozen=True)
class Examination:
    """One run of doctor, for the profiles `names` (none: every profile)."""

    app: App
    names: tuple[str, ...]
    deadline: Deadline
    probe: bool = False

    def seconds(self, at_most: float) -> float:
        """The time for one request. Raises LateError after the deadline."""
        left = self.deadline.left(at_most)
        if left <= 0:
            raise LateError
        return left

    def provider(self, at_most: float) -> SessionProvider:
        """Gets credentials within these seconds, without a prompt. Raises LateError where none are left."""
        return self.app.provider(deadline=Deadline(self.seconds(at_most)), prompts=False)


class _GroupRun:
    """A group of checks, running in a thread."""

    def __init__(self, examination: Examination, checks: CheckGroup) -> None:
        self._examination = examination
        self._checks = checks
        self._found: list[Finding] = []
        self._current = checks[0][0]
        self._running = Running(self._run)

    def _run(self) -> None:
        for name, check in self._checks:
            self._current = name
            try:
                for finding in check(self._examination):
                    self._found.append(finding)
            except CredhelperError as error:
                self._found.append(from_error(name, error))
            except LateError:
                self._found.append(_late(name))
            except Exception as error:  # noqa: BLE001 - a broken check must not hide the others
                sentence = f"this check failed: {place_of(error)}"
                self._found.append(problem(name, sentence, "please report it: a bug"))

    def findings(self) -> list[Finding]:
        """The findings when all checks have finished, or at the deadline."""
        try:
            self._running.wait(self._examination.deadline.left() + GRACE)
        except LateError:
            return [*self._found, _late(self._current)]
        return self._found


def run_checks(examination: Examination, groups: Sequence[CheckGroup]) -> list[Finding]:
    """The findings of all groups, in order."""
    running = [_GroupRun(examination, checks) for checks in groups]
    return [finding for each in running for finding in each.findings()]


def _late(check: str) -> Finding:
    return problem(check, "this check did not finish in time", "check one profile: 'credhelper doctor NAME'")


@dataclass(frozen=True)
class ValidProfile:
    """A profile with its call; `has_target` is false if the call's target is a placeholder."""

    name: str
    call: StsCall
    has_target: bool

    @property
    def is_root(self) -> bool:
        """Whether it is an AssumeRoot profile."""
        return self.call.profile.kind == ROOT


@dataclass(frozen=True)
class InvalidProfile:
    """A profile without a call, and the reason."""

    name: str
    error: CredhelperError


def valid_profiles(examination: Examination) -> Iterator[ValidProfile]:
    """The examined profiles that have a call."""
    return (each for each in all_profiles(examination) if isinstance(each, ValidProfile))


def all_profiles(examination: Examination) -> Iterator[ValidProfile | InvalidProfile]:
    """The examined profiles; none if a file cannot be read, which other checks report."""
    try:
        config, planner = examination.app.config, examination.app.planner()
    except ConfigError:
        return
    for name in examination.names or config.names:
        yield _profile(name, config, planner)


def _profile(name: str, config: Config, planner: CallPlanner) -> ValidProfile | InvalidProfile:
    try:
        profile, has_target = _with_target(name, config)
        return ValidProfile(name, planner.call(profile), has_target)
    except CredhelperError as error:
        return InvalidProfile(name, error)


def _with_target(name: str, config: Config) -> tuple[Profile, bool]:
    """The profile; one without a target gets a placeholder that it allows. Raises ConfigError."""
    if not config.is_open(name):
        return config.profile(name), True
    rules = {**config.table("defaults"), **config.table("profiles")[name]}
    allowed, denied = ([*map(str, rules.get(f"{verb}_targets") or ())] for verb in ("allow", "deny"))
    target = next((each for each in allowed if each not in denied), PLACEHOLDER_ACCOUNT)
    return config.profile(f"{name}@{target}"), False


@dataclass(frozen=True)
class SourceIdentity:
    """The caller of STS for some profiles, as AWS sees it; `silent` has the services that did not answer."""

    services: Services
    access_key: AccessKey
    account: str
    arn: str
    examination: Examination
    silent: dict[str, UnreachableError]

    def ask(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """The response to a request. Raises CredhelperError."""
        return self._unless_silent(self.services.ask, service, operation, parameters)

    def pages(self, service: str, operation: str, **parameters: Any) -> list[dict[str, Any]]:
        """All pages of a response. Raises CredhelperError."""
        return self._unless_silent(self.services.pages, service, operation, parameters)

    def _unless_silent(
        self, request: Callable[..., Response], service: str, operation: str, parameters: dict[str, Any]
    ) -> Response:
        """The response, unless the service has been silent once: nothing waits for it a second time."""
        if service in self.silent:
            raise self.silent[service]
        try:
            seconds = self.examination.seconds(ASK_SECONDS)
            return request(self.access_key, service, operation, seconds, **parameters)
        except UnreachableError as error:
            self.silent[service] = error
            raise
