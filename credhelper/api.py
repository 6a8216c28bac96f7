"""`get` and `session`, for programs that are not ours: a house opened for each request, in their process.

Their signals, warnings and loggers stay as they are, nothing is printed, and no failure ends them: it is
raised. Beside the verbs this is the one room that reads the environment.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from credhelper.app import App, Invocation, open_app
from credhelper.config import validation
from credhelper.config.keys import BY_NAME, Key
from credhelper.config.toml import nearest
from credhelper.credentials import Credentials  # noqa: TC001 - programs may ask for the types
from credhelper.errors import ConfigError, CredhelperError, HumanNeededError, printable
from credhelper.overrides import Overrides  # noqa: TC001 - programs may ask for the types
from credhelper.sessions.consent import UserInput

if sys.version_info >= (3, 11):
    from typing import Unpack
elif TYPE_CHECKING:
    from typing_extensions import Unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

    import boto3

    from credhelper.agent.client import CacheMode
    from credhelper.clocks import ExpiryThresholds


def get(name: str, **overrides: Unpack[Overrides]) -> Credentials:
    """The credentials of a profile (`NAME` or `PROFILE@TARGET`): cached, or minted now.

    Overrides are the keys of a profile, spelt as in config.toml, and each beats what the file says. Beside
    them `reason` goes into the record and into {reason}, and `yes=True` says yes to the profile's `confirm`.

    Raises CredhelperError: ConfigError, SourceError, RefusedError, HumanNeededError, UnreachableError. Its
    text is a sentence, its `hints` say what to do.
    """
    return _Request.of(name, overrides).answer("get")[0]


def session(name: str, **overrides: Unpack[Overrides]) -> boto3.Session:
    """A boto3 session with the credentials of a profile, which renew themselves in this process.

    The configuration is checked at once; what has to be minted is minted by the first request, and again
    before it expires, and what then fails is raised by the request that needs it. The region is the
    profile's, or else the one that boto3 finds. AWS_PROFILE has no say. Takes and raises what `get` does.
    """
    request = _Request.of(name, overrides)
    region = request.region()
    from credhelper.boto3_session import open_session

    return open_session(request.answer, region)


_KNOWN: Final = {
    **BY_NAME,
    "reason": Key("reason", "text", "why; for the record, and for {reason} in names and tags"),
    "yes": Key("yes", "boolean", "say yes to the profile's 'confirm'"),
}


@dataclass(frozen=True)
class _Request:
    """What a program asks for, once or again and again."""

    name: str
    keys: Mapping[str, Any]
    said: UserInput

    @classmethod
    def of(cls, name: str, overrides: Mapping[str, Any]) -> _Request:
        if not isinstance(name, str):
            raise _noted(
                ConfigError(f"the name of a profile must be a string, not {validation.kind_of(name)}")
            )
        given = {key: _plain(value) for key, value in overrides.items() if value is not None}
        for key, value in given.items():
            if key not in _KNOWN:
                raise _noted(ConfigError(f"'{key}' is not a key of a profile", *nearest(key, _KNOWN)))
            if wrong := validation.problem(_KNOWN[key], value):
                raise _noted(ConfigError(f"'{key}' {wrong}"))
        keys = {key: value for key, value in given.items() if key in BY_NAME}
        return cls(name, keys, UserInput(given.get("reason"), given.get("yes", False)))

    def answer(self, mode: CacheMode) -> tuple[Credentials, ExpiryThresholds]:
        """Credentials, and when they are to be renewed."""
        with self._app(background=mode == "renew") as app:
            call = app.call(app.config.profile(self.name, self.keys))
            with contextlib.closing(app.agent):
                provider = app.provider()
                credentials = provider.get(call, mode=mode)
                return credentials, provider.thresholds(call, credentials)

    def region(self) -> str | None:
        """The profile's region. Raises what is wrong with the configuration."""
        with self._app() as app:
            profile = app.config.profile(self.name, self.keys)
            with contextlib.suppress(HumanNeededError):  # who is asked when it is minted
                app.planner().call(profile)
            found: str | None = profile.get("region")
            return found

    @contextlib.contextmanager
    def _app(self, *, background: bool = False) -> Iterator[App]:
        start = Invocation(time.monotonic(), background=background, program=_program())
        try:
            app = open_app(dict(os.environ), start, self.said)
            with app.ending:
                yield app
        except CredhelperError as error:
            _noted(error)
            raise


def _plain(value: Any) -> Any:
    """A value as TOML would have given it."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def _noted(error: CredhelperError) -> CredhelperError:
    """With its hints where a traceback shows them, as of Python 3.11."""
    if sys.version_info >= (3, 11) and not hasattr(error, "__notes__"):
        for hint in error.hints:
            error.add_note(f"hint: {printable(hint)}")
    return error


def _program() -> str:
    """What the record calls this process: the name of the script, or of the interpreter."""
    script = os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) else ""
    return printable(script if script not in ("", "-c", "-m") else os.path.basename(sys.executable))
