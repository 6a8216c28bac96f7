"""The rate of STS calls when many threads mint: unlimited until STS throttles one of them.

Then the calls start one by one, with a gap that doubles when STS throttles again and halves with every new
session. botocore's adaptive retry mode does not fit: it waits inside a call, where a signal cannot end the
wait and the call's deadline counts it, and its retry quota gives up after 100 throttled calls of all threads.
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
"""Seconds between two requests; a gap below NO_GAP becomes 0."""

THROTTLED_ATTEMPTS: Final = 8
UNANSWERED_ATTEMPTS: Final = 3
"""Times that a call is sent while STS throttles it, or does not answer."""

ATTEMPT_SECONDS: Final = 15.0


class RateLimit:
    """When the next request may start, for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gap = 0.0
        self._next = 0.0
        self._slowed_until = 0.0

    def acquire(self) -> float:
        """Take the next slot and return 0, or return the seconds after which to try again."""
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                return self._next - now
            self._next = now + self._gap
            return 0.0

    def throttled(self) -> None:
        """Widen the gap, once for all requests that were under way."""
        with self._lock:
            now = time.monotonic()
            if now >= self._slowed_until:
                self._gap = min(max(FIRST_GAP, 2 * self._gap), LONGEST_GAP)
                self._next = self._slowed_until = now + self._gap

    def succeeded(self) -> None:
        """Halve the gap."""
        with self._lock:
            self._gap = self._gap / 2 if self._gap >= 2 * NO_GAP else 0.0


class RateLimitedSts:
    """STS with a rate limit, and with retries. `sts` makes one attempt; each attempt has its own deadline."""

    def __init__(self, sts: StsApi, stopped: threading.Event) -> None:
        self._sts = sts
        self._limit = RateLimit()
        self._stopped = stopped

    def source_key(self, origin: CredentialSource, path: tuple[Node, ...], deadline: Deadline) -> AccessKey:
        """The access key of a chain's source."""
        return self._sts.source_key(origin, path, deadline)

    def mint(self, call: StsCall, access_key: AccessKey, code: str | None, deadline: Deadline) -> Minted:  # noqa: ARG002
        """Make the call, again while STS throttles it. Raises CredhelperError, also if stopped."""
        throttled = unanswered = 0
        while True:
            while not self._stopped.is_set() and (seconds := self._limit.acquire()):
                self._stopped.wait(seconds)
            if self._stopped.is_set():
                raise CredhelperError("interrupted")
            try:
                minted = self._sts.mint(call, access_key, code, Deadline(ATTEMPT_SECONDS))
            except UnreachableError as error:
                if errors.is_throttling(error.code):
                    self._limit.throttled()
                    throttled += 1
                else:
                    unanswered += 1
                if throttled == THROTTLED_ATTEMPTS or unanswered == UNANSWERED_ATTEMPTS:
                    raise
                self._stopped.wait(random.uniform(0, unanswered))  # noqa: S311 - no secret
            else:
                self._limit.succeeded()
                return minted
