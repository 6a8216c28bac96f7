"""An agent that is running, for those who look after it: what it remembers, clear, stop. Never started."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from credhelper import paths, wire
from credhelper.agent.client import wait_in_thread
from credhelper.deadline import LateError
from credhelper.errors import CredhelperError

if TYPE_CHECKING:
    from collections.abc import Collection

LONGEST_REQUEST: Final = wire.LONGEST_LINE // 2
LONGEST_WORD: Final = 1024
"""Characters of a label that the agent is told."""


@dataclass(frozen=True)
class Remembered:
    """A session in the agent's memory: the KEY of its call, for whom it was minted, and its seconds left."""

    key: str
    profile: str
    seconds: float


class AgentAdmin:
    """The agent, if one runs. Its methods raise CredhelperError where it does not answer."""

    def __init__(self, directory: str | None) -> None:
        self._directory = directory

    def status(self) -> tuple[int, list[Remembered]] | None:
        """Its process id and what it remembers; None where none runs."""
        answer = self._say("status")
        if answer is None:
            return None
        first, *lines = answer[1].decode("utf-8", "replace").splitlines()
        found: dict[tuple[str, str], Remembered] = {}
        for line in lines:
            seconds, key, profile = [*line.split(" ", 2), "", ""][:3]  # the last one may have been cut short
            if profile:
                found[key, profile] = Remembered(key, profile, float(seconds))
        return int(first.split(" ")[0]), list(found.values())

    def clear(self, words: Collection[str]) -> None:
        """Make it forget what goes by one of these names; none: everything."""
        request = "clear"
        for word in words:
            if len(f"{request} {word}".encode("utf-8", "replace")) > LONGEST_REQUEST:
                self._say(request)
                request = "clear"
            request += f" {word[:LONGEST_WORD]}"
        if request != "clear" or not words:
            self._say(request)

    def stop(self) -> bool:
        """End it, by force where it does not listen; whether there was one."""
        if self._directory is None:
            return False
        try:
            found = self._say("stop") is not None
        except CredhelperError:
            found = self._kill()
        if found:
            self._wait_until_gone()
        return found

    def _kill(self) -> bool:
        if sys.platform == "win32":
            raise CredhelperError(wire.NOT_HERE)
        import fcntl

        path = os.path.join(str(self._directory), wire.LOCK)
        try:
            with open(paths.open_private(path, os.O_RDONLY), encoding="ascii") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:  # the process whose id is in it is alive
                    os.kill(int(file.read()), signal.SIGKILL)
                    return True
        except (OSError, ValueError) as error:
            raise CredhelperError(f"the agent cannot be ended: {error}") from None
        socket = os.path.join(str(self._directory), wire.SOCKET)
        raise CredhelperError(
            f"something listens at '{socket}' that does not answer, and it is no agent of ours"
        )

    def _wait_until_gone(self) -> None:
        """Until its lock is free: then its socket is gone, too, or nobody listens any more."""
        path = os.path.join(str(self._directory), wire.LOCK)
        with contextlib.suppress(OSError):
            descriptor = paths.open_private(path, os.O_RDONLY)
            try:
                wait_in_thread(descriptor)
            except LateError:
                raise CredhelperError("the agent is still there") from None
            finally:
                os.close(descriptor)

    def _say(self, request: str) -> tuple[int, bytes] | None:
        if self._directory is None:
            return None
        try:
            connection = wire.connect(self._directory)
            if connection is None:
                return None
            with contextlib.closing(connection):
                _, number, body = connection.ask(request.encode("utf-8", "replace") + b"\n")
        except PermissionError:
            raise CredhelperError("the agent's socket is another user's") from None
        except (OSError, ValueError):
            raise CredhelperError(
                "the agent does not answer", "end it with 'credhelper agent stop'"
            ) from None
        return number, body
