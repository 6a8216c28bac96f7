"""Nothing that is installed, set or lying about redirects secrets: the pinned keyring is used, or none."""

from __future__ import annotations

import base64
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

MARKER = f"HIJACKMARKER{uuid.uuid4().hex[:16]}"  # of this process: others run these tests beside it
RIVALS = ("keyrings.alt", "keyrings.efile")
"""Both have a class that keyring's own discovery prefers to what the desktop offers, or falls back on."""

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
ENVIRONMENTS = (
    {},
    {"PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring"},
    {"PYTHON_KEYRING_BACKEND": "hostile.Keyring", "KEYRING_PROPERTY_PERSIST": "session"},
)


@pytest.fixture(scope="session")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment of its own where rivals of the OS keyring are installed."""
    place = tmp_path_factory.mktemp("crowded")
    home = installed_venv(build_wheel(place), place / "venv")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", home]
    subprocess.run([*pip, "install", *RIVALS], check=True, timeout=300)
    return home / "bin"


@pytest.fixture
def hostile(crowded: Path, sandbox: Sandbox, sts: LoopbackSts, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a hostile module leaves when it is imported; keyring itself is led to import it."""
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
    left.unlink()  # so the trap works, for those who walk into it
    return left


def places(sandbox: Sandbox) -> list[str]:
    """Where such a keyring would write."""
    return [str(sandbox.home), "/var/tmp"]


@pytest.mark.parametrize("environ", ENVIRONMENTS, ids=["rc", "alt", "named"])
def test_secrets_go_to_the_secret_service_and_nowhere_else(
    sandbox: Sandbox, sts: LoopbackSts, hostile: Path, secret_service: SecretService, environ: dict[str, str]
) -> None:
    """With a Secret Service, the second answer comes from it, and no file or process shows the secret."""
    assert secret_service.daemon is not None
    sandbox.environ["PYTHONPATH"] = str(hostile.parent)
    first = sandbox.get("developer", **environ)
    assert first["SecretAccessKey"].startswith(MARKER)
    assert sandbox.get("developer", **environ) == first
    assert sts.count() == 1
    assert find_secret(places(sandbox), MARKER) == []
    assert not hostile.exists()


@pytest.mark.parametrize("environ", ENVIRONMENTS, ids=["rc", "alt", "named"])
def test_without_a_keyring_nothing_is_kept(
    sandbox: Sandbox, sts: LoopbackSts, hostile: Path, environ: dict[str, str]
) -> None:
    """Without a Secret Service every call mints, and nothing is written in its place."""
    sandbox.environ["PYTHONPATH"] = str(hostile.parent)
    assert sandbox.get("developer", **environ) != sandbox.get("developer", **environ)
    assert sts.count() == 2
    assert find_secret(places(sandbox), MARKER) == []
    assert not hostile.exists()


class TestFindSecret:
    """The scan that the tests above rest on finds what it looks for."""

    @pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
    def test_base64_wherever_it_begins(self, tmp_path: Path, before: str) -> None:
        """A secret in the middle of a base64 text is found wherever it begins."""
        file = tmp_path / "file"
        file.write_bytes(base64.b64encode(f"{before}{MARKER}-and-more".encode()))
        assert find_secret([tmp_path], MARKER) == [str(file)]

    @pytest.mark.parametrize(
        "form", [MARKER.encode(), MARKER.encode().hex().encode()], ids=["clear", "hexadecimal"]
    )
    def test_clear_and_hexadecimal(self, tmp_path: Path, form: bytes) -> None:
        """A secret in clear or in hexadecimal is found in a directory below."""
        file = tmp_path / "below" / "file"
        file.parent.mkdir()
        file.write_bytes(b"\0\xff" + form)
        assert find_secret([tmp_path], MARKER) == [str(file)]

    @pytest.mark.skipif(sys.platform != "linux", reason="/proc")
    def test_processes(self) -> None:
        """A secret among another process's arguments, or in its environment, is found."""
        wait = "import sys; print(flush=True); sys.stdin.read()"
        for arguments, environ, name in ([MARKER], {}, "cmdline"), ([], {"SECRET": MARKER}, "environ"):
            with subprocess.Popen(
                [sys.executable, "-c", wait, *arguments],
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            ) as process:
                assert process.stdout is not None
                process.stdout.readline()
                assert find_secret([], MARKER) == [f"/proc/{process.pid}/{name}"]
                process.communicate()

    def test_nothing_where_there_is_nothing(self, tmp_path: Path) -> None:
        """Another text is not taken for the secret."""
        (tmp_path / "file").write_bytes(base64.b64encode(b"HIJACKMARKER0000 and the rest"))
        assert find_secret([tmp_path], MARKER) == []
