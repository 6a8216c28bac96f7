"""The agent as the house sees it: a real one in a thread, under the resolver with scripted AWS and clocks."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import threading
import time as real_time
from typing import TYPE_CHECKING, Any

import pytest

from credhelper import expiry, wire
from credhelper.agent import client, daemon, server
from credhelper.agent.admin import AgentAdmin
from credhelper.agent.client import AgentClient, Lease
from credhelper.clocks import Now
from credhelper.credentials import Credentials
from credhelper.errors import CancelledError, HumanNeededError, RefusedError, UnreachableError
from credhelper.log import Log
from credhelper.sessions.consent import UserInput

from desk import Desk, Time, refused
from memory_keyring import MemoryKeyring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from credhelper.credentials import Clocks
    from credhelper.prompts import Question


class RunningAgent:
    """An agent in a thread of this process."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._listener = daemon._listen(os.path.join(directory, wire.SOCKET))
        self._thread = threading.Thread(target=server.AgentServer(self._listener, 60).run)
        self._thread.start()

    def stop(self) -> None:
        """End it, and every connection with it."""
        if self._thread.is_alive() and (connection := wire.connect(self.directory)) is not None:
            connection.ask(b"stop\n")
            connection.close()
        self._thread.join(10)


class SharedDesk(Desk):
    """Resolvers that are of different processes as far as the agent is concerned."""

    def __init__(self, place: Path, time: Time, monkeypatch: pytest.MonkeyPatch, directory: str) -> None:
        super().__init__(place, time, monkeypatch)
        self.directory = directory
        self.agents: list[AgentClient] = []

    def agent(self, log: Log) -> AgentClient:
        self.agents.append(AgentClient(self.directory, log, idle_seconds=60))
        return self.agents[-1]

    def get(self, name: str = "dev", started: Clocks | None = None, **how: Any) -> Credentials:
        provider = self.provider(started)
        try:
            return provider.get(self.call(name), **how)
        finally:
            provider._agent.close()

    def remote(self) -> AgentAdmin:
        return AgentAdmin(self.directory)

    def remembered(self) -> list[tuple[str, float]]:
        """What the agent has: for whom, and the seconds left."""
        status = self.remote().status()
        assert status is not None
        return [(each.profile, each.seconds) for each in status[1]]


@pytest.fixture(name="running")
def _running(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[RunningAgent, Time]]:
    time = Time()
    monkeypatch.setattr(expiry, "read_clocks", time.read)
    monkeypatch.setattr("credhelper.clocks.read", lambda: Now(time.wall, time.boot, real_time.monotonic()))
    MemoryKeyring.items.clear()
    directory = tempfile.mkdtemp(prefix="ch-")
    running = RunningAgent(directory)
    yield running, time
    running.stop()
    shutil.rmtree(directory)


@pytest.fixture(name="desk")
def _desk(tmp_path: Path, running: tuple[RunningAgent, Time], monkeypatch) -> SharedDesk:
    return SharedDesk(tmp_path, running[1], monkeypatch, running[0].directory)


def in_thread(call: Callable[[], object]) -> Callable[[], object]:
    """Start a call; returns what waits for its outcome: a result or an exception."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(call())
        except Exception as error:  # noqa: BLE001 - it is looked at
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def wait() -> object:
        thread.join(20)
        return outcome[0]

    return wait


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for something that another thread brings about."""
    deadline = real_time.monotonic() + 10
    while not true():
        assert real_time.monotonic() < deadline
        real_time.sleep(0.01)


def test_a_session_of_another_process_without_the_keyring(desk: SharedDesk) -> None:
    """What one process has minted another one gets from the agent, although no keyring has it."""
    first = desk.get()
    MemoryKeyring.items.clear()

    assert desk.get() == first
    assert len(desk.aws.minted) == 1


def test_memory_leaves_nothing_in_the_keyring(desk: SharedDesk) -> None:
    """`cache = "memory"` keeps a session in the agent and nowhere else."""
    desk.profiles["dev"]["cache"] = "memory"

    assert desk.get() == desk.get()
    assert len(desk.aws.minted) == 1
    assert MemoryKeyring.items == {}


def test_a_session_from_the_keyring_is_shared(desk: SharedDesk) -> None:
    """A session that only the keyring has is in the agent after its first use, with its time left."""
    desk.get()
    desk.remote().clear(())
    desk.time.passes(100)
    desk.get()

    assert desk.remembered() == [("dev", 3500)]


