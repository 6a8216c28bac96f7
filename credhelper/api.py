"""`credhelper.get` and `credhelper.session`, for Python programs.

Signals, warnings and loggers of the program stay as they are, nothing is printed, and errors are raised.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from credhelper.app import App, Invocation, open_app
from credhelper.config import validation
from credhelper.config.keys import BY_NAME, Key
from credhelper.config.toml import nearest
from credhelper.credentials import Credentials  # noqa: TC001 - programs may ask for the types
from credhelper.errors import ConfigError, CredhelperError, InteractionError, printable
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


class Overrides(TypedDict, total=False):
    """What `get` and `session` take after the name; None counts as not given.

    The keys of a profile, so that type checkers and editors know them: `config/keys.py` has their meaning.
    """

    reason: str | None
    yes: bool | None
    target_principal: str | None
    task_policy_arn: str | None
    role_arn: str | None
    role_session_name: str | None
    policy: str | None
    policy_arns: Sequence[str] | None
    tags: Mapping[str, str] | None
    transitive_tag_keys: Sequence[str] | None
    external_id: str | None
    source_identity: str | None
    provided_contexts: Sequence[Mapping[str, str]] | None
    mfa_serial: str | None
    duration_seconds: int | None
    minimum_session_token_size: int | None
    source_profile: str | None
    credential_source: Literal["Environment", "Ec2InstanceMetadata", "EcsContainer"] | None
    source_key: str | None
    region: str | None
    sts_region: str | None
    endpoint_url: str | None
    ca_bundle: str | None
    connect_timeout: int | None
    read_timeout: int | None
    use_fips_endpoint: bool | None
    use_dualstack_endpoint: bool | None
    mfa_command: Sequence[str] | None
    mfa_session: bool | None
    mfa_duration_seconds: int | None
    confirm: bool | None
    confirm_for: int | None
    require_reason: bool | str | None
    renew_for: int | None
    allow_targets: Sequence[str] | None
    deny_targets: Sequence[str] | None
    cache: bool | Literal["memory"] | None
    min_remaining: int | None
    description: str | None


def get(name: str, **overrides: Unpack[Overrides]) -> Credentials:
    """The credentials of a profile (`NAME` or `PROFILE@TARGET`): cached, or minted now.

    Overrides are keys of a profile, spelt as in config.toml; each beats the file. `reason` goes into the
    audit log and into {reason}; `yes=True` gives the confirmation that the profile's `confirm` asks for.

    Raises CredhelperError: ConfigError, SourceError, RefusedError, InteractionError, UnreachableError. Its
    `hints` tell what to do.
    """
    return _Request.of(name, overrides).answer("get")[0]


def session(name: str, **overrides: Unpack[Overrides]) -> boto3.Session:
    """A boto3 session with the credentials of a profile, which renew themselves in this process.

    The configuration is checked now. The first request mints, and later ones before the credentials expire;
    an error is raised by the request that needs them. The region is the profile's, or else the one that
    boto3 finds. AWS_PROFILE has no effect. Takes and raises what `get` does.
    """
    request = _Request.of(name, overrides)
    region = request.region()
    from credhelper.boto3_session import open_session

    return open_session(request.answer, region)


_KNOWN: Final = {
    **BY_NAME,
    "reason": Key("reason", "text", "the reason, for the audit log and for {reason} in names and tags"),
    "yes": Key("yes", "boolean", "confirm what the profile's 'confirm' asks"),
}


@dataclass(frozen=True)
class _Request:
    """What a program requests, once or repeatedly."""

    name: str
    keys: Mapping[str, Any]
    given: UserInput

    @classmethod
    def of(cls, name: str, overrides: Mapping[str, Any]) -> _Request:
        with _hints_as_notes():
            if not isinstance(name, str):
                raise ConfigError(f"the name of a profile must be a string, not {validation.kind_of(name)}")
            values = {key: _plain(value) for key, value in overrides.items() if value is not None}
            for key, value in values.items():
                if key not in _KNOWN:
                    raise ConfigError(f"'{key}' is not a key of a profile", *nearest(key, _KNOWN))
                if wrong := validation.problem(_KNOWN[key], value):
                    raise ConfigError(f"'{key}' {wrong}")
        keys = {key: value for key, value in values.items() if key in BY_NAME}
        return cls(name, keys, UserInput(values.get("reason"), values.get("yes", False)))

    def answer(self, mode: CacheMode) -> tuple[Credentials, ExpiryThresholds]:
        """Credentials, and when they are to be renewed."""
        with self._app(background=mode == "renew") as app:
            call = app.call(app.config.profile(self.name, self.keys))
            with contextlib.closing(app.agent):
                provider = app.provider()
                credentials = provider.get(call, mode=mode)
                return credentials, provider.thresholds(call, credentials)

    def region(self) -> str | None:
        """The profile's region. Raises ConfigError, SourceError."""
        with self._app() as app:
            profile = app.config.profile(self.name, self.keys)
            with contextlib.suppress(InteractionError):  # the mint prompts
                app.planner().call(profile)
            found: str | None = profile.get("region")
            return found

    @contextlib.contextmanager
    def _app(self, *, background: bool = False) -> Iterator[App]:
        start = Invocation(time.monotonic(), background=background, program=_program())
        with _hints_as_notes():
            app = open_app(dict(os.environ), start, self.given)
            with app.ending:
                yield app


def _plain(value: Any) -> Any:
    """A value in the types of TOML."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


@contextlib.contextmanager
def _hints_as_notes() -> Iterator[None]:
    """Add an error's hints as notes, which a traceback shows as of Python 3.11."""
    try:
        yield
    except CredhelperError as error:
        if sys.version_info >= (3, 11) and not hasattr(error, "__notes__"):
            for hint in error.hints:
                error.add_note(f"hint: {printable(hint)}")
        raise


def _program() -> str:
    """The name of this process in the audit log: the script's, or the interpreter's."""
    script = os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) else ""
    return printable(script if script not in ("", "-c", "-m") else os.path.basename(sys.executable))
