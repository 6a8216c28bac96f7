"""One mint at a time, across processes: a file lock for each key, and the last failure beside it.

Callers that were waiting while a mint failed get the same failure instead of asking STS again. The lock
files stay: removing one while it is held would let a second holder in.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from credhelper import freshness, paths
from credhelper.credentials import Clocks
from credhelper.errors import BY_STATUS, CredhelperError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filelock import FileLock

    from credhelper.journal import Journal


@dataclass(frozen=True)
class Failure:
    """A mint that failed, and when."""

    error: CredhelperError
    at: Clocks


class Locks:
    """File locks in one directory; None where there is no directory to have them in."""

    def __init__(self, directory: str | None, journal: Journal) -> None:
        self._directory = directory
        self._journal = journal

    @contextlib.contextmanager
    def hold(self, name: str, seconds: float) -> Iterator[bool]:
        """Hold the lock, waiting at most so long; yields whether it is held.

        Without it the caller goes on all the same: a stopped process must not lock out everybody else.
        """
        lock = self._take(name, seconds)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.release()

    def _take(self, name: str, seconds: float) -> FileLock | None:
        if self._directory is None:
            return None
        import filelock

        lock = filelock.FileLock(self._path(name, "lock"), timeout=seconds, mode=0o600, poll_interval=0.02)
        try:
            lock.acquire()
        except filelock.Timeout:
            self._journal.warn(f"gave up waiting for the lock of {name} after {seconds:.0f} s")
            return None
        except OSError as error:
            self._journal.warn(f"no lock for {name}: {error.strerror or error}")
            return None
        return lock

    def remember(self, name: str, error: CredhelperError) -> None:
        """Keep a failure for those who are waiting for this lock."""
        if self._directory is None:
            return
        now = freshness.read_clocks()
        document = [error.status, error.sentence, error.hints, error.code, *now.to_list()]
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            descriptor = paths.open_private(self._path(name, "failed"), flags)
            with open(descriptor, "w", encoding="ascii") as file:
                json.dump(document, file)

    def last_failure(self, name: str) -> Failure | None:
        """The failure kept under this name."""
        if self._directory is None:
            return None
        try:
            descriptor = paths.open_private(self._path(name, "failed"), os.O_RDONLY)
            with open(descriptor, encoding="ascii") as file:
                status, sentence, hints, code, *clocks = json.load(file)
            at = Clocks.from_list(clocks)
            error = BY_STATUS[status](str(sentence), *map(str, hints), code=code)
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return None if at is None else Failure(error, at)

    def forget(self, name: str) -> None:
        """Drop a kept failure: a mint has succeeded."""
        if self._directory is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._path(name, "failed"))

    def _path(self, name: str, suffix: str) -> str:
        return os.path.join(str(self._directory), f"{name}.{suffix}")
