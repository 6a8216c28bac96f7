"""The agent's client and the session provider: a real agent in a thread, scripted AWS and clocks."""

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
from credhelper.agent.in_process import LocalConnection
from credhelper.clocks import Now
from credhelper.credentials import Credentials
from credhelper.errors import CancelledError, InteractionError, OutOfTimeError, RefusedError, UnreachableError
from credhelper.log import Log
from credhelper.sessions.consent import UserInput

from desk import Desk, Time, refused
from memory_keyring import MemoryKeyring
from sandbox import until

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
        self.server = server.AgentServer(self._listener, 60)
        self._thread = threading.Thread(target=self.server.run)
        self._thread.start()

    def stop(self) -> None:
        """End it, and every connection with it."""
        if self._thread.is_alive() and (connection := wire.connect(self.directory)) is not None:
            connection.ask(b"stop\n")
            connection.close()
        self._thread.join(10)


class SharedDesk(Desk):
    """Session providers that are different processes to the agent."""

    def __init__(
        self, place: Path, time: Time, monkeypatch: pytest.MonkeyPatch, running: RunningAgent
    ) -> None:
        super().__init__(place, time, monkeypatch)
        self.running = running
        self.directory = running.directory

    def agent(self, log: Log) -> AgentClient:
        return AgentClient(self.directory, log, idle_seconds=60)

    def get(self, name: str = "dev", started: Clocks | None = None, **how: Any) -> Credentials:
        provider = self.provider(started)
        try:
            return provider.get(self.call(name), **how)
        finally:
            provider._agent.close()

    def get_at_once(self, count: int) -> list[Any]:
        """The outcomes of that many callers: sessions or exceptions."""
        calls = [in_thread(self.get) for _ in range(count)]
        return [wait() for wait in calls]

    def during_mint(self, act: Callable[[], object]) -> None:
        """Do something once STS has been asked the next time, before it answers."""
        mint = self.aws.mint

        def acting(*arguments: Any) -> Any:
            self.aws.mint = mint
            act()
            return mint(*arguments)

        self.aws.mint = acting

    def waiting(self) -> int:
        """How many callers wait at the agent."""
        return sum(map(len, self.running.server._memory._waiters.values()))

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
    return SharedDesk(tmp_path, running[1], monkeypatch, running[0])


