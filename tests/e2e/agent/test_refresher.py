"""The refresher: a mint ahead of need in the background.

The tests put an answer into the agent with the thresholds that they need.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from credhelper import expiry, wire
from credhelper.cache import keyring
from credhelper.credentials import Clocks, Credentials, utc

import sts_faults as faults
from calls import Desk
from sandbox import PROFILES, PROGRAM, is_alive, plant, until, write_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Sandbox, SecretService
    from sts import LoopbackSts

PLANTED: Final = "ASIAPLANTED"
SECONDS: Final = 500.0
"""What is left of the planted answer."""

MFA = "arn:aws:iam::999988887777:mfa/me"
HUMAN = "\n".join(
    f'[profiles.{name}]\nrole_arn = "arn:aws:iam::222233334444:role/{name}"\nmin_remaining = 60\n{more}'
    for name, more in {
        "plain": "",
        "confirmed": "confirm = true",
        "reasoned": "require_reason = true",
        "coded": f'mfa_serial = "{MFA}"\nmfa_session = false',
    }.items()
)


@pytest.fixture(name="files", scope="module")
def _files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("files"), PROFILES + HUMAN)


@pytest.fixture(name="sandbox")
def _sandbox(sandbox: Sandbox, files: Path):
    """A sandbox with an empty agent."""
    with sandbox.settled(files):
        assert sandbox.run("agent", "start").status == 0
        yield sandbox


def plant_answer(sandbox: Sandbox, name: str = "developer", **thresholds: float) -> None:
    """What `get NAME` prints from now on: due for a mint ahead of need, unless `thresholds` say otherwise."""
    envelope = {
        "Version": 1,
        "AccessKeyId": PLANTED,
        "SecretAccessKey": "s",
        "SessionToken": "t",
        "Expiration": utc(time.time() + SECONDS),
    }
    key = wire.hit_key([name], sandbox.environ)
    assert key is not None
    due = {"seconds": SECONDS, "refresh": SECONDS + 60, "fresh": 60.0, "servable": 60.0}
    plant(sandbox, key, json.dumps(envelope).encode() + b"\n", **(due | thresholds))


def answered(sandbox: Sandbox, name: str = "developer") -> str:
    """The access key id that a `get` is answered with."""
    key_id: str = sandbox.get(name)["AccessKeyId"]
    return key_id


def refreshed(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """Wait until callers are answered with what was minted last."""
    until(lambda: answered(sandbox) in [issued["AccessKeyId"] for issued in sts.issued[-1:]])
    until(lambda: not sandbox.refreshers())


class TestAhead:
    def test_a_hit_that_is_due_is_answered_at_once(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        plant_answer(sandbox)
        sts.mode = faults.slow(2)

        assert answered(sandbox) == PLANTED
        until(lambda: sts.calls)
        assert answered(sandbox) == PLANTED
        refreshed(sandbox, sts)
        assert sts.count() == 1

    def test_twenty_hits_at_once_start_one_refresher(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        plant_answer(sandbox)
        sts.mode = faults.slow(2)
        callers = [sandbox.start("get", "developer") for _ in range(20)]
        seen: set[int] = set()

        def all_have_ended() -> bool:
            seen.update(sandbox.refreshers())
            return bool(sts.calls) and all(caller.poll() is not None for caller in callers)

        until(all_have_ended)

        assert {sandbox.finish(caller).envelope["AccessKeyId"] for caller in callers} == {PLANTED}
        assert len(seen) == 1
        refreshed(sandbox, sts)
        assert sts.count() == 1

    def test_renew_before_it_is_due_mints_nothing(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        plant_answer(sandbox, refresh=SECONDS - 60)

        assert sandbox.run("renew", "developer").status == 0
        assert answered(sandbox) == PLANTED
        assert sts.count() == 0

    def test_the_refresher_has_the_arguments_of_its_get(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        arguments = ["developer", "--reason", "ticket 1"]
        key = wire.hit_key(arguments, sandbox.environ)
        assert key is not None
        body = b'{"Version": 1, "Expiration": "2099-01-01T00:00:00Z"}\n'
        plant(sandbox, key, body, seconds=SECONDS, refresh=SECONDS + 60)
        sandbox.get(*arguments)
        (line,) = until(sandbox.audit)

        assert line["reason"] == "ticket 1"


class TestWithoutPrompts:
    @pytest.mark.parametrize("name", ["plain", "confirmed", "reasoned", "coded"])
    def test_a_session_that_needs_a_prompt_is_not_refreshed_ahead(
        self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv("HOME", str(sandbox.home))
        call_key = Desk(sandbox, monkeypatch).key(name).encode()
        clocks = expiry.read_clocks()
        assert clocks.boot is not None
        older = Clocks(clocks.wall - 800, clocks.boot - 800, clocks.boot_id)
        session = Credentials("ASIAOLD", "s", "t", int(clocks.wall) + 100, 900, 0, older)
        shared = call_key + b" 60"  # as callers with a `min_remaining` of their own know it
        plant(sandbox, shared, session.to_json().encode(), seconds=100, fresh=60, servable=60)

        assert answered(sandbox, name) == "ASIAOLD"  # for all who ask, 120 s are left when it is due
        hit_key, connection = wire.hit_key([name], sandbox.environ), wire.connect(str(sandbox.runtime))
        assert hit_key is not None
        assert connection is not None
        with closing(connection):
            word = connection.ask(b"get %s\n" % hit_key)[0]
        assert word == ("refresh" if name == "plain" else "hit")

    def test_it_is_detached_from_its_caller(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        plant_answer(sandbox)
        sts.mode = faults.slow(3)
        reader, writer = os.pipe()
        done = subprocess.run(
            [PROGRAM, "get", "developer"],
            env=sandbox.environ,
            capture_output=True,
            pass_fds=[writer],
            check=True,
        )
        os.close(writer)
        until(lambda: sts.calls)
        (pid,) = sandbox.refreshers()
        with open(reader, "rb") as pipe:
            os.set_blocking(reader, False)
            assert pipe.read() == b""

        assert done.stderr == b""
        assert os.getsid(pid) == pid
        standard = {str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in range(3)}
        assert standard == {os.devnull}
        refreshed(sandbox, sts)

    def test_a_locked_keyring_stays_locked(
        self,
        sandbox: Sandbox,
        sts: LoopbackSts,
        secret_service: SecretService,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        bus = sandbox.environ["DBUS_SESSION_BUS_ADDRESS"]
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus)
        sandbox.get("developer", CREDHELPER_AGENT="off")
        lock_keyring()
        sandbox.environ["DISPLAY"] = ":99"
        plant_answer(sandbox)
        with overheard(bus) as calls:
            assert answered(sandbox) == PLANTED
            refreshed(sandbox, sts)

        assert sts.count() == 2
        assert calls.count("member=SearchItems") == calls.count("member=Unlock") == 0
        assert keyring._collection_is_locked() is True


class TestFaults:
    def test_after_kill_another_hit_starts_another_one(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        sts.script.append(faults.slow(30))
        plant_answer(sandbox)
        answered(sandbox)
        until(lambda: sts.calls)
        kill_refresher(sandbox, signal.SIGKILL)

        assert answered(sandbox) == PLANTED
        refreshed(sandbox, sts)
        assert sts.count() == 2

    def test_after_a_refusal_it_is_tried_later(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        sts.script.append(faults.refuse("AccessDenied", "no"))
        plant_answer(sandbox)
        answered(sandbox)
        until(sandbox.audit)

        assert answered(sandbox) == PLANTED
        refreshed(sandbox, sts)
        assert [line["outcome"] for line in sandbox.audit()] == ["refused", "minted"]

    def test_while_sts_hangs_callers_are_answered(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        sts.script.append(faults.HANG)
        plant_answer(sandbox)
        answered(sandbox)
        until(lambda: sts.calls)

        answers = [answered(sandbox) for _ in range(10)]
        assert answers[0] == PLANTED
        assert set(answers) <= {PLANTED, *(issued["AccessKeyId"] for issued in sts.issued)}
        refreshed(sandbox, sts)

    def test_stopped_past_fresh_the_older_one_serves(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        """SIGSTOP while it holds the lease."""
        sts.script.append(faults.slow(30))
        plant_answer(sandbox, fresh=SECONDS - 4)
        old = time.monotonic() + 4
        answered(sandbox)
        until(lambda: sts.calls)
        kill_refresher(sandbox, signal.SIGSTOP)

        assert answered(sandbox) == PLANTED
        time.sleep(max(0.0, old - time.monotonic()))
        callers = [sandbox.start("get", "developer") for _ in range(5)]
        answers = {sandbox.finish(caller).envelope["AccessKeyId"] for caller in callers}
        assert (answers, sts.count()) == ({PLANTED}, 1)
        kill_refresher(sandbox, signal.SIGKILL)
        refreshed(sandbox, sts)
        assert sts.count() == 2

    def test_at_its_deadline_the_system_ends_it(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        sts.mode = faults.HANG
        plant_answer(sandbox)
        hurried = (
            "from credhelper.cli import main as cli\nfrom credhelper.cli import get\n"
            "get.RENEWAL_SPARE = 2 - int(get.GET_SECONDS)\n"
            "cli.main(['renew', 'developer'])\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", hurried],
            cwd=sandbox.home,
            env=sandbox.environ,
            capture_output=True,
            timeout=30,
            check=False,
        )

        assert sts.count() == 1
        assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGALRM, b"", b"")
        assert answered(sandbox) == PLANTED


def kill_refresher(sandbox: Sandbox, number: signal.Signals) -> None:
    """Send a signal to the one that there is."""
    (pid,) = sandbox.refreshers()
    os.kill(pid, number)
    until(lambda: number != signal.SIGKILL or not is_alive(pid))


def lock_keyring() -> None:
    """Lock the collection that the program uses, on the bus of this process."""
    import secretstorage

    with closing(secretstorage.dbus_init()) as connection:
        secretstorage.Collection(connection).lock()
    assert keyring._collection_is_locked() is True


@contextmanager
def overheard(bus: str) -> Iterator[list[str]]:
    """The words of every method call on a bus, once the block is over."""
    listener = subprocess.Popen(
        ["dbus-monitor", "--address", bus, "type=method_call"], stdout=subprocess.PIPE, text=True
    )
    assert listener.stdout is not None
    listener.stdout.readline()  # it listens now
    words: list[str] = []
    try:
        yield words
    finally:
        listener.terminate()
        words += listener.communicate()[0].split()
