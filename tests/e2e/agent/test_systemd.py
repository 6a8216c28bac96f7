"""The systemd units: checked by systemd, as restricted as a user's can be, and in a real user manager."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from credhelper import wire
from credhelper.agent.admin import AgentAdmin

import requirements
from sandbox import PROGRAM, agents_in, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Sandbox
    from sts import LoopbackSts

UNITS = Path(__file__).parents[3] / "packaging/systemd"
EXPOSURE = 55
"""Tenths, of 100 at most. It is judged like a system's service: root's capabilities count for it, although
it has none, since to give them up ends a user's service before it begins."""

ENDS_IT = ("CapabilityBoundingSet", "AmbientCapabilities", "PrivateDevices", "ProtectClock")
ENDS_IT += ("ProtectKernelLogs", "ProtectKernelModules", "PrivateUsers", "SupplementaryGroups")


@pytest.fixture
def units(sandbox: Sandbox) -> Path:
    """The units in the place where a user puts theirs, and the program where pipx and uv put it."""
    place = sandbox.home / ".config/systemd/user"
    shutil.copytree(UNITS, place)
    program = sandbox.home / ".local/bin/credhelper"
    program.parent.mkdir(parents=True)
    program.symlink_to(PROGRAM)
    return place


def analyzed(sandbox: Sandbox, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What systemd says of files as units of the sandbox's user."""
    command = [requirements.program("systemd-analyze"), "--user", "--no-pager", *map(str, arguments)]
    return subprocess.run(command, env=sandbox.environ, capture_output=True, text=True, check=False)


class TestUnits:
    def test_systemd_finds_no_mistake(self, sandbox: Sandbox, units: Path) -> None:
        found = analyzed(sandbox, "verify", *sorted(units.iterdir()))
        assert (found.stdout + found.stderr, found.returncode) == ("", 0)

    @pytest.mark.parametrize("name", ["credhelper-agent.service", "credhelper-agent.socket"])
    def test_each_key_is_known_since_misspelt_it_is_reported(
        self, sandbox: Sandbox, units: Path, name: str
    ) -> None:
        text = (UNITS / name).read_text()
        for key in set(re.findall(r"^(\w+)=", text, re.MULTILINE)):
            (units / name).write_text(re.sub(f"^{key}=", f"{key}x=", text, flags=re.MULTILINE))
            assert f"{key}x" in analyzed(sandbox, "verify", units / name).stderr

    def test_exposure_is_rated_no_worse_than_before(self, sandbox: Sandbox, units: Path) -> None:
        judge = ("security", "--offline=true", f"--threshold={EXPOSURE}", units / "credhelper-agent.service")
        found = analyzed(sandbox, *judge)
        assert found.returncode == 0, found.stdout + found.stderr
        text = (UNITS / "credhelper-agent.service").read_text()
        judge[-1].write_text(text.replace("RestrictNamespaces=yes\n", ""))
        assert analyzed(sandbox, *judge).returncode == 1

    def test_keys_that_end_a_service_of_an_unprivileged_manager_are_not_used(self) -> None:
        text = (UNITS / "credhelper-agent.service").read_text()
        assert [key for key in ENDS_IT if f"\n{key}=" in text] == []


class TestHandedOver:
    """A socket on which systemd listens until the agent is needed."""

    @pytest.fixture
    def directory(self, sandbox: Sandbox) -> Iterator[Path]:
        """The runtime directory, made by the test, and a configuration old enough for a hit."""
        with sandbox.use_agent() as directory:
            directory.mkdir(mode=0o700)
            sandbox.settle()
            yield directory

    @contextmanager
    def listening(self, sandbox: Sandbox, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
        """What becomes the agent with the first connection, as a socket unit has it."""
        path = directory / wire.SOCKET
        before = path.stat().st_ino if path.exists() else None
        passed = [f"--setenv={name}={value}" for name, value in sandbox.environ.items()]
        activate = [requirements.program("systemd-socket-activate"), "-l", str(path), *passed]
        with subprocess.Popen([*activate, PROGRAM, "agent", "run"], stderr=subprocess.DEVNULL) as process:
            try:
                until(lambda: path.exists() and path.stat().st_ino != before)
                yield process
            finally:
                process.kill()

    def test_it_caches_and_leaves_the_socket(
        self, sandbox: Sandbox, sts: LoopbackSts, directory: Path
    ) -> None:
        with self.listening(sandbox, directory) as process:
            until(lambda: answers(directory) == process.pid)
            first = sandbox.get("developer")
            assert sandbox.get("developer") == first
            assert sts.count() == 1
            assert sandbox.run("agent", "stop").status == 0
            assert process.wait(30) == 0
        assert (directory / wire.SOCKET).is_socket()

    def test_it_replaces_an_agent_that_ran(self, sandbox: Sandbox, sts: LoopbackSts, directory: Path) -> None:
        first = sandbox.get("developer")
        assert len(agents_in(directory)) == 1
        with self.listening(sandbox, directory) as process:
            until(lambda: answers(directory) == process.pid)
            assert (directory / wire.LOCK).read_text() == f"{process.pid}\n"
            until(lambda: agents_in(directory) == [process.pid])
            second = sandbox.get("developer")
            assert sandbox.get("developer") == second != first
            assert sts.count() == 2
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        assert (directory / wire.SOCKET).is_socket()


def answers(directory: Path) -> int | None:
    """The process id of the agent, once it does."""
    try:
        found = AgentAdmin(str(directory)).status()
    except Exception:  # noqa: BLE001 - not yet
        return None
    return found[0] if found else None


BOOT = """\
set -e
mount -t tmpfs tmpfs /run
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
place=/sys/fs/cgroup/credhelper-$$
mkdir $place
came_from=$(sed -n s/^0:://p /proc/self/cgroup)
echo $$ > $place/cgroup.procs
mkdir -p /run/systemd/system
mkdir -m 700 -p /run/user /run/user/0
trap : TERM
"$@" &
echo booted
wait $! || wait $! || :
echo $$ > /sys/fs/cgroup$came_from/cgroup.procs
find $place -depth -type d -exec rmdir {} +
"""


class UserManager:
    """A user's systemd in mounts and control groups of its own."""

    def __init__(self, sandbox: Sandbox, before: list[str]) -> None:
        found = [path for path in MANAGERS if os.access(path, os.X_OK)]
        program = found[0] if found else requirements.program("systemd")
        self.environ = {**sandbox.environ, "XDG_RUNTIME_DIR": "/run/user/0", "CREDHELPER_AGENT": "auto"}
        inside = ["unshare", "--mount", "--propagation=private", "sh", "-c", BOOT, "sh"]
        inside += [*before, program, "--user"]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(inside, env=self.environ, **output)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"booted\n":
            self._process.wait()
            pytest.skip("mounts of one's own are not allowed here")
        try:
            until(lambda: self.run("systemctl", "--user", "is-active", "basic.target") == "active\n")
        except BaseException:
            self.stop()
            raise

    def run(self, *command: str) -> str:
        enter = ["nsenter", f"--target={self._process.pid}", "--mount", "--", *command]
        found = subprocess.run(enter, env=self.environ, capture_output=True, text=True, check=False)
        return found.stdout

    def stop(self) -> None:
        """End it and all that it has started."""
        self.run("systemctl", "--user", "exit")
        self._process.communicate(timeout=60)


MANAGERS = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")


@contextmanager
def managing(sandbox: Sandbox, *before: str) -> Iterator[UserManager]:
    """A user's systemd, started by way of a command."""
    if os.geteuid() != 0:
        pytest.skip("needs root for mounts of its own")
    manager = UserManager(sandbox, list(before))
    try:
        yield manager
    finally:
        manager.stop()


@pytest.fixture
def manager(sandbox: Sandbox, units: Path) -> Iterator[UserManager]:
    """One that knows the units and, as usual, has no privileges."""
    sandbox.settle()
    with managing(sandbox, "setpriv", "--bounding-set=-all", "--inh-caps=-all") as manager:
        yield manager


@pytest.fixture
def able_manager(sandbox: Sandbox, units: Path) -> Iterator[UserManager]:
    """One that can make namespaces."""
    with managing(sandbox) as manager:
        yield manager


class TestUserManager:
    def test_the_agent_of_the_units_outlives_a_service(self, manager: UserManager, sts: LoopbackSts) -> None:
        """An agent that a service starts ends with it; the units' own remembers what a service has minted."""
        names = [f"--setenv={name}" for name in manager.environ]
        service = ("systemd-run", "--user", "--pipe", "--wait", "--quiet", *names, PROGRAM)
        assert manager.run(*service, "get", "developer") != manager.run(*service, "get", "developer")
        assert sts.count() == 2
        started(manager, "socket")
        first = manager.run(*service, "get", "developer")
        assert first.startswith('{"Version":')
        assert manager.run(*service, "get", "developer") == first
        assert sts.count() == 3

    def test_the_restrictions_are_in_force(self, manager: UserManager) -> None:
        status = Path(f"/proc/{started(manager, 'service')}/status").read_text()
        for fact in ("NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"):
            assert f"\n{fact}\n" in status

    def test_with_namespaces_it_writes_to_its_socket_only(
        self, able_manager: UserManager, units: Path
    ) -> None:
        (units / "credhelper-agent.service.d").mkdir()
        override = units / "credhelper-agent.service.d/home.conf"
        override.write_text("[Service]\nPrivateTmp=no\n")  # HOME is there
        able_manager.run("systemctl", "--user", "daemon-reload")
        mounts = Path(f"/proc/{started(able_manager, 'socket')}/mounts").read_text()
        assert re.search(r"^\S+ / \S+ ro,", mounts, re.MULTILINE)
        assert re.search(r"^\S+ /run/user/0/credhelper \S+ rw,", mounts, re.MULTILINE)


def started(manager: UserManager, unit: str) -> int:
    """Start one unit, and the other with it; returns the process id of the agent that answers."""
    assert manager.run("systemctl", "--user", "start", f"credhelper-agent.{unit}") == ""
    until(lambda: manager.run(PROGRAM, "agent", "status").startswith("running"))
    pid = manager.run("systemctl", "--user", "show", "-P", "MainPID", "credhelper-agent.service").strip()
    assert f"process {pid}" in manager.run(PROGRAM, "agent", "status")
    assert manager.run("systemctl", "--user", "is-active", "credhelper-agent.socket") == "active\n"
    assert manager.run("stat", "-c", "%a", f"/run/user/0/credhelper/{wire.SOCKET}") == "600\n"
    return int(pid)
