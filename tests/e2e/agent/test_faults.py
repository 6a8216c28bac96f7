"""An agent that is killed, stopped, restarted or replaced during requests: no caller fails."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

import sts_faults as faults
from sandbox import PROFILES, PROGRAM, affordable, agents_in, until, write_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox import Sandbox
    from sts import LoopbackSts


@pytest.fixture(name="files", scope="module")
def _files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Fifty callers and a keyring daemon share few processors.
    return write_files(tmp_path_factory.mktemp("files"), PROFILES + "[keyring]\ntimeout = 20\n")


@pytest.fixture(name="sandbox")
def _sandbox(sandbox: Sandbox, files: Path):
    """A sandbox without an agent yet."""
    with sandbox.settled(files):
        yield sandbox


def kill(sandbox: Sandbox) -> None:
    """kill -9."""
    for pid in agents_in(sandbox.runtime):
        os.kill(pid, signal.SIGKILL)


def stop(sandbox: Sandbox) -> None:
    """SIGSTOP: it exists and never answers."""
    for pid in agents_in(sandbox.runtime):
        os.kill(pid, signal.SIGSTOP)


def restart(sandbox: Sandbox) -> None:
    """`agent stop`, `agent start`."""
    for verb in ("stop", "start"):
        assert sandbox.run("agent", verb).status == 0


def replace(sandbox: Sandbox) -> None:
    """Another agent, over a socket by which a supervisor replaces the first one's."""
    handed_over = sandbox.runtime / "agent-1.sock"
    handed_over.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(handed_over))
        handed_over.chmod(0o600)
        listener.listen(100)
        supervisor = "exec 3<&0; sh -c 'LISTEN_PID=$$ exec credhelper agent run </dev/null' &"
        environ = {**sandbox.environ, "LISTEN_FDS": "1"}
        subprocess.run(["sh", "-c", supervisor], env=environ, stdin=listener, check=True)


def fifty(sandbox: Sandbox) -> int:
    """Fifty callers, or as many as can do without the agent in 20 s: each loads all of the program."""
    return affordable(50, [PROGRAM, "status"], 20, sandbox.environ)


@pytest.mark.parametrize("fault", [kill, stop, restart, replace])
class TestFiftyCallers:
    def test_during_a_mint_all_get_its_answer(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service, fault: Callable[[Sandbox], None]
    ) -> None:
        count = fifty(sandbox)
        sts.mode = faults.slow(3)
        callers = [sandbox.start("get", "developer") for _ in range(count)]
        until(lambda: sts.calls)
        fault(sandbox)
        answers = {sandbox.finish(caller).stdout for caller in callers}

        assert len(answers) == 1
        assert sts.count() == 1

    def test_of_a_cached_session_all_get_it(
        self, sandbox, sts, secret_service, fault: Callable[[Sandbox], None]
    ) -> None:
        before, count = sandbox.get("developer"), fifty(sandbox)
        callers = [sandbox.start("get", "developer") for _ in range(count // 2)]
        fault(sandbox)
        callers += [sandbox.start("get", "developer") for _ in range(count // 2)]

        assert all(sandbox.finish(caller).envelope == before for caller in callers)
        assert sts.count() == 1


def test_without_a_keyring_a_kill_during_a_mint_costs_few_more(sandbox: Sandbox, sts: LoopbackSts) -> None:
    count = fifty(sandbox)
    sts.mode = faults.slow(2)
    callers = [sandbox.start("get", "developer") for _ in range(count)]
    until(lambda: sts.calls)
    kill(sandbox)

    assert all(sandbox.finish(caller).status == 0 for caller in callers)
    assert sts.count() <= 3
