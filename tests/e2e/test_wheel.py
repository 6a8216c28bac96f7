"""The wheel: its contents, and every command of an installation of its own."""

from __future__ import annotations

import zipfile
from importlib import metadata

import pytest

import credhelper

import sandbox as machine
from installing import ROOT, build_wheel, installed_venv
from sandbox import PROFILES

RUNS = {
    "get developer": b'{"Version": 1',
    "login developer": b"developer: 60 min",
    "exec developer -- printenv CREDHELPER_PROFILE": b"developer\n",
    "exec developer --serve -- printenv CREDHELPER_PROFILE": b"developer\n",
    "exec audit-root --accounts payments-prod -- printenv CREDHELPER_ACCOUNT": b'"stdout": "111122223333\\n"',
    "env developer": b"export AWS_ACCESS_KEY_ID='",
    "setup --dry-run": b"credential_process",
    "status": b"unlock-bucket",
    "explain unlock-bucket": b"AssumeRoot",
    "clear developer": b"nothing was cached",
    "key list": b"",
    "log": b"no sessions are on record",
    "agent status": b"no agent is running",
    "completion bash": b"credhelper",
    "assume-root --target-principal 111122223333 --task-policy-arn S3UnlockBucketPolicy": b'{"Version": 1',
    "assume-role --role-arn arn:aws:iam::222233334444:role/R --role-session-name me": b'{"Version": 1',
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout."""
    return build_wheel(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The programs of an environment with the wheel."""
    return installed_venv(wheel, tmp_path_factory.mktemp("wheel") / "venv") / "bin"


@pytest.fixture(name="sandbox")
def _sandbox(sandbox, installed, monkeypatch):
    """The sandbox with the program from the wheel."""
    monkeypatch.setattr(machine, "PROGRAM", str(installed / "credhelper"))
    sandbox.environ["PATH"] = f"{installed}:/usr/bin:/bin"
    sandbox.configure(PROFILES)
    return sandbox


@pytest.mark.parametrize(("command", "output"), RUNS.items())
def test_each_command_works_from_the_wheel(sandbox, sts, command, output):
    result = sandbox.run(*command.split(), CREDHELPER_CONFIG=str(sandbox.config))
    assert result.status == 0, result
    assert output in result.stdout


def test_doctor_reports_from_the_wheel(sandbox):
    done = sandbox.run_unchecked("doctor", "--json")
    assert done.status in (0, 1)
    assert b'"findings"' in done.stdout


def test_the_version_is_the_one_of_the_source():
    assert metadata.version("credhelper") == credhelper.__version__


def test_the_wheel_has_what_the_program_needs_and_no_tests(wheel, installed):
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "credhelper").rglob("*.py")}
    scripts = (f"completions/credhelper.{shell}" for shell in ("bash", "zsh", "fish"))
    extras = ("config.schema.json", "config.example.toml", "py.typed", *scripts)
    assert modules | {f"credhelper/{name}" for name in extras} <= names
    stem = f"credhelper-{credhelper.__version__}"
    assert {name.split("/")[0] for name in names} == {"credhelper", f"{stem}.dist-info", f"{stem}.data"}
    data = {"scripts/credhelper-get", "data/share/man/man1/credhelper.1"}
    assert {name for name in names if ".data/" in name} == {f"{stem}.data/{name}" for name in data}
    (package,) = installed.parent.glob("lib/python*/site-packages/credhelper")
    assert all((package / name).exists() for name in extras)
    assert (installed / "credhelper-get").exists()
    assert (installed.parent / "share/man/man1/credhelper.1").exists()
