"""A profile's session handed over to a command: as variables, or by an endpoint for as long as it runs."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from credhelper import awsfiles, harden, house, run
from credhelper.config import FLAG
from credhelper.house import Start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from credhelper.chain import Call
    from credhelper.client import Wish
    from credhelper.credentials import Credentials
    from credhelper.house import House

REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")


@dataclass(frozen=True)
class Request:
    """Whose session is asked for, and how; `flags` are keys of a profile, as `house.given` returns them."""

    name: str
    flags: Mapping[str, Any] = field(default_factory=dict)
    wish: Wish = "get"
    cache: bool = True


def exports(opened: House, request: Request) -> dict[str, str]:
    """The variables by which a shell takes the session over. Raises CredhelperError."""
    call, credentials = _session(opened, request)
    return run.exports(_callers(opened, call), credentials, *_who_and_where(call, credentials))


def environment(opened: House, request: Request) -> dict[str, str]:
    """The environment of a command that has the session in it. Raises CredhelperError."""
    return environment_of(opened, *_session(opened, request))


def environment_of(opened: House, call: Call, credentials: Credentials) -> dict[str, str]:
    """The environment of a command that has this session in it."""
    return run.environment(_callers(opened, call), credentials, *_who_and_where(call, credentials))


@contextlib.contextmanager
def served(opened: House, request: Request) -> Iterator[dict[str, str]]:
    """The environment of a command that asks an endpoint for the session, which is there for the block.

    What is renewed is the call as it was at the beginning: an edited profile is for the next command. Nobody
    is asked for it, because the terminal is the command's. Raises CredhelperError.
    """
    from credhelper.endpoint import Endpoint

    run.refuse_winners(awsfiles.read(opened.environ))
    harden.close_memory()
    call = _call(opened, request)
    accepted = opened.resolver().min_remaining(call)
    first = _credentials(opened, call, request)

    def again(wish: Wish) -> Credentials:
        """In a house of its own, whose deadline counts from now."""
        newly = house.open_house(opened.environ, Start(time.monotonic(), hushed=True), opened.said)
        return _credentials(newly, call, replace(request, wish=wish))

    with Endpoint(first, again, min_remaining=accepted) as endpoint:
        yield run.served_environment(_callers(opened, call), endpoint.environ, *_who_and_where(call, first))


def _session(opened: House, request: Request) -> tuple[Call, Credentials]:
    call = _call(opened, request)
    return call, _credentials(opened, call, request)


def _call(opened: House, request: Request) -> Call:
    return opened.call(opened.config.profile(request.name, request.flags))


def _credentials(opened: House, call: Call, request: Request) -> Credentials:
    with contextlib.closing(opened.agent):  # a command may run for hours
        return opened.resolver().get(call, wish=request.wish, cache=request.cache)


def _callers(opened: House, call: Call) -> Mapping[str, str]:
    """The caller's environment; a region on the command line is the caller's too, and said last."""
    region = call.profile.settings.get("region")
    if region is None or region.table != FLAG:
        return opened.environ
    return {**opened.environ, **dict.fromkeys(REGIONS, region.value)}


def _who_and_where(call: Call, credentials: Credentials) -> tuple[str, str | None, str | None]:
    """The names of profile, account and region."""
    profile = call.profile
    return profile.name, credentials.account_id or profile.account_id, profile.get("region")
