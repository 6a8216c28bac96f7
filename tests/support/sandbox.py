"""A sandbox for one test: HOME, AWS files, a configuration, and the installed program.

Every run of the program is checked: stdout is one envelope with exit status 0, or empty with another one;
stderr is empty, or credhelper's messages in printable ASCII.
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

STDERR = re.compile(r"credhelper: error: [^\n]+\n(credhelper: hint: [^\n]+\n){0,2}")

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
    """A HOME, and the environment of programs started there: nothing of the real environment."""

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
        """Allow an agent, in a runtime directory with a short path for its socket; kill it at the end."""
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
        """Wait until the configuration is old enough for hits by arguments."""
        files = (self.config, Path(self.environ.get("AWS_CONFIG_FILE", self.home / ".aws/config")))
        newest = max(path.stat().st_ctime for path in files if path.exists())
        time.sleep(max(0.0, newest + 2.05 - time.time()))

    def use_files(self, directory: Path) -> None:
        """Use the configuration written by `write_files`."""
        self.environ |= {
            "CREDHELPER_CONFIG": str(directory / "config.toml"),
            "AWS_CONFIG_FILE": str(directory / "aws-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(directory / "aws-credentials"),
        }

    @contextmanager
    def settled(self, directory: Path) -> Iterator[Sandbox]:
        """Use that configuration, old enough for hits, and an agent on demand."""
        self.use_files(directory)
        self.settle()
        with self.use_agent():
            yield self

    def refreshers(self) -> list[int]:
        """The process ids of background renewals."""
        return [*processes("python", "renew", home=self.home)]

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
        """Write config.toml, and set the STS endpoint in the environment."""
        self._write(self.config, text)
        if endpoint is not None:
            self.environ["AWS_ENDPOINT_URL_STS"] = endpoint

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[bytes]:
        """Start the program; stdin is a pipe without a writer, as under some SDKs."""
        return subprocess.Popen(
            [PROGRAM, *arguments],
            env={**self.environ, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str, timeout: float = 60, **environ: str) -> Result:
        """Run the program to its end, and check the result."""
        return self.finish(self.start(*arguments, **environ), timeout)

    def on_a_terminal(self, *arguments: str, **environ: str) -> tuple[int, str]:
        """Run the program on a terminal of 80 columns: its exit status and output."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(PROGRAM, [PROGRAM, *arguments], {**self.environ, "COLUMNS": "80", **environ})
        shown = b""
        with suppress(OSError):  # EIO: the other end is closed
            while block := os.read(terminal, 4096):
                shown += block
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()

    def on_a_full_disk(self, *arguments: str) -> tuple[int, str]:
        """Run the program with a full disk as stdout: its exit status and stderr."""
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [PROGRAM, *arguments], env=self.environ, stdout=full, stderr=-1, check=False
            )
        return done.returncode, done.stderr.decode()

    def run_unchecked(self, *arguments: str, **environ: str) -> Result:
        """Run the program without the usual checks."""
        process = self.start(*arguments, **environ)
        stdout, stderr = process.communicate(timeout=60)
        return Result(process.returncode, stdout, stderr.decode("ascii"))

    @staticmethod
    def finish(process: subprocess.Popen[bytes], timeout: float = 60) -> Result:
        """Wait for a started program, and check its output."""
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        result = Result(process.returncode, stdout, stderr.decode("ascii"))
        result.check()
        return result

    def get(self, name: str, *flags: str, **environ: str) -> dict[str, Any]:
        """The envelope of a profile; fails if there is none."""
        result = self.run("get", name, *flags, **environ)
        assert result.status == 0, result.stderr
        return result.envelope

    def prints(self, *arguments: str, **environ: str) -> str:
        """The stdout of a run that must succeed."""
        result = self.run(*arguments, **environ)
        assert result.status == 0, result.stderr
        return result.stdout.decode()

    def refuses(self, status: int, *arguments: str, **environ: str) -> str:
        """The stderr of a run that must end with `status`."""
        result = self.run(*arguments, **environ)
        assert (result.status, result.stdout) == (status, b""), result
        return result.stderr

    def audit(self) -> list[dict[str, Any]]:
        """The lines of the audit log."""
        path = self.state / "audit.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def list_saved_key(self, name: str, access_key_id: str) -> None:
        """Add a saved key to the index, without a keyring item."""
        line = {"name": name, "access_key_id": access_key_id, "account": None, "arn": None, "saved": 1}
        self.state.mkdir(parents=True, mode=0o700)
        self._write(self.state / "items.jsonl", json.dumps(line | {"kind": "key"}) + "\n")

    def log(self) -> str:
        """The text of credhelper.log."""
        path = self.state / "credhelper.log"
        return path.read_text() if path.exists() else ""

    def files(self) -> list[Path]:
        """Every file and directory that the program has made."""
        roots = (self.state, self.runtime)
        return [path for root in roots if root.exists() for path in (root, *root.rglob("*"))]

    def check_modes(self) -> None:
        """Check that files are 0600 and directories 0700."""
        for path in self.files():
            mode = stat.S_IMODE(path.lstat().st_mode)
            assert mode == (0o700 if path.is_dir() else 0o600), (path, oct(mode))

    @contextmanager
    def secret_service(self, password: str | None = "pw") -> Iterator[SecretService]:
        """A gnome-keyring on its own bus; locked if `password` is None."""
        service = SecretService(self, password)
        try:
            yield service
        finally:
            service.stop()


