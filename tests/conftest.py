"""Fixtures for most tests: a loopback STS, a sandbox, and a real Secret Service."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import hypothesis
import pytest

import requirements
from disks import as_root
from organization import LoopbackAws
from sandbox import HAS_SECRET_SERVICE, PROFILES, Sandbox, SecretService
from sts import LoopbackSts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A busy machine is not a failure: the time of an example depends on the other tests.
hypothesis.settings.register_profile(
    "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy")


def pytest_configure() -> None:
    """Let programs under test be interrupted even if the tests run in the background."""
    if sys.platform != "win32":
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _no_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the developer's home, AWS settings and desktop from code in this process."""
    home = tmp_path_factory.mktemp("no-home")
    run = tmp_path_factory.getbasetemp()
    run = run.parent if "PYTEST_XDIST_WORKER" in os.environ else run
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(("AWS_", "CREDHELPER_", "XDG_", "DBUS_", "PYTHON_KEYRING_")):
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("PIP_CACHE_DIR", str(run / "pip"))  # shared by all processes of this run
        yield
    assert not list(home.rglob("*credhelper*")), "a test wrote into its own process's home"


@pytest.fixture
def sts() -> Iterator[LoopbackSts]:
    """A loopback STS."""
    with LoopbackSts() as server:
        yield server


@pytest.fixture
def sandbox(tmp_path: Path, sts: LoopbackSts) -> Sandbox:
    """A sandbox with the usual profiles and the loopback STS, without a keyring."""
    machine = Sandbox(tmp_path / "home")
    machine.configure(PROFILES, endpoint=sts.url)
    return machine


@pytest.fixture
def secret_service(sandbox: Sandbox) -> Iterator[SecretService]:
    """The sandbox's Secret Service, unlocked; required in CI."""
    if not HAS_SECRET_SERVICE:
        requirements.missing("gnome-keyring")
    with sandbox.secret_service() as service:
        yield service


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The path of a ~/.aws/config."""
    directory = tmp_path / "aws"
    directory.mkdir(mode=0o700)
    return directory / "config"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB, if mounting is permitted; required in CI."""
    directory = tmp_path / "small"
    directory.mkdir()
    options = f"size=64k,mode=700,uid={os.geteuid()}"
    mounted = as_root("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory))
    if mounted.returncode:
        give_up = pytest.fail if os.environ.get("CI") and sys.platform == "linux" else pytest.skip
        give_up(f"mounting is not permitted: {mounted.stderr.strip()}")
    yield directory
    assert as_root("umount", str(directory)).returncode == 0


@pytest.fixture
def aws(sandbox: Sandbox) -> Iterator[LoopbackAws]:
    """The rest of AWS, set up as AssumeRoot needs it; the sandbox uses it."""
    with LoopbackAws().serving() as server:
        sandbox.environ |= server.environ()
        yield server
