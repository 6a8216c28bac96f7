"""`assume-root` and `assume-role`: a call from options, cached and recorded as that of a profile.

The options become a profile outside the file, with [defaults] applied. Its name, such as `assume-role ARN`,
has a space, which profiles of the file cannot have; `clear`, the audit log and prompts show it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from credhelper.assume import options
from credhelper.config.aws_names import short_task
from credhelper.config.keys import ROOT, SOURCES, TOKEN_CODE
from credhelper.errors import ConfigError, CredhelperError, InteractionError, printable
from credhelper.run.accounts import Account, decoded, names
from credhelper.run.batch import BatchResult

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from credhelper.agent.client import CacheMode
    from credhelper.app import App
    from credhelper.config.keys import Kind
    from credhelper.config.profiles import Config, Profile
    from credhelper.credentials import Credentials
    from credhelper.run.batch import BatchRun
    from credhelper.sessions.calls import StsCall

_MEMBERS: Final = {
    "AWS_ACCESS_KEY_ID": "AccessKeyId",
    "AWS_SECRET_ACCESS_KEY": "SecretAccessKey",
    "AWS_SESSION_TOKEN": "SessionToken",
}
VERBS: Final[dict[Kind, str]] = {"root": "assume-root", "role": "assume-role"}
LONGEST_TIMEOUT: Final = 10
"""Seconds that the whole call may take, and the limit for one read too."""


@dataclass(frozen=True)
class OneOff:
    """The options: the request in the API's shape, and the settings that are no parameters."""

    kind: Kind
    request: Mapping[str, Any]
    settings: Mapping[str, Any]
    verified: bool = True

    def profile(self, app: App) -> Profile:
        """The profile. Raises ConfigError."""
        source = {} if any(name in self.settings for name in SOURCES) else _source(app.environ)
        values = {**source, **self.settings, **options.settings(self.kind, self.request)}
        if self._code is not None:
            values["mfa_session"] = False  # the code is for this call, as the AWS CLI sends it
        if self.is_for_many:
            del values["target_principal"]
        return app.config.one_off(self._name(values), values)

    def _name(self, values: Mapping[str, Any]) -> str:
        if self.kind != ROOT:
            return f"{VERBS[self.kind]} {values['role_arn']}"
        task = f"{VERBS[ROOT]} {short_task(str(values['task_policy_arn']))}"
        return task if self.is_for_many else f"{task}@{values['target_principal']}"

    @property
    def is_for_many(self) -> bool:
        """Whether its principals come from stdin."""
        return self.request.get("target_principal") == options.FROM_STDIN

    @property
    def _code(self) -> str | None:
        return options.code(self.request)

    def call(self, app: App, *, may_ask: bool = False) -> StsCall:
        """The call; with `may_ask` it may prompt for a reason.

        Raises ConfigError, SourceError, InteractionError.
        """
        planner = app.planner(app.consent().reason) if may_ask else app.planner()
        call = planner.call(self.profile(app))
        if self._code is not None and not call.needs_code:
            raise ConfigError(f"'{TOKEN_CODE.option}' needs '--serial-number'")
        return call if self.verified else replace(call, endpoint=replace(call.endpoint, verified=False))

    def answer(self, app: App, *, mode: CacheMode = "get", cache: bool = True) -> Credentials:
        """Credentials, which are not cached if TLS is not verified. Raises CredhelperError."""
        try:
            call = self.call(app, may_ask=True)
            codes = {call.parameters["SerialNumber"]: self._code} if self._code is not None else None
            return app.provider(codes=codes).get(call, mode=mode, cache=cache and self.verified)
        except InteractionError as error:
            raise _hinted(error) from None


def bounded(seconds: int) -> int:
    """A timeout of the AWS CLI, where 0 is no limit, within LONGEST_TIMEOUT."""
    return min(seconds or LONGEST_TIMEOUT, LONGEST_TIMEOUT)


def variables(text: bytes) -> dict[str, str]:
    """The variables for the keys of an envelope or of an API response. Raises ConfigError."""
    try:
        document = json.loads(text)
        keys = {"SessionToken": "", **document.get("Credentials", document)}
        found = {name: keys[member] for name, member in _MEMBERS.items()}
        sound = all(isinstance(value, str) and "\0" not in value for value in found.values())
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError):
        sound = False
    if not sound:
        raise ConfigError(
            "stdin has no credentials",
            f"it needs a JSON object with {', '.join(_MEMBERS.values())}, as 'credhelper get' prints it",
        )
    return found


def _source(environ: Mapping[str, str]) -> dict[str, str]:
    """The source that the environment names, before [defaults] and the SDK's default chain.

    AWS_PROFILE counts, because these commands are no credential process of that profile.
    """
    if environ.get("AWS_ACCESS_KEY_ID"):
        return {"credential_source": "Environment"}
    profile = environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE")
    return {"source_profile": profile} if profile else {}


def _hinted(error: InteractionError) -> InteractionError:
    """The error with another hint: `login` takes no one-off calls."""
    kept = [hint for hint in error.hints if "credhelper login" not in hint]
    hint = "run this on a terminal, or give --reason, --yes or --token-code"
    return type(error)(error.sentence, hint, *kept, code=error.code)


@dataclass(frozen=True)
class Principal:
    """A principal from stdin: as it was written, and its account or why it has none."""

    written: str
    account: str | ConfigError


def principals(config: Config, content: bytes) -> list[Principal]:
    """The principals on stdin, one a line, each account once. Raises ConfigError."""
    found: dict[str, Principal] = {}
    for _, written in names(decoded(content, "stdin")):
        try:
            account: str | ConfigError = config.account_id(written, arn=True)
        except ConfigError as error:
            account = error
        found.setdefault(account if isinstance(account, str) else written, Principal(written, account))
    if not found:
        raise ConfigError("stdin names no principal", "write account ids, aliases or ARNs, one a line")
    return [*found.values()]


def answer_each(
    batch: BatchRun,
    wanted: list[Principal],
    response: Callable[[Credentials], Mapping[str, Any]],
    jobs: int,
) -> Generator[BatchResult, None, None]:
    """Prompt once, then mint a session for each principal; see `BatchRun.results`.

    `response` is what to print of credentials. Raises CredhelperError.
    """

    def answer(principal: Principal) -> BatchResult:
        try:
            if isinstance(principal.account, ConfigError):
                raise principal.account
            document = response(batch.mint(batch.call(principal.account)))
        except CredhelperError as error:
            batch.note(error)
            hints = [printable(hint) for hint in error.hints if hint]
            failure = {
                "TargetPrincipal": principal.written,
                "Error": printable(error.sentence),
                "Hints": hints,
            }
            return BatchResult(failure, failed=True)
        return BatchResult({"TargetPrincipal": principal.written, **document}, failed=False)

    batch.begin([Account(each.account) for each in wanted if isinstance(each.account, str)])
    return batch.results(wanted, answer, jobs)
