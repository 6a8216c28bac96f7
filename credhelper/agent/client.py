"""The agent as the rest of the house sees it: found or started, asked, told, and done without.

Whatever goes wrong with it costs speed, never an answer: a lease that nobody has given is held all the same,
and the file lock below it keeps order among those who could not ask.
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
from credhelper.deadline import LateError, within
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
    to share, the lease has number 0 and tells nobody. `stale` is what still serves if minting fails.
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

    @property
    def is_shared(self) -> bool:
        """Whether anybody else is told what comes of it."""
        return bool(self._pending.lease) and self._pending.connection is not None

    def put(self, body: bytes, thresholds: ExpiryThresholds, of: str, label: str) -> bool | None:
        """Give everybody these bytes; whether they are kept: not after a `clear`. None: nobody was told."""
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
        """Pass the failure to every caller that waits; one that concerns only this caller drops the lease."""
        if error.is_own or type(error) is CredhelperError:
            self._tell("drop")
        else:
            body = write_failure(error) if body is None else body
            self._tell("fail", f"{error.status} {len(body)}", body)

    def asking(self) -> int:
        """Have those who wait be patient, because a person is being asked; returns how many they are."""
        number, connection = self._pending.lease, self._pending.connection
        if number and connection is not None:
            with contextlib.suppress(OSError, ValueError):
                return connection.ask(b"asking %d\n" % number)[1]
        return 0

    def open(self) -> None:
        """Let everybody mint by themselves."""
        self._tell("open")

    def drop(self) -> None:
        """Let the next one try."""
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
    """This user's agent, for one command.

    `directory` is the runtime directory, None for no agent; `pending` the request that `start` left open.
    Without `starts` a running agent is used, and none is started.
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
        self._log = log
        self._idle_seconds = idle_seconds
        self._connection: wire.Connection | None = None
        self._tries = 2  # it may be killed once while we are at work
        self.hit = Lease(pending)
        """The lease on the hit key of this `get`."""
        self._leases = [self.hit]
        self._pending = pending

    def decline(self) -> None:
        """Do without what the first question has left, and hold nobody up."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        self.hit.open()
        if pending.stuck:
            self._tries = 0
        if pending.connection is not None:
            pending.connection.close()
            pending.connection = None
        if pending.starting is not None:
            os.close(pending.starting)
            pending.starting = None

    def take(self) -> None:
        """Go on with what the first question has left: its connection, or the duty to start the agent."""
        pending, self._pending = self._pending, None
        if pending is None or self._directory is None:
            return
        self._connection = pending.connection
        if pending.stuck:
            self._tries = 0
        if pending.starting is not None:
            self._tries -= 1
            self._connection = self._start()
            if self._connection is not None and pending.key is not None:
                pending.lease = self._claim(self._connection, pending.key)
            os.close(pending.starting)
            pending.starting = None
        pending.connection = self._connection

    def _claim(self, connection: wire.Connection, key: bytes) -> int:
        """The lease on the hit key; 0 where somebody was quicker: we meet them at the key of the call."""
        try:
            word, number, _ = connection.ask(b"get %s\n" % key)
        except (OSError, ValueError):  # it waits there now, and is good for nothing else
            connection.close()
            self._connection = None
            self._tries += 1
            return 0
        return number if word == "mint" else 0

    def ask(self, key: str, mode: CacheMode, patience: float) -> Credentials | CredhelperError | Lease:
        """What somebody else has minted, or their failure; otherwise the lease, to mint with."""
        request = f"{mode} {key}\n".encode("ascii")
        while (connection := self._connect()) is not None:
            answer = self._ask(request, patience)
            if answer is None:
                continue
            word, number, body = answer
            if word == "refresh":  # nobody else is sent for this key: who asks for it mints, if it is time
                request = f"renew {key}\n".encode("ascii")
                continue
            if word == "mint":
                self._leases.append(Lease(wire.PendingRequest(connection, number), body))
                return self._leases[-1]
            found = read_failure(body) if word == "fail" else Credentials.from_json(body.decode())
            if found is not None:
                return found
            self._give_up("it has answered what nobody can have put")
        return Lease()

    def asking(self) -> int:
        """Have the callers that wait be patient while the user is asked; returns how many they are."""
        return sum(lease.asking() for lease in self._leases)

    def _ask(self, request: bytes, patience: float) -> tuple[str, int, bytes] | None:
        if self._connection is None:
            return None
        try:
            return self._connection.ask(request, patience)
        except TimeoutError:
            self._give_up("it does not answer")
        except (OSError, ValueError) as error:  # it has gone; there may be another one
            self._log.debug(f"agent: {type(error).__name__}")
            self.close()
        return None

    def _give_up(self, why: str) -> None:
        self._log.debug(f"agent: {why}")
        self._tries = 0
        self.close()

    def close(self) -> None:
        """Hang up; what is leased passes to others."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def start(self) -> None:
        """See that there is one, where that is possible and wanted."""
        self._connect()

    def _connect(self) -> wire.Connection | None:
        """The connection; one is made, and the agent perhaps started, where there was none."""
        if self._connection is None and self._tries > 0 and self._directory is not None:
            self._tries -= 1
            try:
                if not self._starts:
                    self._connection = wire.connect(self._directory)
                    return self._connection
                self._connection, starting = wire.approach(self._directory, wait_in_thread)
            except (OSError, LateError):
                return None
            if starting is not None:
                self._connection = self._start()
                os.close(starting)
        return self._connection

    def _start(self) -> wire.Connection | None:
        """Start the agent; everybody else is held off meanwhile."""
        if self._directory is None or not _has_interpreter():
            return None
        try:
            subprocess.run(
                command(self._directory, self._idle_seconds, "detach"),
                env={},
                cwd="/",
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=START_SECONDS,
                check=True,
            )
            return wire.connect(self._directory)
        except (OSError, subprocess.SubprocessError) as error:
            self._log.warning(f"the agent does not start: {error}")
            self._tries = 0
            return None


def _has_interpreter() -> bool:
    """Whether `sys.executable` is one: in a program that embeds Python, or is frozen, it is that program."""
    name = os.path.basename(sys.executable or "").lower()
    return not hasattr(sys, "frozen") and name.startswith(_INTERPRETERS)


def command(directory: str, idle_seconds: float, *more: str) -> list[str]:
    """The agent as a process: an interpreter without `site`, deaf to the environment."""
    program = os.path.join(os.path.dirname(os.path.abspath(wire.__file__)), "__main__.py")
    return [sys.executable, "-IS", program, "agent", "--in", directory, str(idle_seconds), *more]


def settle(pending: wire.PendingRequest, error: CredhelperError) -> None:
    """Tell those who wait for the same `get` how it ended; where only we lack something, let them try."""
    lease = Lease(pending)
    if error.is_own:
        lease.open()
    else:
        lease.fail(error, render(error))  # unless it is ours alone, such as an interruption


def write_failure(error: CredhelperError) -> bytes:
    """A failure as the agent keeps it for those who wait."""
    return json.dumps(error.to_list()).encode("ascii")


def read_failure(body: bytes) -> CredhelperError | None:
    """What `write_failure` wrote; None for anything else."""
    try:
        return CredhelperError.from_list(json.loads(body))
    except (ValueError, RecursionError):
        return None


def wait_in_thread(descriptor: int) -> None:
    """Wait for the lock of whoever starts the agent. Raises OSError, LateError."""
    if sys.platform == "win32":
        raise OSError(wire.NOT_HERE)
    import fcntl

    within(wire.STARTING, lambda: fcntl.flock(descriptor, fcntl.LOCK_SH))
