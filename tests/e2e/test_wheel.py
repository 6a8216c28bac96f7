"""Every verb as users have it: from the wheel, in a place of its own."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

import sandbox as machine
from installing import build_wheel, installed_venv
from sandbox import PROFILES

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Sandbox
    from sts import LoopbackSts

ROLE = "arn:aws:iam::222233334444:role/Developer"
RUNS = {
    "get": (["get", "developer"], b'{"Version": 1'),
    "login": (["login", "developer"], b"developer: 60 min"),
    "exec": (["exec", "developer", "--", "printenv", "CREDHELPER_PROFILE"], b"developer\n"),
    "exec --serve": (
        ["exec", "developer", "--serve", "--", "printenv", "CREDHELPER_PROFILE"],
        b"developer\n",
    ),
    "exec --accounts": (
        ["exec", "audit-root", "--accounts", "payments-prod", "--", "printenv", "CREDHELPER_ACCOUNT"],
        b'"stdout": "111122223333\\n"',
    ),
    "env": (["env", "developer"], b"export AWS_ACCESS_KEY_ID='"),
    "setup": (["setup", "--dry-run"], b"credential_process"),
    "status": (["status"], b"unlock-bucket"),
    "explain": (["explain", "unlock-bucket"], b"AssumeRoot"),
    "clear": (["clear", "developer"], b"nothing was cached"),
    "key": (["key", "list"], b""),
    "log": (["log"], b"no sessions are on record"),
    "agent": (["agent", "status"], b"no agent is running"),
    "completion": (["completion", "bash"], b"credhelper"),
    "assume-root": (
        ["assume-root", "--target-principal", "111122223333", "--task-policy-arn", "S3UnlockBucketPolicy"],
        b'{"Version": 1',
    ),
    "assume-role": (["assume-role", "--role-arn", ROLE, "--role-session-name", "me"], b'{"Version": 1'),
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with the programs of an environment into which the wheel was installed."""
    place = tmp_path_factory.mktemp("wheel")
    return installed_venv(build_wheel(place / "dist"), place / "venv") / "bin"


@pytest.fixture(name="sandbox")
def _sandbox(sandbox: Sandbox, installed: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The laptop, whose program is the one from the wheel."""
    monkeypatch.setattr(machine, "PROGRAM", str(installed / "credhelper"))
    sandbox.environ["PATH"] = f"{installed}:/usr/bin:/bin"
    sandbox.configure(PROFILES)
    return sandbox


@pytest.mark.parametrize("verb", RUNS)
def test_each_verb(sandbox: Sandbox, sts: LoopbackSts, verb: str) -> None:
    """It does what it is for, with what the wheel has brought along."""
    arguments, said = RUNS[verb]
    result = sandbox.run(*arguments, CREDHELPER_CONFIG=str(sandbox.config))

    assert result.status == 0, result
    assert said in result.stdout


def test_the_doctor(sandbox: Sandbox) -> None:
    """It finds a machine like this one fit, or says what is not."""
    done = subprocess.run(
        [machine.PROGRAM, "doctor", "--json"],
        env=sandbox.environ,
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert done.returncode in (0, 1)
    assert b'"findings"' in done.stdout


def test_what_comes_with_it(installed: Path) -> None:
    """The launcher, the man page, the example and the schema."""
    (packages,) = installed.parent.glob("lib/python*/site-packages/credhelper")

    assert (installed / "credhelper-get").exists()
    assert (installed.parent / "share/man/man1/credhelper.1").exists()
    assert (packages / "config.example.toml").exists()
    assert (packages / "config.schema.json").exists()
    assert (packages / "py.typed").exists()