def test_who_waits_gets_what_is_minted(desk: SharedDesk) -> None:
    """Eight callers at once, one mint."""
    minting = threading.Event()
    mint = desk.aws.mint

    def slow(*arguments: object) -> object:
        minting.wait(10)
        return mint(*arguments)

    desk.aws.mint = slow
    waiting = [in_thread(desk.get) for _ in range(8)]
    wait_until(lambda: len(desk.agents) == 8)
    minting.set()
    found = [wait() for wait in waiting]

    assert {each.access_key_id for each in found} == {"ASIA1"}
    assert len(desk.aws.minted) == 1


def test_who_waits_gets_the_failure(desk: SharedDesk) -> None:
    """All who wait get the sentence, the hint and the code of the one attempt; whoever comes later tries."""
    refusing = threading.Event()

    def refuse(*_: object) -> object:
        refusing.wait(10)
        raise refused()

    minting, desk.aws.mint = desk.aws.mint, refuse
    waiting = [in_thread(desk.get) for _ in range(4)]
    wait_until(lambda: len(desk.agents) == 4)
    real_time.sleep(0.3)  # until the other three wait
    refusing.set()
    found = [wait() for wait in waiting]

    assert [(type(each), each.sentence, each.hints, each.code) for each in found] == [
        (RefusedError, "not allowed", ("a hint",), "AccessDenied")
    ] * 4
    assert len(desk.record()) == 1
    desk.aws.mint = minting
    desk.time.passes(1)
    assert desk.get().access_key_id == "ASIA1"


def test_a_missing_human_passes_the_lease_on(desk: SharedDesk) -> None:
    """The next one who waits may have a terminal."""
    asked = threading.Event()
    mint = desk.aws.mint

    def first_fails(*arguments: object) -> object:
        desk.aws.mint = mint
        asked.wait(10)
        raise HumanNeededError("nobody there")

    desk.aws.mint = first_fails
    waiting = [in_thread(desk.get)]
    wait_until(lambda: desk.aws.mint is mint)
    waiting.append(in_thread(desk.get))
    wait_until(lambda: len(desk.agents) == 2)
    real_time.sleep(0.3)
    asked.set()
    found = [wait() for wait in waiting]

    assert isinstance(found[0], HumanNeededError)
    assert isinstance(found[1], Credentials)


def test_a_person_who_does_not_want_to_has_said_so_for_all(desk: SharedDesk) -> None:
    """Those who wait fail with the same sentence, and ask nobody."""
    asked = threading.Event()
    calls: list[Question] = []

    def declined(call: Question) -> str:
        calls.append(call)
        asked.wait(10)
        raise CancelledError("cancelled")

    desk.ask_code = declined
    desk.profiles["dev"] |= {"mfa_serial": "arn:aws:iam::999988887777:mfa/me", "mfa_session": False}
    waiting = [in_thread(desk.get)]
    wait_until(lambda: calls)
    waiting.append(in_thread(desk.get))
    wait_until(lambda: len(desk.agents) == 2)
    real_time.sleep(0.3)
    asked.set()

    assert [type(wait()) for wait in waiting] == [CancelledError] * 2
    assert len(calls) == 1


def test_after_a_failure_what_serves_is_served_at_once(desk: SharedDesk) -> None:
    """An older session is shared with the failure in mind: nobody tries for 30 s, and then one does."""
    first = desk.get()
    desk.time.passes(3600 - 200)
    desk.aws.script.extend([UnreachableError("down")] * 9)
    for _ in range(5):
        assert desk.get() == first
        desk.time.passes(5)

    assert len(desk.aws.script) == 8
    desk.time.passes(10)
    assert desk.get() == first
    assert len(desk.aws.script) == 7
    assert desk.get(mode="renew") == first
    assert len(desk.aws.script) == 7


def test_renewing_mints_only_where_it_is_due(desk: SharedDesk) -> None:
    """Ahead of need begins a fifteenth of the life above the floor."""
    first = desk.get()
    desk.time.passes(3600 - 960 - 240)
    assert desk.get(mode="renew") == first
    desk.time.passes(1)
    assert desk.get() == first
    assert desk.get(mode="renew").access_key_id == "ASIA2"
    assert desk.get().access_key_id == "ASIA2"


@pytest.mark.parametrize("human", [{"confirm": True}, {"require_reason": True}])
def test_a_person_is_not_disturbed_while_anything_serves(desk: SharedDesk, human: dict[str, object]) -> None:
    """A mint that somebody has to say something to is begun below 60 s, and never ahead of need."""
    desk.profiles["dev"] |= human
    desk.said = UserInput(reason="OPS-12", yes=True)
    first = desk.get()
    desk.said = UserInput()
    for note in desk.place.glob("**/series-*.note"):
        note.unlink()  # what was said is forgotten
    desk.time.passes(3600 - 60)

    assert desk.get() == first
    assert desk.provider().thresholds(desk.call(), first).refresh == float("-inf")
    desk.time.passes(1)
    with pytest.raises(HumanNeededError):
        desk.get()