@dataclass(frozen=True)
class Result:
    """The result of a run."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def envelope(self) -> dict[str, Any]:
        """The JSON that an SDK reads."""
        document: dict[str, Any] = json.loads(self.stdout)
        return document

    def check(self) -> None:
        """Check what is true for every run."""
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
    """gnome-keyring under dbus-run-session, for one sandbox."""

    def __init__(self, sandbox: Sandbox, password: str | None) -> None:
        unlock = "--start" if password is None else "--unlock"
        daemon = f"gnome-keyring-daemon {unlock} --components=secrets >/dev/null"
        typed = "" if password is None else f"printf %s {password} | "
        script = f"{typed}{daemon}; echo $DBUS_SESSION_BUS_ADDRESS; exec cat"
        self._process = subprocess.Popen(
            ["dbus-run-session", "--", "sh", "-c", script],
            env=sandbox.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        sandbox.environ["DBUS_SESSION_BUS_ADDRESS"] = self._process.stdout.readline().strip()
        self._home = sandbox.home

    @property
    def daemon(self) -> int | None:
        """The process id of this sandbox's gnome-keyring-daemon."""
        return next(processes("gnome-keyring-d", home=self._home), None)

    def signal(self, number: signal.Signals) -> None:
        """Stop, continue or kill the daemon."""
        pid = self.daemon
        assert pid is not None, "no gnome-keyring-daemon is running"
        os.kill(pid, number)

    def kill_bus(self) -> None:
        """Kill the bus, which disconnects the daemon and all clients."""
        for pid in processes("dbus-daemon", home=self._home):
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
    """A configuration that several sandboxes use in turn, so that it has to settle only once."""
    for name, content in (("config.toml", text), ("aws-config", AWS_CONFIG)):
        Sandbox._write(directory / name, content)
    return directory


def until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """The first true result of the condition; fails after the given seconds."""
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, f"not within {seconds} s"
        time.sleep(0.01)
    return found


def affordable(count: int, command: list[str], seconds: float, environ: dict[str, str] | None = None) -> int:
    """The number of such processes that this machine can run now in that time: from ten to `count`.

    `get` gives up after 50 s, so the size of a herd depends on the speed of a bare process.
    """
    began = time.monotonic()
    subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=True)
    one = time.monotonic() - began
    return max(10, min(count, int(seconds * (os.cpu_count() or 1) / one)))


def plant(  # noqa: PLR0917 - the order of `put`
    sandbox: Sandbox,
    key: bytes,
    body: bytes,
    seconds: float,
    refresh: float = float("-inf"),
    fresh: float = 0.0,
    servable: float = 0.0,
) -> None:
    """Put bytes into the agent that expire in `seconds`; the other numbers are the thresholds."""
    connection = wire.connect(str(sandbox.runtime))
    assert connection is not None
    with closing(connection):
        lease = Lease(wire.PendingRequest(connection, connection.ask(b"mint %s\n" % key)[1]))
        thresholds = ExpiryThresholds(time.time() + seconds, None, refresh, fresh, servable)
        assert lease.put(body, thresholds, "planted", "planted")


def is_alive(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def connections_in(directory: Path) -> int:
    """The number of callers connected to the agent in a directory."""
    path = str(directory / "agent-1.sock")
    rows = [row.split() for row in Path("/proc/net/unix").read_text().splitlines()]
    return sum(row[-1] == path and row[5] == "03" for row in rows)


def agents_in(directory: Path) -> list[int]:
    """The process ids of the agents of a directory."""
    return [*processes("python", str(directory), "--in")]


def processes(name: str, *arguments: str, home: Path | None = None) -> Iterator[int]:
    """The ids of processes with a name, with all of these arguments, and with this HOME."""
    wanted = [("cmdline", argument) for argument in arguments] + [("environ", f"HOME={home}")] * bool(home)
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (path / "comm").read_text().startswith(name) and all(
                text.encode() in (path / file).read_bytes().split(b"\0") for file, text in wanted
            ):
                yield int(path.name)
