"""File locks, for one mint at a time across processes, and small state files next to them.

Callers that wait while a mint fails get the same failure instead of asking STS again. Lock files are never
removed: a second holder could lock the new file while the old one is held.
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


class StateFiles:
    """Small JSON files in a directory, each with the time of its writing; without a directory, none."""

    def __init__(self, directory: str | None) -> None:
        self._directory = directory

    def remember(self, name: str, error: CredhelperError) -> None:
        """Store a failure for the callers that wait for this lock."""
        self._write(name, "failed", error.to_list())

    def last_failure(self, name: str) -> Failure | None:
        """The stored failure."""
        found = self._read(name, "failed", 4)
        if found is None:
            return None
        error = CredhelperError.from_list(found[0])
        return None if error is None else Failure(error, found[1])

    def release(self, name: str) -> None:
        """Let the callers that wait for this lock mint: what was minted under it is not cached."""
        self._write(name, "open", [])

    def released(self, name: str) -> Clocks | None:
        """The time of `release`."""
        found = self._read(name, "open", 0)
        return None if found is None else found[1]

    def forget(self, name: str) -> None:
        """Delete both: a mint has succeeded, and its session is in the cache."""
        for suffix in ("failed", "open"):
            with contextlib.suppress(OSError):
                os.unlink(self._path(name, suffix))

    def note(self, name: str, content: list[Any]) -> bool:
        """Store a note with the time; False on failure."""
        return self._write(name, "note", content)

    def noted(self, name: str, length: int) -> tuple[list[Any], Clocks] | None:
        """The note, if it has this number of parts, and its time."""
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
        """The content that `_write` wrote, and its time; None for anything else."""
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


class FileLocks:
    """File locks in a directory; without one, no lock is ever held."""

    def __init__(self, directory: str | None, log: Log) -> None:
        self._directory = directory
        self._log = log
        self.states = StateFiles(directory)

    @property
    def usable(self) -> bool:
        """Whether there is a directory for locks."""
        return self._directory is not None

    @contextlib.contextmanager
    def hold(self, name: str, seconds: float) -> Iterator[bool]:
        """Hold the lock, after waiting for at most these seconds; yields whether it is held.

        The block runs without it, too: a stopped process must not lock out all others.
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

        lock = filelock.FileLock(
            os.path.join(self._directory, f"{name}.lock"), timeout=seconds, mode=0o600, poll_interval=0.02
        )
        try:
            lock.acquire()
        except filelock.Timeout:
            if seconds:
                self._log.warning(f"gave up waiting for the lock of {name} after {seconds:.0f} s")
            return None
        except OSError as error:
            self._log.warning(f"no lock for {name}: {error.strerror or error}")
            return None
        return lock