def test_a_refresh_mints_although_the_agent_has_a_session(desk: SharedDesk) -> None:
    """And everybody has the new one afterwards."""
    desk.get()
    desk.time.passes(1)

    assert desk.get(mode="mint").access_key_id == "ASIA2"
    assert desk.get().access_key_id == "ASIA2"


def test_a_profile_that_asks_for_more_is_not_given_less(desk: SharedDesk) -> None:
    """Two profiles of one call share a session only as long as it satisfies both."""
    desk.profiles["strict"] = {**desk.profiles["dev"], "min_remaining": 1800}
    first = desk.get()
    desk.time.passes(1900)

    assert desk.get() == first
    assert desk.get("strict").access_key_id == "ASIA2"


def test_each_hop_is_shared(desk: SharedDesk) -> None:
    """Two roles over one MFA session ask for one code."""
    device = "arn:aws:iam::999988887777:mfa/me"
    asked: list[str] = []
    desk.ask_code = lambda question: asked.append(question.label) or "654321"
    desk.profiles["dev"]["mfa_serial"] = device
    desk.profiles["ops"] = {**desk.profiles["dev"], "role_arn": "arn:aws:iam::222233334444:role/Ops"}
    for name in ("dev", "ops"):
        desk.profiles[name]["cache"] = "memory"
    desk.get("dev")
    desk.get("ops")

    assert asked == [f"MFA code of '{device}'"]
    assert sorted(label for label, _ in desk.remembered()) == [f"MFA session of {device}", "dev", "ops"]


def test_cleared_while_it_was_minted(desk: SharedDesk) -> None:
    """The caller gets the session; neither the agent nor the keyring keeps it."""
    mint = desk.aws.mint

    def cleared_meanwhile(*arguments: object) -> object:
        desk.remote().clear(["dev"])
        return mint(*arguments)

    desk.aws.mint = cleared_meanwhile

    assert desk.get().access_key_id == "ASIA1"
    assert desk.remembered() == []
    assert desk.store.items() == []
    assert MemoryKeyring.items == {}


def test_clearing_another_profile_meanwhile_changes_nothing(desk: SharedDesk) -> None:
    """Only what was named is thrown away."""
    mint = desk.aws.mint

    def cleared_meanwhile(*arguments: object) -> object:
        desk.remote().clear(["another"])
        return mint(*arguments)

    desk.aws.mint = cleared_meanwhile

    assert desk.get() == desk.get()
    assert [label for label, _ in desk.remembered()] == ["dev"]


