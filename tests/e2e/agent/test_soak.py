"""Thirty hours of a real agent under libfaketime, in a minute: its memory, its mints, its wake-ups.

Run as a program, this file is the client: the real protocol and session provider, with AWS scripted.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from credhelper import expiry, wire
from credhelper.agent import client
from credhelper.app import Invocation, open_app
from credhelper.cli import get as cli_get
from credhelper.credentials import AccessKey, Credentials
from credhelper.sessions.consent import UserInput

import requirements
from sandbox import PROFILES, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Sandbox

HOUR = 3600
HOURS = 30
LIFE = 900
SHORTEST, LONGEST = 20, 30
"""Seconds between two questions."""

ARGUMENTS = ["unlock-bucket", "--reason", "soak"]

SUPPORT = str(Path(requirements.__file__).parent)

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what is measured")


@pytest.fixture
def faketime() -> str:
    return requirements.faketime()


@pytest.fixture
def directory() -> Iterator[Path]:
    """A place for a socket: its path is to be short."""
    with tempfile.TemporaryDirectory(prefix="ch-") as place:
        yield Path(place) / "a"


@contextmanager
def agent_in(directory: Path, idle_seconds: float = 900, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """A real agent that listens there."""
    directory.mkdir(0o700)
    with subprocess.Popen(client.command(str(directory), idle_seconds), env=environ) as agent:
        try:
            until(lambda: status_of(directory) is not None)
            yield agent
        finally:
            agent.terminate()


def status_of(directory: Path) -> list[str] | None:
    """The lines of its status; None where it does not answer."""
    try:
        connection = wire.connect(str(directory))
        if connection is None:
            return None
        with closing(connection):
            return connection.ask(b"status\n")[2].decode().splitlines()
    except (OSError, ValueError):
        return None


def number_in_status(pid: int, name: str) -> int:
    """A figure of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def sockets(directory: Path) -> int:
    """How many sockets have its name: the one that listens, and one for each client."""
    name = str(directory / wire.SOCKET)
    return sum(line.endswith(name) for line in Path("/proc/net/unix").read_text().splitlines())


def descriptors(pid: int, directory: Path) -> int:
    """How many descriptors it has; where it hides them from us, how many sockets."""
    with suppress(PermissionError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return sockets(directory)


def put(directory: Path, seconds: float) -> None:
    """Have the agent cache an entry for these seconds."""
    with closing(wire.connect(str(directory)) or pytest.fail("no agent")) as connection:
        _, lease, _ = connection.ask(b"mint key\n")
        words = f"put {lease} 4 {time.time() + seconds!r} - - 60 60 of label\nbody"
        assert connection.ask(words.encode()) == ("ok", 1, b"")


@linux
@pytest.mark.parametrize(
    "seconds", [None, 3600.0, 1.7e9], ids=["nothing cached", "an entry", "an endless entry"]
)
def test_without_requests_it_is_not_woken(directory: Path, seconds: float | None) -> None:
    with agent_in(directory) as agent:
        if seconds is not None:
            put(directory, seconds)

        def woken() -> int:
            return number_in_status(agent.pid, "voluntary_ctxt_switches")

        def is_calm() -> bool:
            before = woken()
            time.sleep(0.2)
            return before == woken()

        until(lambda: sockets(directory) == 1 or agent.poll() is not None)  # it has seen us hang up
        until(is_calm)
        before = woken()
        time.sleep(2.5)
        assert woken() == before


@linux
def test_an_entry_expires_and_then_the_idle_agent_leaves(faketime: str, directory: Path) -> None:
    speed, idle = 300, 300
    environ = {"LD_PRELOAD": faketime, "FAKETIME": f"+0 x{speed}"}
    with agent_in(directory, idle, **environ) as agent:
        lines = [""]
        while len(lines) < 2:
            with suppress(OSError, ValueError):  # 5 s to ask are 17 ms here
                put(directory, 1200)
            lines = status_of(directory) or [""]
        began, left = time.monotonic(), float(lines[1].split()[0])
        assert agent.wait(30) == 0
        assert (time.monotonic() - began) * speed > 0.95 * (left - 60 + idle)
        assert not (directory / wire.SOCKET).exists()


# -- thirty hours


@dataclass
class Diary:
    """What became of thirty hours."""

    asked: int = 0
    missed: int = 0
    refreshed: int = 0
    minted: int = 0
    least_left: float = float("inf")
    kilobytes: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)


