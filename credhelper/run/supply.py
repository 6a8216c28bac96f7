"""A session kept in memory for a server, and renewed in a thread while the server's event loop goes on."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from credhelper import expiry
from credhelper.credentials import Credentials
from credhelper.errors import CredhelperError

if TYPE_CHECKING:
    from collections.abc import Callable

    from credhelper.agent.client import CacheMode
    from credhelper.credentials import Clocks

PATIENCE: Final = 0.8
"""Seconds that a request waits for a mint while the session in memory can still be served."""

LOST_SECONDS: Final = 60.0
"""Age of a renewal at which another one may begin; `get` has a deadline of 50 s."""


@dataclass
class Supply:
    """The session in memory, and one call of `get` at a time that renews it."""

    credentials: Credentials
    get: Callable[[CacheMode], Credentials]
    read_clocks: Callable[[], Clocks]
    min_remaining: float | None

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._outcome: asyncio.Future[Credentials | CredhelperError] = self._loop.create_future()
        self._is_renewing = False
        self._asked = float("-inf")

    def fresh(self) -> Credentials | None:
        """The session in memory while it is fresh; shortly before the end of that a renewal begins."""
        left = expiry.remaining(self.credentials, self.read_clocks())
        if left < expiry.floor(self.credentials.life, self.min_remaining):
            return None
        ahead = expiry.refresh_ahead(self.credentials, self.min_remaining)
        if left < ahead and time.monotonic() - self._asked >= expiry.BACK_OFF:
            self._renew("renew")
        return self.credentials

    async def renewed(self) -> Credentials | CredhelperError:
        """A new session, or the one in memory if that takes longer than PATIENCE."""
        self._renew("get")
        outcome = self._outcome
        await asyncio.wait([outcome], timeout=PATIENCE)
        servable = None if outcome.done() else self._servable()
        return await asyncio.shield(outcome) if servable is None else servable

    def _servable(self) -> Credentials | None:
        return self.credentials if expiry.is_servable(self.credentials, self.read_clocks()) else None

    def _renew(self, mode: CacheMode) -> None:
        if not self._is_renewing or time.monotonic() - self._asked > LOST_SECONDS:
            threading.Thread(target=self._run, args=(mode,), daemon=True).start()
            self._is_renewing, self._asked = True, time.monotonic()

    def _run(self, mode: CacheMode) -> None:
        outcome: Credentials | CredhelperError
        try:
            outcome = self.get(mode)
        except CredhelperError as error:
            outcome = error
        except Exception as error:  # noqa: BLE001 - its text may hold a secret: only the type is told
            outcome = CredhelperError(f"internal error: {type(error).__name__}")
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._finish, outcome)

    def _finish(self, outcome: Credentials | CredhelperError) -> None:
        """Answer all that wait; a session that can be served counts before an error."""
        self._is_renewing = False
        if isinstance(outcome, Credentials):
            self.credentials = outcome
        finished, self._outcome = self._outcome, self._loop.create_future()
        finished.set_result(outcome if isinstance(outcome, Credentials) else self._servable() or outcome)
