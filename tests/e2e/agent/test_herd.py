"""Many callers at once: one mint for all of them, and an answer for each."""

from __future__ import annotations

import signal
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from credhelper import expiry, wire
from credhelper.agent.admin import AgentAdmin
from credhelper.agent.client import Lease
from credhelper.credentials import Clocks, Credentials

import sts_faults as faults
from sandbox import PROFILES, affordable, agents_in, connections_in, until, write_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox import Result, Sandbox
    from sts import LoopbackSts

TEN = range(10)
ROLE = "arn:aws:iam::222233334444:role/"
CONFIG = "\n".join(
    [
        PROFILES,
        "[keyring]\ntimeout = 20",
        f'[profiles.memory]\nrole_arn = "{ROLE}Memory"\ncache = "memory"',
        f'[profiles.uncached]\nrole_arn = "{ROLE}Uncached"\ncache = false',
        f'[profiles.slow]\nrole_arn = "{ROLE}Slow"\nread_timeout = 10',
        f'[profiles.shared]\nrole_arn = "{ROLE}Shared"',
        f'[profiles.short]\nrole_arn = "{ROLE}Short"\nduration_seconds = 900',
        *(f'[profiles.single-{n}]\nrole_arn = "{ROLE}Single{n}"' for n in TEN),
        *(f'[profiles.hop-{n}]\nrole_arn = "{ROLE}Hop{n}"\nsource_profile = "shared"' for n in TEN),
    ]
)


@pytest.fixture(name="files", scope="module")
def _files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("files"), CONFIG)


@pytest.fixture(name="quiet_files", scope="module")
def _quiet_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("quiet"), CONFIG + '\n[agent]\nmode = "off"\n')


@pytest.fixture(name="sandbox")
def _sandbox(sandbox: Sandbox, files: Path):
    """A sandbox with all these profiles, without an agent yet."""
    with sandbox.settled(files):
        yield sandbox


def herd(sandbox: Sandbox, count: int, *names: str) -> list[Result]:
    """That many callers at once (fewer on a busy machine), of each profile in turn."""
    count = affordable(count, [sys.executable, "-IS", "-c", "pass"], 5)
    return gather(sandbox, [sandbox.start("get", names[number % len(names)]) for number in range(count)])


def gather(sandbox: Sandbox, callers: list[Any]) -> list[Result]:
    """How each of them ended."""
    return [sandbox.finish(caller) for caller in callers]


def keys(results: list[Result]) -> set[str]:
    """The access key ids of all answers; fails where one is none."""
    assert {result.status for result in results} == {0}, [result for result in results if result.status]
    return {result.envelope["AccessKeyId"] for result in results}


