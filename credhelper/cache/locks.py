"""One mint at a time, across processes: a file lock for each key, and the last failure beside it.

Callers that were waiting while a mint failed get the same failure instead of asking STS again. The lock
files stay: removing one while it is held would let a second holder in.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from credhelper import expiry, paths
from credhelper.credentials import Clocks
from credhelper.errors import CredhelperError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filelock import FileLock

    from credhelper.log import Log


@dataclass(frozen=True)
class Failure:
    """A mint that failed, and when."""

    error: CredhelperError
    at: Clocks


class Locks:
    """File locks in one directory; None where there is no directory to have them in."""

    def __init__(self, directory: str | None, log: Log) -> None:
        self._directory = directory
        self._log = log

    @property
    def usable(self) -> bool:
        """Whether there is a place for locks at all."""
        return self._directory is not None

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
            self._log.warning(f"gave up waiting for the lock of {name} after {seconds:.0f} s")
            return None
        except OSError as error:
            self._log.warning(f"no lock for {name}: {error.strerror or error}")
            return None
        return lock

    def remember(self, name: str, error: CredhelperError) -> None:
        """Keep a failure for those who are waiting for this lock."""
        self._write(name, "failed", error.to_list())

    def last_failure(self, name: str) -> Failure | None:
        """The failure kept under this name."""
        found = self._read(name, "failed", 4)
        if found is None:
            return None
        error = CredhelperError.from_list(found[0])
        return None if error is None else Failure(error, found[1])

    def open_up(self, name: str) -> None:
        """Let go those who are waiting for this lock: what was minted under it could not be kept for them."""
        self._write(name, "open", [])

    def opened_up(self, name: str) -> Clocks | None:
        """When that was."""
        found = self._read(name, "open", 0)
        return None if found is None else found[1]

    def forget(self, name: str) -> None:
        """Drop what is kept: a mint has succeeded, and its session is in the cache."""
        for suffix in ("failed", "open"):
            with contextlib.suppress(OSError):
                os.unlink(self._path(name, suffix))

    def note(self, name: str, content: list[Any]) -> bool:
        """Keep something beside the lock, with the time; whether that was possible."""
        return self._write(name, "note", content)

    def noted(self, name: str, length: int) -> tuple[list[Any], Clocks] | None:
        """What was kept, if it has that many parts, and when."""
        return self._read(name, "note", length)

    def _write(self, name: str, suffix: str, content: list[Any]) -> bool:
        if self._directory is None:
            return False
        document = [*content, *expiry.read_clocks().to_list()]
        try:
            paths.replace_private(self._path(name, suffix), json.dumps(document))
        except OSError:
            return False
        return True

    def _read(self, name: str, suffix: str, length: int) -> tuple[list[Any], Clocks] | None:
        """What `_write` wrote, and when; None for anything else."""
        if self._directory is None:
            return None
        try:
            descriptor = paths.open_private(self._path(name, suffix), os.O_RDONLY)
            with open(descriptor, encoding="ascii") as file:
                document = json.load(file)
            content, at = document[:length], Clocks.from_list(document[length:])
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return None if at is None or len(content) != length else (content, at)

    def _path(self, name: str, suffix: str) -> str:
        return os.path.join(str(self._directory), f"{name}.{suffix}")