@linux
def test_thirty_hours_of_requests_wait_once(faketime: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """An AssumeRoot session, twice a minute: as many mints as the thresholds say, no growth after an hour."""
    clock, step = tmp_path / "clock", (SHORTEST + LONGEST) / 2
    clock.write_text("+0\n")
    environ = {
        "LD_PRELOAD": faketime,
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "NO_FAKE_STAT": "1",
    }
    rules = 'task_policy_arn = "S3UnlockBucketPolicy"\nrenew_for = 2592000\n'  # no prompt for 30 hours
    sandbox.configure(PROFILES.replace('task_policy_arn = "S3UnlockBucketPolicy"\n', rules))
    with sandbox.use_agent() as directory, agent_in(directory, **environ) as agent:
        requester = subprocess.run(
            [sys.executable, __file__, str(directory), str(clock), str(agent.pid)],
            env={**sandbox.environ, **environ, "CREDHELPER_KEYRING": "none", "PYTHONPATH": SUPPORT},
            stdout=subprocess.PIPE,
            timeout=300,
            check=True,
        )
    diary = Diary(**json.loads(requester.stdout))
    # from a moment to the next question
    late = (SHORTEST**2 + SHORTEST * LONGEST + LONGEST**2) / 3 / (2 * step)
    cycle = LIFE - (expiry.floor(LIFE) + LIFE / expiry.REFRESH_AHEAD_SHARE) + late
    assert diary.asked == pytest.approx(HOURS * HOUR / step, rel=0.05)
    assert diary.minted == pytest.approx(HOURS * HOUR / cycle, rel=0.05)
    assert (diary.missed, diary.refreshed) == (1, diary.minted - 1)
    assert diary.least_left >= expiry.floor(LIFE)
    assert len(diary.kilobytes) == HOURS
    assert max(diary.kilobytes) - diary.kilobytes[0] < 512, diary.kilobytes
    assert set(diary.descriptors) == {diary.descriptors[0]}


class ScriptedAws:
    """Mints sessions of AssumeRoot's life."""

    minted = 0

    def __init__(self, environ: object) -> None:
        pass

    def close(self) -> None:
        """There is nothing to hang up."""

    def source_key(self, *_: object) -> AccessKey:
        return AccessKey("AKIASOURCE", "source-secret")

    def mint(self, *_: object) -> Any:
        ScriptedAws.minted += 1
        now = expiry.read_clocks()
        credentials = Credentials(
            *(f"ASIA{self.minted}", "secret", "token" * 200),
            int(now.wall) + LIFE,
            LIFE,
            0.0,
            now,
            "111122223333",
        )
        return SimpleNamespace(credentials=credentials, request_id="request", host="sts")


class Requester:
    """Asks as `get` does, and is the refresher when told to send one."""

    def __init__(self, directory: Path, clock: Path, pid: int) -> None:
        self.directory = directory
        self.clock = clock
        self.pid = pid
        self.ahead = 0.0
        self.diary = Diary()

    def spend(self, hours: int) -> Diary:
        chance = random.Random(0)
        for hour in range(1, hours + 1):
            while self.ahead < hour * HOUR:
                self.pass_time(chance.uniform(SHORTEST, LONGEST))
                self.ask()
            self.measure()
        self.diary.minted = ScriptedAws.minted
        return self.diary

    def pass_time(self, seconds: float) -> None:
        """Set all clocks forward, for the agent and for this process at one moment."""
        self.ahead += seconds
        next_one = self.clock.with_suffix(".new")
        next_one.write_text(f"+{self.ahead:.3f}\n")
        next_one.replace(self.clock)

    def ask(self) -> None:
        self.diary.asked += 1
        answer = wire.ask(ARGUMENTS, os.environ)
        if isinstance(answer, wire.PendingRequest):
            self.diary.missed += 1
            self.look_at(self.mint("get", answer))
            return
        assert answer.status == 0, answer.body
        self.look_at(answer.body)
        if answer.refresh:
            self.diary.refreshed += 1
            pending = cli_get.renewal(os.environ, ARGUMENTS)
            assert pending is not None, "another caller renews"
            self.mint("renew", pending)

    @staticmethod
    def mint(mode: client.CacheMode, pending: wire.PendingRequest) -> bytes:
        start = Invocation(time.monotonic(), ARGUMENTS, pending, background=mode == "renew")
        app = open_app(os.environ, start, UserInput(reason="soak"))
        envelope = app.envelope(app.config.profile("unlock-bucket", {}), mode=mode)
        assert pending.connection is not None
        pending.connection.close()
        return envelope

    def look_at(self, envelope: bytes) -> None:
        expiration = json.loads(envelope)["Expiration"].replace("Z", "+00:00")
        left = datetime.fromisoformat(expiration).timestamp() - time.time()
        self.diary.least_left = min(self.diary.least_left, left)

    def measure(self) -> None:
        count = descriptors(self.pid, self.directory)
        usual = self.diary.descriptors[0] if self.diary.descriptors else 0
        for _ in range(500):  # it may not have seen yet that we have hung up
            if count > usual:
                time.sleep(0.002)
                count = min(count, descriptors(self.pid, self.directory))
        self.diary.descriptors.append(count)
        self.diary.kilobytes.append(number_in_status(self.pid, "VmRSS"))


if __name__ == "__main__":
    sys.modules["credhelper.aws.sts"] = SimpleNamespace(Sts=ScriptedAws)  # type: ignore[assignment]
    diary = Requester(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])).spend(HOURS)
    sys.stdout.write(json.dumps(asdict(diary)))
