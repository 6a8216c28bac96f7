"""A profile's session handed over to a command: as variables, or by an endpoint for as long as it runs."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from credhelper import app, hardening
from credhelper.app import Invocation
from credhelper.awsconfig import profiles
from credhelper.config.profiles import FLAG
from credhelper.run import command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from credhelper.agent.client import CacheMode
    from credhelper.app import App
    from credhelper.credentials import Credentials
    from credhelper.sessions.calls import StsCall

REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")


@dataclass(frozen=True)
class Request:
    """Whose session is asked for, and how; `flags` are keys of a profile, as `house.given` returns them."""

    name: str
    flags: Mapping[str, Any] = field(default_factory=dict)
    mode: CacheMode = "get"
    cache: bool = True


def exports(opened: App, request: Request) -> dict[str, str]:
    """The variables by which a shell takes the session over. Raises CredhelperError."""
    call, credentials = _session(opened, request)
    return command.exports(_callers(opened, call), credentials, *_who_and_where(call, credentials))


def environment(opened: App, request: Request) -> dict[str, str]:
    """The environment of a command that has the session in it. Raises CredhelperError."""
    return environment_of(opened, *_session(opened, request))


def environment_of(opened: App, call: StsCall, credentials: Credentials) -> dict[str, str]:
    """The environment of a command that has this session in it."""
    return command.environment(_callers(opened, call), credentials, *_who_and_where(call, credentials))


@contextlib.contextmanager
def served(opened: App, request: Request) -> Iterator[dict[str, str]]:
    """The environment of a command that asks an endpoint for the session, which is there for the block.

    What is renewed is the call as it was at the beginning: an edited profile is for the next command. Nobody
    is asked for it, because the terminal is the command's. Raises CredhelperError.
    """
    from credhelper.run.credentials_server import Endpoint

    command.refuse_winners(profiles.read(opened.environ))
    hardening.close_memory()
    call = _call(opened, request)
    accepted = opened.provider().min_remaining(call)
    first = _credentials(opened, call, request)

    def again(mode: CacheMode) -> Credentials:
        """In a house of its own, whose deadline counts from now."""
        newly = app.open_app(opened.environ, Invocation(time.monotonic(), background=True), opened.user_input)
        return _credentials(newly, call, replace(request, mode=mode))

    with Endpoint(first, again, min_remaining=accepted) as endpoint:
        yield command.served_environment(
            _callers(opened, call), endpoint.environ, *_who_and_where(call, first)
        )


def _session(opened: App, request: Request) -> tuple[StsCall, Credentials]:
    call = _call(opened, request)
    return call, _credentials(opened, call, request)


def _call(opened: App, request: Request) -> StsCall:
    return opened.call(opened.config.profile(request.name, request.flags))


def _credentials(opened: App, call: StsCall, request: Request) -> Credentials:
    with contextlib.closing(opened.agent):  # a command may run for hours
        return opened.provider().get(call, mode=request.mode, cache=request.cache)


def _callers(opened: App, call: StsCall) -> Mapping[str, str]:
    """The caller's environment; a region on the command line is the caller's too, and said last."""
    region = call.profile.settings.get("region")
    if region is None or region.table != FLAG:
        return opened.environ
    return {**opened.environ, **dict.fromkeys(REGIONS, region.value)}


def _who_and_where(call: StsCall, credentials: Credentials) -> tuple[str, str | None, str | None]:
    """The names of profile, account and region."""
    profile = call.profile
    return profile.name, credentials.account_id or profile.account_id, profile.get("region")