def in_thread(call: Callable[[], object]) -> Callable[[], Any]:
    """Start a call; returns what waits for its outcome: a result or an exception."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(call())
        except Exception as error:  # noqa: BLE001 - it is looked at
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def wait() -> Any:
        thread.join(20)
        return outcome[0]

    return wait


def test_without_a_keyring_another_process_gets_the_session_from_the_agent(desk: SharedDesk) -> None:
    first = desk.get()
    MemoryKeyring.items.clear()

    assert desk.get() == first
    assert len(desk.aws.minted) == 1


def test_cache_memory_leaves_nothing_in_the_keyring(desk: SharedDesk) -> None:
    desk.profiles["dev"]["cache"] = "memory"

    assert desk.get() == desk.get()
    assert len(desk.aws.minted) == 1
    assert MemoryKeyring.items == {}


def test_a_session_from_the_keyring_is_given_to_the_agent_with_its_time_left(desk: SharedDesk) -> None:
    desk.get()
    desk.remote().clear(())
    desk.time.passes(100)
    desk.get()

    assert desk.remembered() == [("dev", 3500)]


def test_eight_callers_at_once_share_one_mint(desk: SharedDesk) -> None:
    desk.during_mint(lambda: until(lambda: desk.waiting() == 7))
    found = desk.get_at_once(8)

    assert {each.access_key_id for each in found} == {"ASIA1"}
    assert len(desk.aws.minted) == 1


def test_a_failure_reaches_all_who_wait_and_later_callers_try_again(desk: SharedDesk) -> None:
    desk.during_mint(lambda: until(lambda: desk.waiting() == 3))
    desk.aws.script.append(refused())
    found = desk.get_at_once(4)

    assert [(type(each), each.sentence, each.hints, each.code) for each in found] == [
        (RefusedError, "not allowed", ("a hint",), "AccessDenied")
    ] * 4
    assert len(desk.record()) == 1
    desk.time.passes(1)
    assert desk.get().access_key_id == "ASIA1"


def test_a_caller_that_cannot_prompt_passes_the_lease_on(desk: SharedDesk) -> None:
    desk.during_mint(lambda: until(lambda: desk.waiting() == 1))
    desk.aws.script.append(InteractionError("no terminal"))

    assert {type(each) for each in desk.get_at_once(2)} == {InteractionError, Credentials}


def test_a_cancelled_prompt_is_cancelled_for_all_who_wait(desk: SharedDesk) -> None:
    calls: list[Question] = []

    def decline(call: Question) -> str:
        calls.append(call)
        until(lambda: desk.waiting() == 1)
        raise CancelledError("cancelled")

    desk.ask_code = decline
    desk.profiles["dev"] |= {"mfa_serial": "arn:aws:iam::999988887777:mfa/me", "mfa_session": False}

    assert [type(each) for each in desk.get_at_once(2)] == [CancelledError] * 2
    assert len(calls) == 1


def test_after_a_failure_the_older_session_is_served_for_30_s(desk: SharedDesk) -> None:
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


def test_renew_mints_a_fifteenth_of_the_life_above_the_floor(desk: SharedDesk) -> None:
    first = desk.get()
    desk.time.passes(3600 - 960 - 240)
    assert desk.get(mode="renew") == first
    desk.time.passes(1)
    assert desk.get() == first
    assert desk.get(mode="renew").access_key_id == "ASIA2"
    assert desk.get().access_key_id == "ASIA2"


@pytest.mark.parametrize("human", [{"confirm": True}, {"require_reason": True}])
def test_with_a_prompt_a_session_is_minted_below_60_s(desk: SharedDesk, human: dict[str, object]) -> None:
    desk.profiles["dev"] |= human
    desk.said = UserInput(reason="OPS-12", yes=True)
    first = desk.get()
    desk.said = UserInput()
    for note in desk.place.glob("**/series-*.note"):
        note.unlink()  # the report is repeated below
    desk.time.passes(3600 - 60)

    assert desk.get() == first
    assert desk.provider().thresholds(desk.call(), first).refresh == float("-inf")
    desk.time.passes(1)
    with pytest.raises(InteractionError):
        desk.get()


def test_refresh_replaces_the_session_of_the_agent(desk: SharedDesk) -> None:
    desk.get()
    desk.time.passes(1)

    assert desk.get(mode="mint").access_key_id == "ASIA2"
    assert desk.get().access_key_id == "ASIA2"


def test_profiles_of_one_call_share_a_session_while_it_satisfies_both(desk: SharedDesk) -> None:
    desk.profiles["strict"] = {**desk.profiles["dev"], "min_remaining": 1800}
    first = desk.get()
    desk.time.passes(1900)

    assert desk.get() == first
    assert desk.get("strict").access_key_id == "ASIA2"


def test_two_roles_over_one_mfa_session_ask_for_one_code(desk: SharedDesk) -> None:
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


@pytest.mark.parametrize(("cleared", "kept"), [("dev", []), ("another", ["dev"])])
def test_what_is_cleared_during_its_mint_is_not_kept(desk: SharedDesk, cleared: str, kept: list[str]) -> None:
    desk.during_mint(lambda: desk.remote().clear([cleared]))

    assert desk.get().access_key_id == "ASIA1"
    assert [label for label, _ in desk.remembered()] == kept
    assert len(desk.store.items()) == len(MemoryKeyring.items) == len(kept)


def test_an_agent_that_ends_in_a_mint_is_not_missed(desk: SharedDesk, monkeypatch) -> None:
    monkeypatch.setattr(AgentClient, "_start", lambda *_: None)
    desk.during_mint(desk.running.stop)

    assert desk.get() == desk.get()
    assert len(desk.aws.minted) == 1


def test_bytes_that_are_no_credentials_are_not_taken(desk: SharedDesk) -> None:
    connection = wire.connect(desk.directory)
    assert connection is not None
    key = desk.call().key
    _, lease, _ = connection.ask(f"get {key}\n".encode())
    thresholds = expiry.ExpiryThresholds(desk.time.wall + 3600, None, 0, 0, 0)
    assert Lease(wire.PendingRequest(connection, lease)).put(b"{}", thresholds, key, "dev")

    assert desk.get().access_key_id == "ASIA1"
    connection.close()


def test_a_lease_without_an_agent_does_nothing() -> None:
    lease = Lease()
    lease.fail(refused(), b"")
    lease.open()
    lease.drop()

    assert lease.put(b"", expiry.ExpiryThresholds(0, None, 0, 0, 0), "K", "dev") is None


def test_a_lease_is_settled_once(desk: SharedDesk) -> None:
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
        (InteractionError("no terminal"), ("mint", 2)),
        (OutOfTimeError("no time is left"), ("mint", 2)),
        (OSError(), ("mint", 2)),
        (None, ("mint", 2)),
    ],
    ids=["refused", "no-terminal", "no-time", "other", "nothing-put"],
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
        until(lambda: lease.asking() == 1)
        with contextlib.suppress(type(raised or OSError())), lease:
            if raised is not None:
                raise raised
        answer = waiting()

    assert isinstance(answer, tuple)
    assert answer[:2] == answered


def test_a_failure_is_read_as_it_was_written_and_nothing_else_is() -> None:
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


def test_a_role_whose_mfa_session_has_ended_is_not_renewed_ahead(desk: SharedDesk) -> None:
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


def test_without_starts_an_agent_is_used_but_none_is_started(
    tmp_path: Path, desk: SharedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("a process was started"))
    log = Log(str(tmp_path / "log"))
    nowhere = (str(tmp_path), str(tmp_path / "missing"), "/" + "x" * 200)
    for directory in (desk.directory, *nowhere):
        with contextlib.closing(AgentClient(directory, log, idle_seconds=60, starts=False)) as agent:
            assert isinstance(agent.ask("f" * 64, "get", 5), Lease)
            assert isinstance(agent._connection, LocalConnection) == (directory in nowhere)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("program", ["uwsgi_python3", "frozen"])
def test_a_program_that_is_no_interpreter_is_not_started(tmp_path: Path, program: str, monkeypatch) -> None:
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
