"""Where `make bench` measures: programs as pip installs them, and a laptop to run them on."""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import AWS_CONFIG, HAS_SECRET_SERVICE, PROFILES, PROGRAM, Sandbox
from sts import LoopbackSts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
VENVS = ROOT / ".venv-bench"
ROLE = "arn:aws:iam::222233334444:role/Developer"
MANY = 10_000

HELPERS = {
    # It unpacks botocore's credentials into as many fields as botocore had when it was written.
    "aws-export-credentials": ("aws-export-credentials==0.18.0", "boto3<1.34"),
    "elhaz": ("elhaz==0.5.6",),
}
"""What pip is asked for: other helpers, each in a venv of its own."""

AWS_PROFILES = f"""\
{AWS_CONFIG}
[profile developer-role]
role_arn = {ROLE}
source_profile = org-admin
region = eu-west-1
"""

ELHAZ_CONFIG = f"""\
AssumeRole:
  RoleArn: {ROLE}
STS:
  region_name: eu-west-1
Session:
  profile_name: org-admin
  region_name: eu-west-1
"""

SHOWN_VALUES = ("AWS_PROFILE", "CREDHELPER_AGENT")


class CannotMeasureError(Exception):
    """What a row needs is not here; the message says what."""


@dataclass(frozen=True)
class Command:
    """A program with its arguments, and what it has in its environment beside the laptop's."""

    words: list[str]
    environ: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """As a person would type it: programs by their names, no secret, no place of this machine's."""
        values = (
            f"{name}={value if name in SHOWN_VALUES else '...'}" for name, value in self.environ.items()
        )
        return " ".join([*values, shlex.join(map(_shortened, self.words))])


def _shortened(word: str) -> str:
    for place, instead in (("/bin/", ""), ("/site-packages/", ".../"), ("/home/", "~/")):
        if word.startswith("/") and place in word:
            return instead + word.rpartition(place)[2]
    return word


@dataclass(frozen=True)
class Programs:
    """credhelper as it is installed: its interpreter, and the command for a profile's name to follow."""

    python: str
    console: list[str]
    launcher: list[str]

    @staticmethod
    def beside(python: str) -> Programs:
        """What is installed beside an interpreter; where the launcher is not, what it does."""
        console, launcher = (str(Path(python).with_name(name)) for name in ("credhelper", "credhelper-get"))
        if Path(launcher).exists():
            return Programs(python, [console, "get"], [launcher])
        find = [python, "-c", "import credhelper.wire; print(credhelper.__path__[0])"]
        place = subprocess.run(find, cwd="/", check=True, capture_output=True, text=True).stdout.strip()
        return Programs(python, [console, "get"], [python, "-IS", f"{place}/__main__.py", "get"])


def from_this_environment() -> Programs:
    """What the tests run: quick to have, but not what users have."""
    return Programs.beside(str(Path(PROGRAM).with_name("python")))


def from_a_wheel() -> Programs:
    """The checkout as a wheel that pip has installed, with its libraries and without setuptools.

    setuptools leaves a `.pth` file that would slow the bare interpreters that hits are compared with.
    """
    venv = VENVS / "credhelper"
    with tempfile.TemporaryDirectory() as place:
        build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", place]
        subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
        (wheel,) = map(str, Path(place).glob("*.whl"))
        _install(venv, [wheel])
        _pip(venv, "install", "--force-reinstall", "--no-deps", wheel)
        _pip(venv, "uninstall", "--yes", "setuptools")
    return Programs.beside(str(venv / "bin/python"))


def helper(name: str) -> str:
    """Another helper's program. Raises CannotMeasureError where pip cannot install it."""
    venv = VENVS / name
    stamp = venv / "installed"
    wanted = "\n".join(HELPERS[name])
    if not stamp.exists() or stamp.read_text() != wanted:
        try:
            _install(venv, list(HELPERS[name]))
        except subprocess.CalledProcessError as error:
            raise CannotMeasureError(f"'{name}' cannot be installed: {_last_line(error.stderr)}") from None
        stamp.write_text(wanted)
    return str(venv / "bin" / name)


