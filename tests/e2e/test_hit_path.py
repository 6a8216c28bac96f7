"""A cached answer from the agent: what it loads, and how its bytes get out, in an installation by pip."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from credhelper import processes, wire

from installing import build_wheel, installed_venv, packages_of
from sandbox import PROFILES, Sandbox
from sts import LoopbackSts

if TYPE_CHECKING:
    from collections.abc import Iterator

OF_A_HIT = {
    *("gc", "os", "stat", "_stat", "posixpath", "genericpath", "_collections_abc"),
    *("credhelper", "credhelper.start", "credhelper.wire", "_socket"),
}
NOT_FOR_THE_WIRE = {"close_memory", "find", "is_ignored", "CaughtSignals", "signal_group"}
"""Of `processes`: only what starts the agent and the refresher is on the way of a miss."""
OF_THE_WIRE = {"os", "stat", "sys", "time", "_socket", "_thread", "fcntl", "select", "credhelper"}

ROLE = "arn:aws:iam::222233334444:role"
CONFIG = f"{PROFILES}\n[profiles.verbose]\nrole_arn = '{ROLE}/Verbose'\nminimum_session_token_size = 4096\n"

LISTS_IMPORTS = """\
#!/bin/sh
exec '{python}' -X importtime "$@"
"""


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that has the wheel of this checkout."""
    home = tmp_path_factory.mktemp("hit")
    return installed_venv(build_wheel(home), home / "venv")