class TestCold:
    @pytest.mark.parametrize("profile", ["developer", "unlock-bucket", "memory"])
    def test_two_hundred_share_a_mint_and_an_agent(
        self, sandbox: Sandbox, sts: LoopbackSts, profile: str
    ) -> None:
        assert len(keys(herd(sandbox, 200, profile))) == 1
        assert sts.count() == 1
        assert len(agents_in(sandbox.runtime)) == 1

    @pytest.mark.parametrize("profile", ["developer", "memory"])
    def test_two_hundred_callers_with_a_keyring_mint_and_store_once(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service, profile: str
    ) -> None:
        assert len(keys(herd(sandbox, 200, profile))) == 1
        assert sts.count() == 1
        assert (sandbox.state / "items.jsonl").exists() == (profile == "developer")

    def test_callers_of_ten_profiles_get_their_own(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        names = [f"single-{number}" for number in TEN]
        results = herd(sandbox, 200, *names)
        assert len(keys(results)) == sts.count() == 10
        for offset in TEN:
            assert len(keys(results[offset::10])) == 1

    def test_ten_roles_share_one_mint_of_their_source(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        assert len(keys(herd(sandbox, 200, *(f"hop-{number}" for number in TEN)))) == 10
        assert sts.count() == 11

    def test_a_mint_of_5_s_is_waited_for(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        sts.mode = faults.slow(5)
        assert len(keys(herd(sandbox, 60, "slow"))) == 1
        assert sts.count() == 1

    @pytest.mark.parametrize("profile", ["developer", "hop-1"])
    def test_a_refusal_is_the_answer_for_all(self, sandbox: Sandbox, sts: LoopbackSts, profile: str) -> None:
        sts.mode = faults.Mode("slow", error=("AccessDenied", "no", 403), delay=2)
        results = herd(sandbox, 200, profile)
        assert {(result.status, result.stderr) for result in results} == {(4, results[0].stderr)}
        assert "not allowed: sts:AssumeRole" in results[0].stderr
        assert sts.count() <= max(1, len(results) // 20)  # who comes after the answer asks again


class TestNothingToShare:
    def test_fifty_callers_with_nothing_to_share_mint_each_and_start_no_agent(
        self, sandbox: Sandbox, sts: LoopbackSts, quiet_files: Path
    ) -> None:
        """Half of them with `cache = false`, half with `[agent] mode = "off"` and without a keyring."""
        quiet = {"CREDHELPER_CONFIG": str(quiet_files / "config.toml"), "CREDHELPER_AGENT": ""}
        callers = [sandbox.start("get", "uncached") for _ in range(25)]
        callers += [sandbox.start("get", "developer", **quiet) for _ in range(25)]
        assert len(keys(gather(sandbox, callers))) == sts.count() == 50
        assert agents_in(sandbox.runtime) == []

    def test_no_cache_neither_reads_nor_replaces_a_session(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        cached = sandbox.get("developer")
        callers = [sandbox.start("get", "developer", "--no-cache") for _ in range(5)]
        assert len(keys(gather(sandbox, callers)) | {cached["AccessKeyId"]}) == 6
        assert sandbox.get("developer") == cached


class TestMixed:
    def test_with_and_without_the_agent_they_share(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service
    ) -> None:
        callers = [
            sandbox.start("get", "developer", CREDHELPER_AGENT="off" if number % 2 else "auto")
            for number in range(40)
        ]
        assert len(keys(gather(sandbox, callers))) == 1
        assert sts.count() == 1

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
    def test_after_kill_or_interrupt_of_the_minter_its_waiters_mint_once(
        self, sandbox: Sandbox, sts: LoopbackSts, how: signal.Signals
    ) -> None:
        sts.script.append(faults.slow(30))
        minter = sandbox.start("get", "developer")
        until(lambda: sts.calls)
        waiting = [sandbox.start("get", "developer") for _ in range(12)]
        until(lambda: connections_in(sandbox.runtime) == 13)
        minter.send_signal(how)
        minter.communicate()
        assert len(keys(gather(sandbox, waiting))) == 1
        assert sts.count() == 2


class TestOutage:
    def test_in_an_outage_all_get_the_older_session(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        """Call after call for half of the pause between two attempts: one attempt."""
        cached = sandbox.get("short")
        self._age(sandbox, 400)
        sts.mode = faults.status_xml(503)
        answers: list[Result] = []
        ends = time.monotonic() + expiry.BACK_OFF / 2

        def ask_again_and_again() -> None:
            while time.monotonic() < ends:
                answers.append(sandbox.run("get", "short"))
                time.sleep(0.075)

        _all_at_once([ask_again_and_again] * 4)
        assert keys(answers) == {cached["AccessKeyId"]}
        assert len(answers) > 30
        assert [line["outcome"] for line in sandbox.audit()] == ["minted", "refused"]

    @staticmethod
    def _age(sandbox: Sandbox, seconds: float) -> None:
        """Make the session in the agent older by these seconds."""
        connection = wire.connect(str(sandbox.runtime))
        status = AgentAdmin(str(sandbox.runtime)).status()
        assert connection is not None
        assert status is not None
        key = status[1][0].key.encode()
        found = Credentials.from_json(connection.ask(b"get %s\n" % key)[2].decode())
        connection.ask(b"clear %s\n" % key)
        assert found is not None
        assert found.minted.boot is not None
        minted = Clocks(found.minted.wall - seconds, found.minted.boot - seconds, found.minted.boot_id)
        older = replace(found, expiration=int(found.expiration - seconds), minted=minted)
        thresholds = expiry.thresholds(older, expiry.read_clocks(), None, ahead=True, failed=False)
        lease = Lease(wire.PendingRequest(connection, connection.ask(b"mint %s\n" % key)[1]))
        assert lease.put(older.to_json().encode(), thresholds, key.decode(), "short")
        connection.close()


class TestEdits:
    def test_an_edited_role_is_never_answered_with_the_old_one(
        self, sandbox: Sandbox, sts: LoopbackSts, tmp_path: Path
    ) -> None:
        """A thousand calls from eight loops; now and then it is edited, and soon after once more."""
        mine = write_files(tmp_path / "mine", _role_in(0))
        sandbox.use_files(mine)
        sandbox.settle()
        calls: list[tuple[int, int, int]] = []
        begun, done = [0], [0]

        def ask_again_and_again() -> None:
            while len(calls) < 1000:
                at_least = done[0]
                answered = int(sandbox.get("developer")["AccountId"])
                calls.append((at_least, answered, begun[0]))

        def edit() -> None:
            begun[0] += 1
            (mine / "next").write_text(_role_in(begun[0]))
            (mine / "next").rename(mine / "config.toml")
            done[0] = begun[0]

        def edit_now_and_then() -> None:
            for count in range(100, 900, 200):
                until(lambda count=count: len(calls) >= count, seconds=120)
                edit()
                time.sleep(0.7)
                edit()

        _all_at_once([*[ask_again_and_again] * 8, edit_now_and_then])
        assert [call for call in calls if not call[0] <= call[1] <= call[2]] == []
        assert {0, 2, 4, 6, 8} <= {answered for _, answered, _ in calls}
        assert sts.count() < len(calls) / 4


def _role_in(number: int) -> str:
    return PROFILES.replace("222233334444", f"{number:012}")


def _all_at_once(works: list[Callable[[], None]]) -> None:
    """Do them in a thread each; fails if one of them does."""
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
