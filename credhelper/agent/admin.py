"""Manages an agent that is running: its sessions, clear, stop. It starts none."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from credhelper import paths, processes, wire
from credhelper.errors import CredhelperError

if TYPE_CHECKING:
    from collections.abc import Collection

LONGEST_REQUEST: Final = wire.LONGEST_LINE // 2
LONGEST_WORD: Final = 1024
"""Characters of a label that the agent gets."""


@dataclass(frozen=True)
class Remembered:
    """A session in the agent's memory: the KEY of its call, the profile, and the seconds left."""

    key: str
    profile: str
    seconds: float


class AgentAdmin:
    """A running agent. The methods raise CredhelperError if it does not answer."""

    def __init__(self, directory: str | None) -> None:
        self._directory = directory

    def status(self) -> tuple[int, list[Remembered]] | None:
        """Its process id and its sessions; None if no agent runs."""
        answer = self._ask("status")
        if answer is None:
            return None
        first, *lines = answer.decode("utf-8", "replace").splitlines()
        found: dict[tuple[str, str], Remembered] = {}
        for line in lines:
            seconds, key, profile = [*line.split(" ", 2), "", ""][:3]  # the last line may have been cut short
            if profile:
                found[key, profile] = Remembered(key, profile, float(seconds))
        return int(first.split(" ")[0]), list(found.values())

    def clear(self, words: Collection[str]) -> None:
        """Forget the entries that go by one of these names; no name: all entries."""
        request = "clear"
        for word in words:
            if len(f"{request} {word}".encode("utf-8", "replace")) > LONGEST_REQUEST:
                self._ask(request)
                request = "clear"
            request += f" {word[:LONGEST_WORD]}"
        if request != "clear" or not words:
            self._ask(request)

    def stop(self) -> bool:
        """End the agent, with SIGKILL if it does not answer; whether one was running."""
        if self._directory is None:
            return False
        path = os.path.join(self._directory, wire.LOCK)
        try:
            found = self._ask("stop") is not None
        except CredhelperError:
            self._kill(path)
            found = True
        if found:
            _wait_until_released(path)
        return found

    def _kill(self, path: str) -> None:
        if sys.platform == "win32":
            raise CredhelperError(wire.NOT_HERE)
        import fcntl

        try:
            with open(paths.open_private(path, os.O_RDONLY), encoding="ascii") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:  # the process whose id is in it is alive
                    os.kill(int(file.read()), signal.SIGKILL)
                    return
        except (OSError, ValueError) as error:
            raise CredhelperError(f"the agent cannot be ended: {error}") from None
        socket = os.path.join(os.path.dirname(path), wire.SOCKET)
        raise CredhelperError(f"the program that listens at '{socket}' does not answer and is not an agent")

    def _ask(self, request: str) -> bytes | None:
        """The bytes of the answer; None if no agent runs."""
        if self._directory is None:
            return None
        try:
            connection = wire.connect(self._directory)
            if connection is None:
                return None
            with contextlib.closing(connection):
                return connection.ask(request.encode("utf-8", "replace") + b"\n")[2]
        except PermissionError:
            raise CredhelperError("the agent's socket is another user's") from None
        except (OSError, ValueError):
            raise CredhelperError(
                "the agent does not answer", "end it with 'credhelper agent stop'"
            ) from None


def _wait_until_released(path: str) -> None:
    """Wait until the agent has released its lock: then its socket is gone, or refuses connections."""
    with contextlib.suppress(OSError):
        descriptor = paths.open_private(path, os.O_RDONLY)
        try:
            processes.wait_for_lock(descriptor, processes.SECONDS)
        except TimeoutError:
            raise CredhelperError("the agent is still running") from None
        finally:
            os.close(descriptor)
