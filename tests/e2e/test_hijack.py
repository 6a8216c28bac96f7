"""No package, variable or file redirects secrets: credhelper uses the pinned keyring or none."""

from __future__ import annotations

import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

import sandbox as sandboxes
from installing import build_wheel, installed_venv
from secrets_scan import find_secret

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Sandbox, SecretService
    from sts import LoopbackSts

MARKER = f"HIJACKMARKER{uuid.uuid4().hex[:16]}"  # unique: other processes run these tests, too
RIVALS = ("keyrings.alt", "keyrings.efile")
"""Packages with a class that keyring's own discovery may prefer, or fall back on."""

HOSTILE = """\
from pathlib import Path
from keyring.backend import KeyringBackend
Path(__file__).with_name("imported").touch()
class Keyring(KeyringBackend):
    priority = 99
    def get_password(self, service, username):
        return None
    def set_password(self, service, username, password):
        Path(__file__).with_name("stolen").write_text(password)
"""
each_environment = pytest.mark.parametrize(
    "environ",
    [
        {},
        {"PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring"},
        {"PYTHON_KEYRING_BACKEND": "hostile.Keyring", "KEYRING_PROPERTY_PERSIST": "session"},
    ],
    ids=["rc", "alt", "named"],
)


@pytest.fixture(scope="session")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment in which other keyring backends are installed."""
    place = tmp_path_factory.mktemp("crowded")
    home = installed_venv(build_wheel(place), place / "venv")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", home]
    subprocess.run([*pip, "install", *RIVALS], check=True, timeout=300)
    return home / "bin"


@pytest.fixture
def hostile(crowded: Path, sandbox: Sandbox, sts: LoopbackSts, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a hostile module writes on import; keyring itself imports it here."""
    monkeypatch.setattr(sandboxes, "PROGRAM", str(crowded / "credhelper"))
    sts.secret_marker = MARKER
    directory = sandbox.home / "hostile"
    directory.mkdir()
    (directory / "hostile.py").write_text(HOSTILE)
    config = sandbox.home / ".config/python_keyring/keyringrc.cfg"
    config.parent.mkdir(parents=True)
    config.write_text(f"[backend]\ndefault-keyring=hostile.Keyring\nkeyring-path={directory}\n")
    ask = [crowded / "python", "-c", "import keyring; keyring.get_keyring()"]
    subprocess.run(ask, env=sandbox.environ, check=True)
    left = directory / "imported"
    left.unlink()  # the trap works
    return left


@each_environment
def test_secrets_go_to_the_secret_service_and_nowhere_else(
    sandbox: Sandbox, sts: LoopbackSts, hostile: Path, secret_service: SecretService, environ: dict[str, str]
) -> None:
    assert secret_service.daemon is not None
    sandbox.environ["PYTHONPATH"] = str(hostile.parent)
    first = sandbox.get("developer", **environ)
    assert first["SecretAccessKey"].startswith(MARKER)
    assert sandbox.get("developer", **environ) == first
    assert sts.count() == 1
    assert find_secret([sandbox.home, "/var/tmp"], MARKER) == []
    assert not hostile.exists()


@each_environment
def test_without_a_keyring_every_call_mints_and_nothing_is_written(
    sandbox: Sandbox, sts: LoopbackSts, hostile: Path, environ: dict[str, str]
) -> None:
    sandbox.environ["PYTHONPATH"] = str(hostile.parent)
    assert sandbox.get("developer", **environ) != sandbox.get("developer", **environ)
    assert sts.count() == 2
    assert find_secret([sandbox.home, "/var/tmp"], MARKER) == []
    assert not hostile.exists()
