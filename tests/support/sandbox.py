"""A developer's laptop for one test: HOME, AWS files, a configuration, and the program as installed.

Every run of the program is checked for what must hold whatever happens: stdout is one envelope with exit
status 0, or empty with another; stderr is empty, or sentences of ours in printable ASCII.
"""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from credhelper import wire
from credhelper.agent.client import Lease
from credhelper.clocks import ExpiryThresholds

from sts import SOURCE_KEY_ID, SOURCE_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = str(Path(sys.executable).with_name("credhelper"))

STDERR = re.compile(
    r"credhelper: error: [^\n]+\n(credhelper: hint: [^\n]+\n){0,2}",
)

AWS_CONFIG = f"""\
[profile org-admin]
aws_access_key_id = {SOURCE_KEY_ID}
aws_secret_access_key = {SOURCE_SECRET}
"""

PROFILES = """\
[accounts]
payments-prod = "111122223333"

[defaults]
source_profile = "org-admin"
region = "eu-west-1"

[profiles.unlock-bucket]
target_principal = "payments-prod"
task_policy_arn = "S3UnlockBucketPolicy"

[profiles.audit-root]
task_policy_arn = "IAMAuditRootUserCredentials"

[profiles.developer]
role_arn = "arn:aws:iam::222233334444:role/Developer"
"""


