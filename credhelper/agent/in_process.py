"""The agent's rules over the memory of this process, for the threads of a program that imports credhelper.

The client connects to it where no agent answers: what one thread mints, the others get. The memory lasts as
long as the process, and the child of a fork begins with an empty one.
"""

from __future__ import annotations

import os
import queue
import threading

from credhelper import clocks, wire
from credhelper.agent.memory import Memory
from credhelper.agent.requests import Request
from credhelper.deadline import Deadline


class _Shared:
    """A memory, and the lock under which the threads use it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.memory = Memory(clocks.read)


_by_process: dict[int, _Shared] = {}
"""By process id: a lock that is held while a process forks is never released in the child."""


class LocalConnection(wire.Connection):
    """Answers like a connection to the agent."""

    def __init__(self) -> None:
        self.is_asking = False
        self._replies: queue.SimpleQueue[tuple[str, int, bytes]] = queue.SimpleQueue()
        self._shared = _by_process.setdefault(os.getpid(), _Shared())
        for process in set(_by_process) - {os.getpid()}:
            _by_process.pop(process, None)
        self._expire()

    def ask(self, request: bytes, patience: float = 0.0) -> tuple[str, int, bytes]:
        """The answer's word, number and bytes. Raises TimeoutError."""
        line, _, body = request.partition(b"\n")
        deadline = Deadline(patience)
        with self._shared.lock:
            Request(self._shared.memory, self, line).run(bytearray(body))
        while True:
            try:
                word, number, found = self._replies.get(timeout=deadline.left())
            except queue.Empty:
                raise TimeoutError from None
            if word != "wait":
                # There is no refresher: a program renews its sessions itself.
                return "hit" if word == "refresh" else word, number, found

    def reply(self, word: str, number: int = 0, body: bytes | bytearray = b"") -> None:
        """Take the answer to a request; called by the thread that holds the lock."""
        self._replies.put((word, number, bytes(body)))

    def close(self) -> None:
        """Pass on the leases that are still held, and drop expired sessions."""
        with self._shared.lock:
            self._shared.memory.gone(self)
        self._expire()

    def _expire(self) -> None:
        with self._shared.lock:
            self._shared.memory.expire()
