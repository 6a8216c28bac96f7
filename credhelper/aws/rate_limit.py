"""How fast STS is asked by many at once: as fast as they like, until it throttles one of them.

Then all of them slow down: their requests begin one after another, with a gap between two that doubles
whenever STS throttles again, and halves with every session that it gives.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Final

from credhelper.aws import errors
from credhelper.deadline import Deadline
from credhelper.errors import CredhelperError, UnreachableError

if TYPE_CHECKING:
    from credhelper.credentials import AccessKey, Minted
    from credhelper.sessions.caller import Node
    from credhelper.sessions.calls import StsCall
    from credhelper.sessions.minter import StsApi
    from credhelper.sessions.sources import CredentialSource

FIRST_GAP: Final = 0.2
LONGEST_GAP: Final = 2.0
NO_GAP: Final = 0.02
"""Seconds between two requests; below NO_GAP there is none."""

TURNS: Final = 8
"""Times that one call is sent while STS throttles it."""

ATTEMPTS: Final = 3
"""Times that it is sent while STS does not answer: as often as botocore would."""

TURN_SECONDS: Final = 15.0


class Pace:
    """When the next request may begin, for all who share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gap = 0.0
        self._next = 0.0
        self._slowed_until = 0.0

    def turn(self) -> float:
        """Take a turn: 0; or else the seconds after which to ask again."""
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                return self._next - now
            self._next = now + self._gap
            return 0.0

    def throttled(self) -> None:
        """STS has throttled a request; it does so with all that are under way, which count as one."""
        with self._lock:
            now = time.monotonic()
            if now < self._slowed_until:
                return
            self._gap = min(max(FIRST_GAP, 2 * self._gap), LONGEST_GAP)
            self._next = self._slowed_until = now + self._gap

    def went_through(self) -> None:
        """STS has given a session."""
        with self._lock:
            self._gap /= 2
            if self._gap < NO_GAP:
                self._gap = 0.0


class Paced:
    """AWS, as a sweep asks it: at the pace that it bears, and again where it has throttled us.

    `aws` makes one attempt at a call. Each has a deadline of its own: a sweep takes as long as it takes.
    """

    def __init__(self, aws: StsApi, stopped: threading.Event) -> None:
        self._aws = aws
        self._pace = Pace()
        self._stopped = stopped

    def source_key(self, origin: CredentialSource, path: tuple[Node, ...], deadline: Deadline) -> AccessKey:
        """The credentials that a chain begins with."""
        return self._aws.source_key(origin, path, deadline)

    def mint(self, call: StsCall, access_key: AccessKey, code: str | None, deadline: Deadline) -> Minted:  # noqa: ARG002
        """Make the call. A request that was throttled has minted nothing, and is sent again in its turn.

        Raises what `aws` raises, and CredhelperError where we are stopped before a turn comes.
        """
        turns = failures = 0
        while True:
            self._wait_for_turn()
            try:
                minted = self._aws.mint(call, access_key, code, Deadline(TURN_SECONDS))
            except UnreachableError as error:
                if errors.is_throttling(error.code):
                    self._pace.throttled()
                    turns += 1
                else:
                    failures += 1
                if turns == TURNS or failures == ATTEMPTS:
                    raise
                self._stopped.wait(random.uniform(0, failures))  # noqa: S311 - no secret
            else:
                self._pace.went_through()
                return minted

    def _wait_for_turn(self) -> None:
        while not self._stopped.is_set() and (seconds := self._pace.turn()):
            self._stopped.wait(seconds)
        if self._stopped.is_set():
            raise CredhelperError("interrupted")