def _install(venv: Path, requirements: list[str]) -> None:
    if not (venv / "bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, capture_output=True, text=True)
        _pip(venv, "install", "--upgrade", "pip>=25.1")  # older ones write a slower console script
    _pip(venv, "install", *requirements)


def _pip(venv: Path, *arguments: str) -> None:
    command = [str(venv / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, capture_output=True, text=True)


def _end(argument: str) -> None:
    """Kill the daemon that was started with this argument."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if argument.encode() in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]


class Home:
    """One home for all rows, with an STS of its own.

    `crowd` is how many callers make a herd, `idle` how many seconds the agent is watched, `calls` how many
    API calls make a series.
    """

    def __init__(self, place: Path, sts: LoopbackSts, programs: Programs) -> None:
        self.sts = sts
        self.programs = programs
        self.crowd, self.idle, self.calls = 200, 5.0, 40
        self.sandbox = Sandbox(place / "home")
        self.sandbox.environ["PATH"] = f"{Path(programs.python).parent}:/usr/bin:/bin"
        self._numbers = itertools.count()
        process = shlex.join([*programs.launcher, "unlock-bucket"])
        self.sandbox.aws_config(f"{AWS_PROFILES}\n[profile unlock-bucket]\ncredential_process = {process}\n")
        for name, profiles in (("one", 1), ("many", MANY)):
            self.config(name).write_text(PROFILES + _further_profiles(profiles - 1))
        self.sandbox.configure(PROFILES, endpoint=sts.url)

    def config(self, name: str) -> Path:
        """A configuration of `one` profile more or less, or of `many`."""
        return self.sandbox.home / f"{name}.toml"

    def python(self, *words: str, **environ: str) -> Command:
        """A run of the interpreter that credhelper is installed for."""
        return Command([self.programs.python, *words], environ)

    def get(self, *words: str, **environ: str) -> Command:
        """A run of the launcher."""
        return Command([*self.programs.launcher, *words], environ)

    def get_cold(self, **environ: str) -> Command:
        """A run of the launcher that nobody has an answer for yet."""
        return self.get("developer", "--role-arn", f"{ROLE}{next(self._numbers)}", **environ)

    def environ(self, command: Command) -> dict[str, str]:
        """What a command finds in its environment."""
        return {**self.sandbox.environ, **command.environ}

    def run(self, command: Command) -> str:
        """What a command prints. Raises CannotMeasureError where it fails."""
        done = subprocess.run(
            command.words,
            env=self.environ(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CannotMeasureError(f"'{command}' fails: {_last_line(done.stderr or done.stdout)}")
        return done.stdout

    def warm_up(self, *commands: Command) -> None:
        """Have answers that are remembered: let everything be minted, then by an unchanged configuration."""
        for command in commands:
            self.run(command)
        self.sandbox.settle()
        for command in commands:
            self.run(command)

    @contextmanager
    def keyring(self) -> Iterator[None]:
        """A Secret Service."""
        if not HAS_SECRET_SERVICE:
            raise CannotMeasureError("gnome-keyring and dbus are not installed")
        with self.sandbox.secret_service():
            try:
                yield
            finally:
                del self.sandbox.environ["DBUS_SESSION_BUS_ADDRESS"]

    @contextmanager
    def elhaz(self) -> Iterator[Command]:
        """elhaz with its daemon, which has the session."""
        program = helper("elhaz")
        configs = self.sandbox.home / ".elhaz/configs"
        configs.mkdir(parents=True, exist_ok=True)
        (configs / "developer.yaml").write_text(ELHAZ_CONFIG)
        try:
            self.run(Command([program, "daemon", "start"]))
            self.run(Command([program, "daemon", "add", "-n", "developer"]))
            yield Command([program, "export", "-n", "developer", "-f", "credential-process"])
        finally:
            _end(f"{self.sandbox.home}/.elhaz/sock/daemon.sock")

    def aws_cli(self) -> Command:
        """The first AWS CLI that has the command; its own cache of roles is filled as it fills it."""
        self.run(self.python("-c", FILL_CLI_CACHE))
        words = ["configure", "export-credentials", "--format", "process", "--profile", "developer-role"]
        found = [shutil.which("aws", path=self.sandbox.environ["PATH"]), str(ROOT / ".venv-awscli/bin/aws")]
        for program in found:
            command = Command([program or "", *words])
            if program and os.access(program, os.X_OK) and self._can(command):
                return command
        raise CannotMeasureError("there is no AWS CLI that has 'aws configure export-credentials'")

    def _can(self, command: Command) -> bool:
        try:
            return '"SessionToken"' in self.run(command)
        except CannotMeasureError:
            return False


FILL_CLI_CACHE = """\
import os
from botocore.session import Session
from botocore.utils import JSONFileCache
session = Session(profile="developer-role")
provider = session.get_component("credential_provider").get_provider("assume-role")
provider.cache = JSONFileCache(os.path.expanduser("~/.aws/cli/cache"))
session.get_credentials().get_frozen_credentials()
"""
"""Old AWS CLIs cannot be pointed at an STS of ours; the cache that all of them share can be."""


def _further_profiles(count: int) -> str:
    return "".join(f'\n[profiles.further-{number}]\nrole_arn = "{ROLE}{number}"\n' for number in range(count))


@contextmanager
def opened(programs: Programs) -> Iterator[Home]:
    """A house for one run."""
    with tempfile.TemporaryDirectory(prefix="bench-") as place, LoopbackSts() as sts:
        yield Home(Path(place), sts, programs)
