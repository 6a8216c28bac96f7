"""The client of the agent: finds or starts it, asks it, and goes on without it.

An agent that fails costs time, never an answer: without a lease the file lock keeps order among the callers.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final, Literal

from credhelper import wire
from credhelper.credentials import Credentials
from credhelper.deadline import Deadline
from credhelper.errors import CredhelperError, render

if TYPE_CHECKING:
    from credhelper.clocks import ExpiryThresholds
    from credhelper.log import Log

CacheMode = Literal["get", "renew", "mint"]
START_SECONDS: Final = 5.0
_INTERPRETERS: Final = ("python", "pypy", "graalpy", "platform-python")


class Lease:
    """The right to mint for one key, and the duty to tell the callers that wait what came of it.

    As a context manager it ends with the block: a CredhelperError is passed on with `fail`; after any other
    exception, and where nothing was `put`, the next caller gets the lease. Without an agent, or with nothing
    to share, its number is 0, and its methods do nothing. `stale` is what still serves if minting fails.
    """

    def __init__(self, pending: wire.PendingRequest | None = None, stale: bytes = b"") -> None:
        self._pending = wire.PendingRequest() if pending is None else pending
        self.stale = stale

    def __enter__(self) -> Lease:  # noqa: PYI034 - typing.Self came with Python 3.11
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, CredhelperError):
            self.fail(error)
        else:
            self.drop()

    def put(self, body: bytes, thresholds: ExpiryThresholds, of: str, label: str) -> bool | None:
        """Share these bytes; whether the agent keeps them: not after a `clear`. None: they are not shared."""
        if len(body) > wire.LARGEST_BODY:
            self.open()
            return None
        boot_ends = "-" if thresholds.boot_ends is None else repr(thresholds.boot_ends)
        refresh = "-" if thresholds.refresh == float("-inf") else repr(thresholds.refresh)
        times = f"{thresholds.ends!r} {boot_ends} {refresh} {thresholds.fresh!r} {thresholds.servable!r}"
        name = "".join(character if character.isprintable() else "?" for character in label)[:1024]
        told = self._tell("put", f"{len(body)} {times} {of} {name}", body)
        return None if told is None else bool(told)

    def fail(self, error: CredhelperError, body: bytes | None = None) -> None:
        """Share the failure; a failure of this caller alone drops the lease."""
        if error.is_own or type(error) is CredhelperError:
            self._tell("drop")
        else:
            body = write_failure(error) if body is None else body
            self._tell("fail", f"{error.status} {len(body)}", body)

    def asking(self) -> int:
        """Tell the waiting callers that the user is being prompted; returns how many they are."""
        number, connection = self._pending.lease, self._pending.connection
        if number and connection is not None:
            with contextlib.suppress(OSError, ValueError):
                return connection.ask(b"asking %d\n" % number)[1]
        return 0

    def open(self) -> None:
        """Let every waiting caller mint."""
        self._tell("open")

    def drop(self) -> None:
        """Pass the lease to the next waiting caller."""
        self._tell("drop")

    def _tell(self, verb: str, words: str = "", body: bytes = b"") -> int | None:
        number, self._pending.lease = self._pending.lease, 0
        if not number or self._pending.connection is None:
            return None
        request = f"{verb} {number} {words}".rstrip(" ").encode("utf-8", "replace") + b"\n" + body
        try:
            return self._pending.connection.ask(request)[1]
        except (OSError, ValueError):
            return None


class AgentClient:
    """The agent of this user, for one command.

    `directory` is the runtime directory, None for no agent; `pending` the request that `start` left open.
    Without `starts` no agent is started: where none runs, the threads of this process share their sessions.
    """

    def __init__(
        self,
        directory: str | None,
        log: Log,
        *,
        idle_seconds: float,
        pending: wire.PendingRequest | None = None,
        starts: bool = True,
    ) -> None:
        self._directory = directory
        self._starts = starts
        self._local = not starts
        self._log = log
        self._idle_seconds = idle_seconds
        self._connection: wire.Connection | None = None
        self._tries = 2  # the agent may be killed once while this command runs
        self.hit = Lease(pending)
        """The lease on the hit key of this `get`."""
        self._leases = [self.hit]
        self._pending = pending

    def decline(self) -> None:
        """Leave the open request: other callers do not wait for it, and no agent is started for it."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        self.hit.open()
        if pending.connection is not None:
            pending.connection.close()
        pending.connection = None
        self._tries = 0 if pending.stuck else self._tries
        _release(pending)

    def take(self) -> None:
        """Continue the open request: use its connection, or start the agent under its lock."""
        pending, self._pending = self._pending, None
        if pending is None or self._directory is None:
            return
        self._connection = pending.connection
        self._tries = 0 if pending.stuck else self._tries
        if pending.starting is not None:
            self._tries -= 1
            self._connection = self._start(self._directory)
            if self._connection is not None and pending.key is not None:
                pending.lease = self._claim(self._connection, pending.key)
        _release(pending)
        pending.connection = self._connection

    def _claim(self, connection: wire.Connection, key: bytes) -> int:
        """The lease on the hit key; 0 if another caller has it: both meet at the key of the call."""
        try:
            word, number, _ = connection.ask(b"get %s\n" % key)
        except (OSError, ValueError):  # the connection waits for that key now, and cannot be used
            self.close()
            self._tries += 1
            return 0
        return number if word == "mint" else 0

    def ask(self, key: str, mode: CacheMode, patience: float) -> Credentials | CredhelperError | Lease:
        """What another caller has minted, or its failure; otherwise the lease, to mint with."""
        request = f"{mode} {key}\n".encode("ascii")
        deadline = Deadline(patience)
        while (connection := self._connect()) is not None:
            try:
                word, number, body = connection.ask(request, deadline.left())
            except TimeoutError:
                self._give_up("it does not answer")
                continue
            except (OSError, ValueError) as error:  # it has ended; there may be another one
                self._log.debug(f"agent: {type(error).__name__}")
                self.close()
                continue
            if word == "refresh":  # this caller mints itself, if it is time
                request = f"renew {key}\n".encode("ascii")
                continue
            if word == "mint":
                self._leases.append(Lease(wire.PendingRequest(connection, number), body))
                return self._leases[-1]
            found = read_failure(body) if word == "fail" else Credentials.from_json(body.decode())
            if found is not None:
                return found
            self._give_up("its answer is not credentials")
        return Lease()

    def asking(self) -> int:
        """Have the callers that wait be patient while the user is asked; returns how many they are."""
        return sum(lease.asking() for lease in self._leases)

    def _give_up(self, why: str) -> None:
        self._log.debug(f"agent: {why}")
        self._tries = 0
        self.close()

    def close(self) -> None:
        """Close the connection; its leases pass to other callers."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def start(self) -> None:
        """Start the agent if none runs."""
        self._connect()

    def _connect(self) -> wire.Connection | None:
        """The connection, after starting the agent if need be; None without one."""
        if self._connection is None and self._tries > 0 and self._directory is not None:
            self._tries -= 1
            with contextlib.suppress(OSError):
                self._connection = self._find(self._directory)
        if self._connection is None and self._local:
            from credhelper.agent.in_process import LocalConnection

            self._local = False  # once: it does not end, and it is not asked again after a timeout
            self._connection = LocalConnection()
        return self._connection

    def _find(self, directory: str) -> wire.Connection | None:
        if not self._starts:
            return wire.connect(directory)
        connection, lock = wire.approach(directory)
        if lock is not None:
            connection = self._start(directory)
            os.close(lock)
        return connection

    def _start(self, directory: str) -> wire.Connection | None:
        """Start the agent, under the start lock."""
        if not _has_interpreter():
            return None
        try:
            subprocess.run(
                command(directory, self._idle_seconds, "detach"),
                env={},
                cwd="/",
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=START_SECONDS,
                check=True,
            )
            return wire.connect(directory)
        except (OSError, subprocess.SubprocessError) as error:
            self._log.warning(f"the agent does not start: {error}")
            self._tries = 0
            return None


def _release(pending: wire.PendingRequest) -> None:
    """Let other callers go on that wait for this one to start the agent."""
    if pending.starting is not None:
        os.close(pending.starting)
        pending.starting = None


def _has_interpreter() -> bool:
    """Whether `sys.executable` is a Python interpreter, not a frozen or embedding program."""
    name = os.path.basename(sys.executable or "").lower()
    return not hasattr(sys, "frozen") and name.startswith(_INTERPRETERS)


def command(directory: str, idle_seconds: float, *more: str) -> list[str]:
    """The agent as a process: an isolated interpreter without `site`."""
    program = os.path.join(os.path.dirname(os.path.abspath(wire.__file__)), "__main__.py")
    return [sys.executable, "-IS", program, "agent", "--in", directory, str(idle_seconds), *more]


def settle(pending: wire.PendingRequest, error: CredhelperError) -> None:
    """Tell the callers of the same `get` how it failed; if only this caller cannot mint, they may."""
    lease = Lease(pending)
    if error.is_own:
        lease.open()
    else:
        lease.fail(error, render(error))


def write_failure(error: CredhelperError) -> bytes:
    """A failure as the agent passes it on."""
    return json.dumps(error.to_list()).encode("ascii")


def read_failure(body: bytes) -> CredhelperError | None:
    """The failure that `write_failure` wrote; None for any other bytes."""
    try:
        return CredhelperError.from_list(json.loads(body))
    except (ValueError, RecursionError):
        return None
