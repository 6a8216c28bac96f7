"""`assume-root` and `assume-role`: a call made of options, answered, cached and recorded like a profile's.

The options become a profile that stands in no file, with [defaults] under them. Its name has a space, which
no profile of the file may have, and says what is assumed: `clear`, the record and prompts show it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from credhelper.assume import options
from credhelper.config.aws_names import short_task
from credhelper.config.keys import ROOT, SOURCES, TOKEN_CODE
from credhelper.errors import ConfigError, HumanNeededError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from credhelper.agent.client import CacheMode
    from credhelper.app import App
    from credhelper.config.keys import Kind
    from credhelper.config.profiles import Profile
    from credhelper.credentials import Credentials
    from credhelper.sessions.calls import StsCall

_MEMBERS: Final = {
    "AWS_ACCESS_KEY_ID": "AccessKeyId",
    "AWS_SECRET_ACCESS_KEY": "SecretAccessKey",
    "AWS_SESSION_TOKEN": "SessionToken",
}
VERBS: Final[dict[Kind, str]] = {"root": "assume-root", "role": "assume-role"}
LONGEST_TIMEOUT: Final = 10
"""Seconds that one read may take, as the whole call has no more; the AWS CLI's 0, no limit, means it too."""


@dataclass(frozen=True)
class OneOff:
    """What the options say: the request in the API's shape, and the settings that are no part of it."""

    kind: Kind
    request: Mapping[str, Any]
    settings: Mapping[str, Any]
    verified: bool = True

    def profile(self, app: App) -> Profile:
        """As a profile. Raises ConfigError."""
        source = {} if any(name in self.settings for name in SOURCES) else _source(app.environ)
        values = {**source, **self.settings, **options.settings(self.kind, self.request)}
        if self._code is not None:
            values["mfa_session"] = False  # it goes with this very call, as the AWS CLI sends it
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
        """The call that answers for it, which may ask for a reason.

        Raises ConfigError, SourceError, HumanNeededError.
        """
        planner = app.planner(app.consent().reason) if may_ask else app.planner()
        call = planner.call(self.profile(app))
        if self._code is not None and not call.needs_code:
            raise ConfigError(f"'{TOKEN_CODE.option}' needs '--serial-number'")
        return call if self.verified else replace(call, endpoint=replace(call.endpoint, verified=False))

    def answer(self, app: App, *, mode: CacheMode = "get", cache: bool = True) -> Credentials:
        """Credentials for it; what came over an unverified connection is kept nowhere.

        Raises CredhelperError.
        """
        try:
            call = self.call(app, may_ask=True)
            codes = {call.parameters["SerialNumber"]: self._code} if self._code is not None else None
            return app.provider(codes=codes).get(call, mode=mode, cache=cache and self.verified)
        except HumanNeededError as error:
            raise _hinted(error) from None


def bounded(seconds: int) -> int:
    """A timeout of the AWS CLI's as one of ours."""
    return min(seconds or LONGEST_TIMEOUT, LONGEST_TIMEOUT)


def variables(text: bytes) -> dict[str, str]:
    """The variables that have the keys of an envelope, or of the API's response; '' for no session token.

    Raises ConfigError.
    """
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
    """Whose credentials the environment names; [defaults] comes after it, and the SDK's default chain last.

    AWS_PROFILE counts here: nobody's profile is being answered, unless an SDK says so.
    """
    if environ.get("AWS_ACCESS_KEY_ID"):
        return {"credential_source": "Environment"}
    profile = environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE")
    return {"source_profile": profile} if profile else {}


def _hinted(error: HumanNeededError) -> HumanNeededError:
    """The same error, with what to do about it: `login`, which others are told to run, knows no one-off."""
    kept = [hint for hint in error.hints if "credhelper login" not in hint]
    hint = "run this at a terminal, or say it at once: --reason, --yes, --token-code"
    return type(error)(error.sentence, hint, *kept, code=error.code)
