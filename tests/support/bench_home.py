"""The environment of `make bench`: programs as pip installs them, and a sandbox to run them in."""

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
from functools import partialmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients import AWS_CLI_V1
from installing import ROOT, build_wheel
from sandbox import AWS_CONFIG, HAS_SECRET_SERVICE, PROFILES, Sandbox, processes
from sts import LoopbackSts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VENVS = ROOT / ".venv-bench"
ROLE = "arn:aws:iam::222233334444:role/Developer"
MANY = 10_000

HELPERS = {
    # It unpacks botocore's credentials into as many fields as botocore had when it was written.
    "aws-export-credentials": ("aws-export-credentials==0.18.0", "boto3<1.34"),
    "elhaz": ("elhaz==0.5.6",),
}
"""Other helpers, each in a venv of its own, and what pip installs for them."""

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
    """A row lacks what it needs; the message says what."""


@dataclass(frozen=True)
class Command:
    """A program with its arguments and the variables that it has in addition to the sandbox's."""

    words: list[str]
    environ: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """The command as typed: programs by their names, no secret, no path of this machine."""
        values = (
            f"{name}={value if name in SHOWN_VALUES else '...'}" for name, value in self.environ.items()
        )
        return " ".join([*values, shlex.join(map(_shortened, self.words))])


def _shortened(word: str) -> str:
    for place, instead in (("/bin/", ""), ("/site-packages/", ".../"), ("/home/", "~/")):
        if word.startswith("/") and place in word:
            return instead + word.rpartition(place)[2]
    return word


def from_a_wheel() -> Path:
    """The programs of a credhelper installed by pip from a wheel, without setuptools.

    The `.pth` file of setuptools would slow down the bare interpreters in the comparison.
    """
    venv = VENVS / "credhelper"
    with tempfile.TemporaryDirectory() as place:
        wheel = str(build_wheel(Path(place)))
        _install(venv, [wheel])
        _pip(venv, "install", "--force-reinstall", "--no-deps", wheel)
        _pip(venv, "uninstall", "--yes", "setuptools")
    return venv / "bin"


def helper(name: str) -> str:
    """Another helper's program. Raises CannotMeasureError if pip cannot install it."""
    venv = VENVS / name
    stamp, wanted = venv / "installed", "\n".join(HELPERS[name])
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


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]


class Home:
    """One home directory for all rows, with its own STS.

    `crowd`: simultaneous callers; `idle`: seconds that an idle agent is watched; `calls`: API calls in a row.
    """

    def __init__(self, place: Path, sts: LoopbackSts, programs: Path) -> None:
        self.sts, self.programs = sts, programs
        self.crowd, self.idle, self.calls = 200, 5.0, 40
        self.sandbox = Sandbox(place / "home")
        self.sandbox.environ["PATH"] = f"{programs}:/usr/bin:/bin"
        self._numbers = itertools.count()
        process = self.get("unlock-bucket")
        self.sandbox.aws_config(
            f"{AWS_PROFILES}\n[profile unlock-bucket]\ncredential_process = {shlex.join(process.words)}\n"
        )
        further = (f'\n[profiles.further-{number}]\nrole_arn = "{ROLE}{number}"\n' for number in range(MANY))
        self.config("one").write_text(PROFILES)
        self.config("many").write_text(PROFILES + "".join(further))
        self.sandbox.configure(PROFILES, endpoint=sts.url)

    def config(self, name: str) -> Path:
        """A configuration with few profiles (`one`) or `many`."""
        return self.sandbox.home / f"{name}.toml"

    def installed(self, program: str, *words: str, **environ: str) -> Command:
        """A program of the installed credhelper."""
        return Command([str(self.programs / program), *words], environ)

    python = partialmethod(installed, "python")
    get = partialmethod(installed, "credhelper-get")

    def get_cold(self, **environ: str) -> Command:
        """The launcher, for a session that is not cached."""
        return self.get("developer", "--role-arn", f"{ROLE}{next(self._numbers)}", **environ)

    def environ(self, command: Command) -> dict[str, str]:
        """The environment of a command."""
        return {**self.sandbox.environ, **command.environ}

    def run(self, command: Command) -> str:
        """The output of a command. Raises CannotMeasureError if it fails."""
        pipes: Any = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        done = subprocess.run(command.words, env=self.environ(command), check=False, **pipes)
        if done.returncode:
            raise CannotMeasureError(f"'{command}' fails: {_last_line(done.stderr or done.stdout)}")
        return done.stdout

    def warm_up(self, *commands: Command) -> None:
        """Make these commands hits: mint everything, then again with a configuration that is old enough."""
        for wait in (self.sandbox.settle, lambda: None):
            for command in commands:
                self.run(command)
            wait()

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
        """elhaz with a daemon that has the session."""
        program = helper("elhaz")
        configs = self.sandbox.home / ".elhaz/configs"
        configs.mkdir(parents=True, exist_ok=True)
        (configs / "developer.yaml").write_text(ELHAZ_CONFIG)
        try:
            self.run(Command([program, "daemon", "start"]))
            self.run(Command([program, "daemon", "add", "-n", "developer"]))
            yield Command([program, "export", "-n", "developer", "-f", "credential-process"])
        finally:
            for pid in processes("", f"{self.sandbox.home}/.elhaz/sock/daemon.sock"):
                os.kill(pid, signal.SIGKILL)

    def aws_export_credentials(self) -> Command:
        """aws-export-credentials with a cache file."""
        words = ["--profile", "developer-role", "--cache-file", str(self.sandbox.home / "cache.json")]
        return Command([helper("aws-export-credentials"), *words])

    def aws_cli(self) -> Command:
        """The first AWS CLI that has the command; FILL_CLI_CACHE fills its cache of roles."""
        self.run(self.python("-c", FILL_CLI_CACHE))
        words = ["configure", "export-credentials", "--format", "process", "--profile", "developer-role"]
        for program in (shutil.which("aws", path=self.sandbox.environ["PATH"]), AWS_CLI_V1):
            if program and os.access(program, os.X_OK):
                command = Command([str(program), *words])
                with suppress(CannotMeasureError):
                    if '"SessionToken"' in self.run(command):
                        return command
        raise CannotMeasureError("there is no AWS CLI that has 'aws configure export-credentials'")


FILL_CLI_CACHE = """\
import os
from botocore.session import Session
from botocore.utils import JSONFileCache
session = Session(profile="developer-role")
provider = session.get_component("credential_provider").get_provider("assume-role")
provider.cache = JSONFileCache(os.path.expanduser("~/.aws/cli/cache"))
session.get_credentials().get_frozen_credentials()
"""
"""Old AWS CLIs cannot use another STS endpoint, but they read this cache."""


@contextmanager
def opened(programs: Path) -> Iterator[Home]:
    """A home directory for one run."""
    with tempfile.TemporaryDirectory(prefix="bench-") as place, LoopbackSts() as sts:
        yield Home(Path(place), sts, programs)