@pytest.fixture(scope="module")
def machine(venv: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox whose agent has an answer for `developer` and a longer one for `verbose`."""
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox") / "home")
    with LoopbackSts() as sts, sandbox.use_agent():
        sandbox.configure(CONFIG, endpoint=sts.url)
        sandbox.settle()
        for profile in ("developer", "verbose"):
            subprocess.run(
                through_the_launcher(venv, profile),
                env=sandbox.environ,
                check=True,
                stdout=subprocess.DEVNULL,
            )
        minted = sts.count()
        yield sandbox
        assert sts.count() == minted


def through_the_launcher(venv: Path, *arguments: str) -> list[str]:
    """The answer as `credential_process` has it."""
    return [str(venv / "bin/credhelper-get"), *arguments]


def through_the_file(venv: Path, *arguments: str) -> list[str]:
    """The answer by what the launcher runs."""
    program = packages_of(venv) / "credhelper/__main__.py"
    return [str(venv / "bin/python"), "-IS", str(program), "get", *arguments]


FORMS = pytest.mark.parametrize("form", [through_the_launcher, through_the_file], ids=["launcher", "file"])


def imported(command: list[str], **options: Any) -> set[str]:
    """The modules that an interpreter with `-X importtime` lists."""
    done = subprocess.run(command, capture_output=True, check=True, text=True, **options)
    return set(re.findall(r"^import time:[^|]*\|[^|]*\| +([\w.]+)$", done.stderr, re.MULTILINE))


class TestImports:
    """A hit loads ten modules on top of what every interpreter loads, and never `site`."""

    @pytest.fixture
    def listing(self, venv: Path, tmp_path: Path) -> Path:
        """The installation with an interpreter that lists what it imports."""
        home = tmp_path / "listing"
        (home / "bin").mkdir(parents=True)
        (home / "lib").symlink_to(venv / "lib")
        (home / "pyvenv.cfg").touch()
        shutil.copy(venv / "bin/credhelper-get", home / "bin")
        python = home / "bin/python"
        python.write_text(LISTS_IMPORTS.format(python=venv / "bin/python"))
        python.chmod(0o755)
        return home

    @FORMS
    def test_of_a_hit_are_exactly_these(self, form: Any, listing: Path, machine: Sandbox) -> None:
        bare = imported([str(listing / "bin/python"), "-IS", "-c", "pass"])
        assert "codecs" in bare
        assert imported(form(listing, "developer"), env=machine.environ) - bare == OF_A_HIT

    @FORMS
    def test_of_a_hit_without_a_home_are_the_same(self, form: Any, listing: Path, machine: Sandbox) -> None:
        files = {"CREDHELPER_CONFIG": machine.config, "AWS_CONFIG_FILE": machine.home / ".aws/config"}
        files |= {
            "AWS_SHARED_CREDENTIALS_FILE": machine.home / ".aws/credentials",
            "XDG_STATE_HOME": machine.home,
        }
        environ = {**machine.environ, **{name: str(path) for name, path in files.items()}}
        del environ["HOME"]
        bare = imported([str(listing / "bin/python"), "-IS", "-c", "pass"])
        subprocess.run(form(listing, "developer"), env=environ, capture_output=True, check=True)
        assert imported(form(listing, "developer"), env=environ) - bare == OF_A_HIT

    @FORMS
    def test_of_a_miss_are_more(self, form: Any, listing: Path, machine: Sandbox) -> None:
        assert {"site", "click"} <= imported(form(listing, "--help"), env=machine.environ)

    def test_that_the_wire_may_ever_need_take_no_milliseconds(self) -> None:
        names = set()
        for module in (wire, processes):
            tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
            tree.body = [node for node in tree.body if getattr(node, "name", None) not in NOT_FOR_THE_WIRE]
            for_types = [
                found
                for node in ast.walk(tree)
                if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
                for found in ast.walk(node)
            ]
            for node in ast.walk(tree):
                if isinstance(node, ast.Import) and node not in for_types:
                    names |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node not in for_types:
                    names.add(node.module)
        assert names == OF_THE_WIRE


class TestAnswer:
    """The bytes of a hit get out whole and at once, or the caller is told."""

    @pytest.mark.skipif(sys.platform != "linux", reason="a pipe in packet mode is Linux's")
    @FORMS
    def test_is_one_write_so_that_one_read_gets_it(self, form: Any, venv: Path, machine: Sandbox) -> None:
        reader, writer = os.pipe2(os.O_DIRECT)  # each read returns what one write has written
        subprocess.run(form(venv, "developer"), env=machine.environ, stdout=writer, check=True)
        os.close(writer)
        first, second = os.read(reader, 65536), os.read(reader, 65536)
        os.close(reader)
        assert json.loads(first)["Version"] == 1
        assert second == b""

    @pytest.mark.skipif(sys.platform != "linux", reason="the size of a pipe is set as Linux has it")
    @pytest.mark.parametrize("filled", [0, 4096], ids=["empty", "full"])
    @pytest.mark.parametrize("profile", ["developer", "verbose"])
    @FORMS
    def test_fits_into_a_pipe_that_does_not_block(
        self, form: Any, profile: str, filled: int, venv: Path, machine: Sandbox
    ) -> None:
        command = form(venv, profile)
        expected = subprocess.run(command, env=machine.environ, capture_output=True, check=True).stdout
        assert (len(expected) > 4096) == (profile == "verbose")
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(writer, False)
        assert os.write(writer, b"x" * filled) == filled

        with (
            subprocess.Popen(command, env=machine.environ, stdout=writer, stderr=subprocess.PIPE) as process,
            open(reader, "rb") as pipe,
        ):
            os.close(writer)
            if filled or profile == "verbose":
                with pytest.raises(subprocess.TimeoutExpired):  # a slow machine makes this no stricter
                    process.wait(0.7)
            assert pipe.read() == b"x" * filled + expected
            assert (process.wait(30), read(process.stderr)) == (0, b"")

    @pytest.mark.parametrize(
        ("redirection", "said"),
        [
            (">&-", "bad file descriptor"),
            (">&- <&-", "bad file descriptor"),
            (">/dev/full", "no space left on device"),
        ],
    )
    @FORMS
    def test_that_cannot_be_written_is_a_failure(
        self, form: Any, redirection: str, said: str, venv: Path, machine: Sandbox
    ) -> None:
        done = redirected(redirection, form(venv, "developer"), machine)
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr.decode() == f"credhelper: error: cannot write the answer to stdout: {said}\n"

    @FORMS
    def test_that_has_no_reader_is_a_failure(self, form: Any, venv: Path, machine: Sandbox) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        command = form(venv, "developer")
        done = subprocess.run(
            command, env=machine.environ, stdout=writer, stderr=subprocess.PIPE, check=False
        )
        os.close(writer)
        assert done.returncode == 1
        assert done.stderr == b"credhelper: error: cannot write the answer to stdout: broken pipe\n"

    @pytest.mark.parametrize(
        ("redirection", "status"), [("<&-", 0), ("2>&-", 0), ("<&- 2>&-", 0), ("<&- >&- 2>&-", 1)]
    )
    @pytest.mark.parametrize("hit", [True, False], ids=["hit", "miss"])
    @FORMS
    def test_needs_stdout_only_and_nothing_takes_its_place(
        self, form: Any, hit: bool, redirection: str, status: int, venv: Path, machine: Sandbox
    ) -> None:
        arguments = () if hit else ("--reason", f"never asked: {form.__name__} {redirection}")
        done = redirected(redirection, form(venv, "developer", *arguments), machine)
        assert (done.returncode, done.stderr) == (status, b"")
        assert (json.loads(done.stdout)["Version"] == 1) if status == 0 else done.stdout == b""


def redirected(redirection: str, command: list[str], machine: Sandbox) -> subprocess.CompletedProcess[bytes]:
    """What becomes of a command whose streams a shell has redirected."""
    shell = ["sh", "-c", f'exec "$@" {redirection}', "sh"]
    return subprocess.run([*shell, *command], env=machine.environ, capture_output=True, check=False)


def read(stream: IO[bytes] | None) -> bytes:
    """All that was said."""
    assert stream is not None
    return stream.read()
