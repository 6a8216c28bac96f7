"""An agent that dies, hangs, is restarted or replaced under its callers: none of them fails."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

import sts_faults as faults
from sandbox import PROFILES, agents_in, until, write_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox import Sandbox
    from sts import LoopbackSts


@pytest.fixture(name="files", scope="module")
def _files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # The time for the keyring is for fifty callers and a keyring daemon that share few processors.
    return write_files(tmp_path_factory.mktemp("files"), PROFILES + "[keyring]\ntimeout = 20\n")


@pytest.fixture(name="sandbox")
def _sandbox(sandbox: Sandbox, files: Path):
    """The laptop, on which no agent is running yet."""
    with sandbox.settled(files):
        yield sandbox


def kill(sandbox: Sandbox) -> None:
    """kill -9."""
    for pid in agents_in(sandbox.runtime):
        os.kill(pid, signal.SIGKILL)


def stop(sandbox: Sandbox) -> None:
    """SIGSTOP: it is there, and never answers."""
    for pid in agents_in(sandbox.runtime):
        os.kill(pid, signal.SIGSTOP)


def restart(sandbox: Sandbox) -> None:
    """`agent stop`, `agent start`."""
    for verb in ("stop", "start"):
        assert sandbox.run("agent", verb).status == 0


def replace(sandbox: Sandbox) -> None:
    """Another agent, over a socket that a supervisor has put in the place of the first one's."""
    handed_over = sandbox.runtime / "agent-1.sock"
    handed_over.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(handed_over))
        handed_over.chmod(0o600)
        listener.listen(100)
        supervisor = "exec 3<&0; sh -c 'LISTEN_PID=$$ exec credhelper agent run </dev/null' &"
        environ = {**sandbox.environ, "LISTEN_FDS": "1"}
        subprocess.run(["sh", "-c", supervisor], env=environ, stdin=listener, check=True)


@pytest.mark.parametrize("fault", [kill, stop, restart, replace])
class TestUnderFiftyCallers:
    def test_while_they_wait_for_a_mint(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service, fault: Callable[[Sandbox], None]
    ) -> None:
        """Fifty callers, and STS takes 3 s: whatever becomes of the agent, one mint answers all."""
        sts.mode = faults.slow(3)
        callers = [sandbox.start("get", "developer") for _ in range(50)]
        until(lambda: sts.calls)
        fault(sandbox)
        answers = {sandbox.finish(caller).stdout for caller in callers}

        assert len(answers) == 1
        assert sts.count() == 1

    def test_while_it_answers(self, sandbox, sts, secret_service, fault: Callable[[Sandbox], None]) -> None:
        """Fifty callers of what it has: they are answered with just that."""
        before = sandbox.get("developer")
        callers = [sandbox.start("get", "developer") for _ in range(25)]
        fault(sandbox)
        callers += [sandbox.start("get", "developer") for _ in range(25)]

        assert all(sandbox.finish(caller).envelope == before for caller in callers)
        assert sts.count() == 1


def test_without_a_keyring_its_death_costs_mints_alone(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """Killed during the mint, and nothing else remembers: fifty answers, and not a mint for each."""
    sts.mode = faults.slow(2)
    callers = [sandbox.start("get", "developer") for _ in range(50)]
    until(lambda: sts.calls)
    kill(sandbox)

    assert all(sandbox.finish(caller).status == 0 for caller in callers)
    assert sts.count() <= 3