@dataclass
class Sandbox:
    """One HOME, and the environment of a program started there: nothing of the real one's."""

    home: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home.mkdir(mode=0o700, exist_ok=True)
        runtime = self.home / "run"
        runtime.mkdir(mode=0o700)
        self.environ = {
            "PATH": f"{Path(PROGRAM).parent}:/usr/bin:/bin",
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(runtime),
            "LANG": "C.UTF-8",
            "CREDHELPER_AGENT": "off",  # `use_agent` turns it on
            **self.environ,
        }
        self.aws_config(AWS_CONFIG)

    @contextmanager
    def use_agent(self) -> Iterator[Path]:
        """Let an agent come, in a runtime directory that is short enough for its socket; see that it goes."""
        runtime = Path(tempfile.mkdtemp(prefix="ch-"))
        before = dict(self.environ)
        self.environ |= {"XDG_RUNTIME_DIR": str(runtime), "CREDHELPER_AGENT": "auto"}
        try:
            yield runtime / "credhelper"
        finally:
            for pid in [*agents_in(runtime / "credhelper"), *self.refreshers()]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.environ = before
            shutil.rmtree(runtime)

    def settle(self) -> None:
        """Wait until the configuration is old enough for an answer to be remembered by its arguments."""
        files = (self.config, Path(self.environ.get("AWS_CONFIG_FILE", self.home / ".aws/config")))
        newest = max(path.stat().st_ctime for path in files if path.exists())
        time.sleep(max(0.0, newest + 2.05 - time.time()))

    def use_files(self, directory: Path) -> None:
        """Use the configuration that `write_files` has put there."""
        self.environ |= {
            "CREDHELPER_CONFIG": str(directory / "config.toml"),
            "AWS_CONFIG_FILE": str(directory / "aws-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(directory / "aws-credentials"),
        }

    @contextmanager
    def settled(self, directory: Path) -> Iterator[Sandbox]:
        """With that configuration, old enough for hits, and an agent that comes when it is needed."""
        self.use_files(directory)
        self.settle()
        with self.use_agent():
            yield self

    def refreshers(self) -> list[int]:
        """The process ids of all that mint ahead of need."""
        marker = f"HOME={self.home}".encode()
        return [pid for pid in _processes("python") if b"renew" in _command(pid) and marker in _environ(pid)]

    @property
    def config(self) -> Path:
        return Path(self.environ.get("CREDHELPER_CONFIG", self.home / ".config/credhelper/config.toml"))

    @property
    def runtime(self) -> Path:
        return Path(self.environ["XDG_RUNTIME_DIR"]) / "credhelper"

    @property
    def state(self) -> Path:
        return self.home / ".local/state/credhelper"

    def aws_config(self, text: str) -> None:
        """Write ~/.aws/config."""
        self._write(self.home / ".aws/config", text)

    def configure(self, text: str, endpoint: str | None = None) -> None:
        """Write config.toml; `endpoint` goes into the environment, as a test double of AWS would."""
        self._write(self.config, text)
        if endpoint is not None:
            self.environ["AWS_ENDPOINT_URL_STS"] = endpoint

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[bytes]:
        """The program, started; stdin is a pipe that nobody writes to, as under some SDKs."""
        return subprocess.Popen(
            [PROGRAM, *arguments],
            env={**self.environ, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str, timeout: float = 60, **environ: str) -> Result:
        """The program, run to its end and checked."""
        return self.finish(self.start(*arguments, **environ), timeout)

    def on_a_terminal(self, *arguments: str, **environ: str) -> tuple[int, str]:
        """The program on a terminal of 80 columns: its exit status, and what is seen."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(PROGRAM, [PROGRAM, *arguments], {**self.environ, "COLUMNS": "80", **environ})
        shown = b""
        with suppress(OSError):  # EIO: the other end is closed
            while block := os.read(terminal, 4096):
                shown += block
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()

    def run_unchecked(self, *arguments: str, **environ: str) -> Result:
        """The program, run where the usual checks do not hold: its clock is not ours."""
        process = self.start(*arguments, **environ)
        stdout, stderr = process.communicate(timeout=60)
        return Result(process.returncode, stdout, stderr.decode("ascii"))

    @staticmethod
    def finish(process: subprocess.Popen[bytes], timeout: float = 60) -> Result:
        """Wait for a started program, and check what it printed."""
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        result = Result(process.returncode, stdout, stderr.decode("ascii"))
        result.check()
        return result

    def get(self, name: str, *flags: str, **environ: str) -> dict[str, Any]:
        """The envelope of a profile; fails where there is none."""
        result = self.run("get", name, *flags, **environ)
        assert result.status == 0, result.stderr
        return result.envelope

    def refuses(self, status: int, *arguments: str, **environ: str) -> str:
        """What the program said when it ended with `status`."""
        result = self.run(*arguments, **environ)
        assert (result.status, result.stdout) == (status, b""), result
        return result.stderr

    def audit(self) -> list[dict[str, Any]]:
        """The record."""
        path = self.state / "audit.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def list_saved_key(self, name: str, access_key_id: str) -> None:
        """Have the index say that a key is saved, with nothing in any keyring."""
        line = {"name": name, "access_key_id": access_key_id, "account": None, "arn": None, "saved": 1}
        self.state.mkdir(parents=True, mode=0o700)
        self._write(self.state / "items.jsonl", json.dumps(line | {"kind": "key"}) + "\n")

    def log(self) -> str:
        """credhelper.log."""
        path = self.state / "credhelper.log"
        return path.read_text() if path.exists() else ""

    def files_of_ours(self) -> list[Path]:
        """Every file and directory that the program has made."""
        roots = (self.state, self.runtime)
        return [path for root in roots if root.exists() for path in (root, *root.rglob("*"))]

    def check_modes(self) -> None:
        """Files are 0600, directories 0700."""
        for path in self.files_of_ours():
            mode = stat.S_IMODE(path.lstat().st_mode)
            assert mode == (0o700 if path.is_dir() else 0o600), (path, oct(mode))

    @contextmanager
    def secret_service(self, password: str | None = "pw") -> Iterator[SecretService]:
        """A gnome-keyring of its own on a bus of its own; locked where `password` is None."""
        service = SecretService(self, password)
        try:
            yield service
        finally:
            service.stop()


@dataclass(frozen=True)
class Result:
    """How the program ended."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def envelope(self) -> dict[str, Any]:
        """stdout as what an SDK reads."""
        document: dict[str, Any] = json.loads(self.stdout)
        return document

    def check(self) -> None:
        """What holds for every run."""
        if self.status == 0:
            assert self.stderr == ""
            if self.stdout.startswith(b'{"Version"'):
                self._check_envelope()
        else:
            assert self.stdout == b"", self
            assert STDERR.fullmatch(self.stderr), self
            assert "Traceback" not in self.stderr

    def _check_envelope(self) -> None:
        envelope = self.envelope
        assert envelope["Version"] == 1
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", envelope["Expiration"])
        expiration = datetime.fromisoformat(envelope["Expiration"].replace("Z", "+00:00"))
        assert expiration > datetime.now(timezone.utc)


HAS_SECRET_SERVICE = all(shutil.which(name) for name in ("gnome-keyring-daemon", "dbus-run-session"))


class SecretService:
    """gnome-keyring under dbus-run-session, started for one laptop."""

    def __init__(self, sandbox: Sandbox, password: str | None) -> None:
        unlock = "--start" if password is None else "--unlock"
        daemon = f"gnome-keyring-daemon {unlock} --components=secrets >/dev/null"
        typed = "" if password is None else f"printf %s {password} | "
        self._process = subprocess.Popen(
            [
                "dbus-run-session",
                "--",
                "sh",
                "-c",
                f"{typed}{daemon}; echo $DBUS_SESSION_BUS_ADDRESS; exec cat",
            ],
            env=sandbox.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        sandbox.environ["DBUS_SESSION_BUS_ADDRESS"] = self._process.stdout.readline().strip()
        self._sandbox = sandbox

    @property
    def daemon(self) -> int | None:
        """The process id of gnome-keyring-daemon: the one with this laptop's HOME."""
        marker = f"HOME={self._sandbox.home}".encode()
        return next((pid for pid in _processes("gnome-keyring-d") if marker in _environ(pid)), None)

    def signal(self, number: signal.Signals) -> None:
        """Stop, continue or kill the daemon."""
        pid = self.daemon
        assert pid is not None, "no gnome-keyring-daemon is running"
        os.kill(pid, number)

    def kill_bus(self) -> None:
        """Kill the bus under the daemon and everybody who is connected."""
        marker = f"HOME={self._sandbox.home}".encode()
        for pid in _processes("dbus-daemon"):
            if marker in _environ(pid):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """End the bus and the daemon; a stopped daemon is continued first."""
        if (pid := self.daemon) is not None:
            os.kill(pid, signal.SIGCONT)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()  # ends cat, and with it dbus-run-session ends its bus
        self._process.wait(10)
        self._process.stdout.close()
        while (pid := self.daemon) is not None:
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


def write_files(directory: Path, text: str) -> Path:
    """A configuration that several laptops may use one after the other, so that it has to settle once."""
    for name, content in (("config.toml", text), ("aws-config", AWS_CONFIG)):
        Sandbox._write(directory / name, content)
    return directory


def until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """What the condition comes to, once that is true; fails after so many seconds."""
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, f"not within {seconds} s"
        time.sleep(0.01)
    return found


def affordable(count: int, command: list[str], seconds: float, environ: dict[str, str] | None = None) -> int:
    """So many, or as many such processes as this machine can run now in that time; ten at least.

    `get` gives up after 50 s, on a busy machine too: the size of a herd is a relation to a bare process.
    """
    began = time.monotonic()
    subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=True)
    one = time.monotonic() - began
    return max(10, min(count, int(seconds * (os.cpu_count() or 1) / one)))


def plant(  # noqa: PLR0917 - as the test says them
    sandbox: Sandbox,
    key: bytes,
    body: bytes,
    seconds: float,
    refresh: float = float("-inf"),
    fresh: float = 0.0,
    servable: float = 0.0,
) -> None:
    """Put bytes into the agent that expire in so many seconds; the other numbers are those of `put`."""
    connection = wire.connect(str(sandbox.runtime))
    assert connection is not None
    with closing(connection):
        lease = Lease(wire.PendingRequest(connection, connection.ask(b"mint %s\n" % key)[1]))
        thresholds = ExpiryThresholds(time.time() + seconds, None, refresh, fresh, servable)
        assert lease.put(body, thresholds, "planted", "planted")


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def connections_in(directory: Path) -> int:
    """How many callers are connected to the agent whose socket is there."""
    path = str(directory / "agent-1.sock")
    rows = [row.split() for row in Path("/proc/net/unix").read_text().splitlines()]
    return sum(row[-1] == path and row[5] == "03" for row in rows)


def agents_in(directory: Path) -> list[int]:
    """The process ids of all agents whose socket is to be there."""
    marker = str(directory).encode()
    return [pid for pid in _processes("python") if marker in _command(pid) and b"--in" in _command(pid)]


def _command(pid: int) -> list[bytes]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return []


def _processes(name: str) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):
            if path.read_text().startswith(name):
                yield int(path.parent.name)


def _environ(pid: int) -> list[bytes]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return []