def test_an_agent_that_dies_under_a_mint_is_not_missed(
    desk: SharedDesk, running: tuple[RunningAgent, Time], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer comes, and the keyring has it for the next one."""
    monkeypatch.setattr(AgentClient, "_start", lambda _: None)
    mint = desk.aws.mint

    def dying(*arguments: object) -> object:
        running[0].stop()
        return mint(*arguments)

    desk.aws.mint = dying

    assert desk.get() == desk.get()
    assert len(desk.aws.minted) == 1


def test_an_answer_that_nobody_can_have_put_is_not_taken(desk: SharedDesk) -> None:
    """Bytes that are no credentials are left alone, and the agent for the rest of the command."""
    connection = wire.connect(desk.directory)
    assert connection is not None
    key = desk.call().key
    _, lease, _ = connection.ask(f"get {key}\n".encode())
    thresholds = expiry.ExpiryThresholds(desk.time.wall + 3600, None, 0, 0, 0)
    assert Lease(wire.PendingRequest(connection, lease)).put(b"{}", thresholds, key, "dev")

    assert desk.get().access_key_id == "ASIA1"
    connection.close()


def test_a_lease_of_nobody_is_told_to_nobody() -> None:
    """Without an agent everything that is told goes nowhere."""
    lease = Lease()
    lease.fail(refused(), b"")
    lease.open()
    lease.drop()

    assert lease.put(b"", expiry.ExpiryThresholds(0, None, 0, 0, 0), "K", "dev") is None


def test_a_lease_is_settled_once(desk: SharedDesk) -> None:
    """Whoever has put something cannot fail afterwards."""
    connection = wire.connect(desk.directory)
    assert connection is not None
    lease = Lease(wire.PendingRequest(connection, connection.ask(b"get K\n")[1]))
    thresholds = expiry.ExpiryThresholds(desk.time.wall + 3600, None, 0, 0, 0)

    assert lease.put(b"x", thresholds, "K", "dev\nwith a line") is True
    assert lease.put(b"y", thresholds, "K", "dev") is None
    lease.fail(refused(), b"no")
    assert connection.ask(b"get K\n") == ("hit", 0, b"x")
    assert desk.remembered()[0][0] == "dev?with a line"
    connection.close()


@pytest.mark.parametrize(
    ("raised", "answered"),
    [
        (refused(), ("fail", 4)),
        (HumanNeededError("no terminal"), ("mint", 2)),
        (OSError(), ("mint", 2)),
        (None, ("mint", 2)),
    ],
    ids=["refused", "nobody-to-ask", "other", "nothing-put"],
)
def test_a_lease_ends_with_its_block(
    desk: SharedDesk, raised: Exception | None, answered: tuple[str, int]
) -> None:
    holder, waiter = wire.connect(desk.directory), wire.connect(desk.directory)
    assert holder is not None
    assert waiter is not None
    with contextlib.closing(holder), contextlib.closing(waiter):
        lease = Lease(wire.PendingRequest(holder, holder.ask(b"get K\n")[1]))
        waiting = in_thread(lambda: waiter.ask(b"get K\n", 10))
        wait_until(lambda: lease.asking() == 1)
        with contextlib.suppress(type(raised or OSError())), lease:
            if raised is not None:
                raise raised
        answer = waiting()

    assert isinstance(answer, tuple)
    assert answer[:2] == answered


def test_failures_survive_the_way() -> None:
    """What was written is read: class, sentence, hints and AWS's code; anything else is None."""
    read = client.read_failure(client.write_failure(refused()))

    assert read is not None
    assert (type(read), read.sentence, read.hints, read.code) == (
        RefusedError,
        "not allowed",
        ("a hint",),
        "AccessDenied",
    )
    for wrong in (b"", b"{}", b"[]", b"null", b'[7, "x", [], null]', b'["4"]', b"[" * 100_000):
        assert client.read_failure(wrong) is None


def test_a_renewal_that_needs_a_person_is_not_tried_again(desk: SharedDesk) -> None:
    """A role whose MFA session has ended is served as long as it lasts, and nobody renews it ahead."""
    desk.profiles["dev"]["mfa_serial"] = "arn:aws:iam::999988887777:mfa/me"
    desk.profiles["dev"]["mfa_duration_seconds"] = 900
    desk.ask_code = lambda _: "654321"
    first = desk.get()
    desk.ask_code = None
    session = desk.call().parent
    assert session is not None
    desk.remote().clear([session.key])
    MemoryKeyring.items.clear()
    desk.time.passes(3600 - 960 - 100)
    provider = desk.provider()

    assert provider.get(desk.call(), mode="renew") == first
    until = provider.thresholds(desk.call(), first)
    assert (until.refresh, until.fresh) == (float("-inf"), expiry.SERVABLE)
    provider._agent.close()


def test_without_starting_one(tmp_path: Path, running: tuple[RunningAgent, Time], monkeypatch) -> None:
    """One that runs is used; where none does, nobody is told and no process started."""
    started: list[object] = []
    monkeypatch.setattr("subprocess.run", lambda *arguments, **_: started.append(arguments))
    log = Log(str(tmp_path / "log"))
    with contextlib.closing(AgentClient(running[0].directory, log, idle_seconds=60, starts=False)) as agent:
        lease = agent.ask("f" * 64, "get", 5)
        assert isinstance(lease, Lease)
        assert lease.is_shared
    for nowhere in (str(tmp_path), str(tmp_path / "missing"), "/" + "x" * 200):
        lease = AgentClient(nowhere, log, idle_seconds=60, starts=False).ask("f" * 64, "get", 5)
        assert isinstance(lease, Lease)
        assert not lease.is_shared
    assert started == os.listdir(tmp_path) == []


@pytest.mark.parametrize("program", ["uwsgi_python3", "frozen"])
def test_a_program_that_is_no_interpreter(tmp_path: Path, program: str, monkeypatch) -> None:
    """It is not started anew in the belief that it were one."""
    started = tmp_path / program
    started.write_text("#!/bin/sh\ntouch $0.started\n")
    started.chmod(0o755)
    if program == "frozen":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    else:
        monkeypatch.setattr(sys, "executable", str(started))
    directory = tempfile.mkdtemp(prefix="ch-")
    agent = AgentClient(directory, Log(str(tmp_path / "log")), idle_seconds=1)
    agent.start()
    agent.close()
    listening = wire.connect(directory)
    shutil.rmtree(directory)

    assert listening is None
    assert list(tmp_path.glob("*.started")) == []
