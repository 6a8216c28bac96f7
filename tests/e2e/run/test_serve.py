"""`exec --serve`: a command outlives its sessions, and the server ends with the command."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import requirements
import sts_faults as faults
from clocks import SETTLED, Clock
from sandbox import AWS_CONFIG, PROFILES, PROGRAM, connections_in, is_alive, until
from secrets_scan import find_secret
from terminal import Dialogs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Sandbox

URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
LIFE = 900
STEP = 60
TIME_TO_MINT = 300
"""Seconds before the end of a session at which the clock waits for the next one."""

CLIENT = """\
import select, sys, time
time.sleep = lambda seconds: select.select([], [], [], seconds)  # after a jump, libfaketime has none
import boto3
session = boto3.Session()
client, credentials = session.client("sts"), session.get_credentials()
assert credentials.method == "container-role", credentials.method
for _ in sys.stdin:
    arn = client.get_caller_identity()["Arn"]
    key = credentials.get_frozen_credentials().access_key
    print(key, arn, credentials._expiry_time.timestamp() > time.time(), flush=True)
"""

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
SHOW = "import json, os, sys; print(json.dumps(dict(os.environ)), flush=True); sys.stdin.read()"

A_MINUTE_LATER = """\
import sys
from credhelper.cli import main as cli
from credhelper.run import environment as handover
get = handover._credentials
def credentials(opened, *arguments):
    found = get(opened, *arguments)
    opened.caller.deadline._ends = 0.0
    return found
handover._credentials = credentials
sys.exit(cli.main(sys.argv[1:]))
"""


@dataclass
class Served:
    """A command that runs until its stdin closes, and the server that it was given."""

    process: subprocess.Popen[bytes]
    environ: dict[str, str]

    def ask(self) -> tuple[int, dict[str, str]]:
        """Status and document of a response."""
        request = urllib.request.Request(self.environ[URI], headers={"Authorization": self.environ[TOKEN]})
        try:
            with DIRECT.open(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def key(self) -> str:
        """The access key id that it hands out now."""
        status, document = self.ask()
        assert status == 200, document
        return document["AccessKeyId"]

    def next_key(self, *before: str) -> str:
        """The first access key id that is not one of these."""
        return until(lambda: key if (key := self.key()) not in before else None)

    def failure(self) -> tuple[int, str, str]:
        """Status, code and message of the first response that is an error."""
        status, document = until(lambda: found if (found := self.ask())[0] != 200 else None)
        return status, document["code"], document["message"]

    @property
    def port(self) -> int:
        return int(self.environ[URI].split(":")[2].partition("/")[0])

    @property
    def child(self) -> int:
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())

    def is_reachable(self) -> bool:
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", self.port)) == 0


@contextlib.contextmanager
def serving(sandbox: Sandbox, *arguments: str, **options: Any) -> Iterator[Served]:
    """A command under `exec --serve`, until the end of the block."""
    environ = {**sandbox.environ, **options.pop("environ", {})}
    program = options.pop("program", [PROGRAM])
    command = [*program, "exec", *arguments, "--serve", "--", sys.executable, "-c", SHOW]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(command, env=environ, **pipes, **options)
    try:
        yield Served(process, json.loads(process.stdout.readline()))
    finally:
        process.communicate(timeout=20)


class TestCommand:
    def test_served_command_gets_the_server_and_no_keys(self, sandbox, sts) -> None:
        stale = {"AWS_ACCESS_KEY_ID": "x", "AWS_PROFILE": "x", f"{TOKEN}_FILE": "/x"}
        with serving(sandbox, "unlock-bucket", environ=stale) as served:
            status, document = served.ask()
        for name in (URI, TOKEN):
            assert served.environ.pop(name)
        served.environ.pop("LC_CTYPE", None)  # which Python sets

        assert served.environ == {
            **sandbox.environ,
            "CREDHELPER_PROFILE": "unlock-bucket",
            "CREDHELPER_ACCOUNT": "111122223333",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
        }
        (issued,) = sts.issued
        issued["Token"] = issued.pop("SessionToken")
        assert (status, document) == (200, {**issued, "AccountId": "111122223333"})

    @pytest.mark.parametrize("status", [0, 7])
    def test_exit_status_and_streams_are_the_commands(self, sandbox, status) -> None:
        process = sandbox.start("exec", "developer", "--serve", "--", "sh", "-c", f"cat; exit {status}")

        assert process.communicate(b"in", timeout=60) == (b"in", b"")
        assert process.returncode == status

    def test_key_in_default_exits_2_before_the_mint(self, sandbox, sts) -> None:
        sandbox.aws_config(AWS_CONFIG + AWS_CONFIG.replace("profile org-admin", "default"))
        line = ("exec", "developer", "--serve", "--", "true")
        path = f"'{sandbox.home}/.aws/config'"
        message = f"{path}: 'aws_access_key_id' in [default] takes precedence over --serve"

        assert message in sandbox.refuses(2, *line)
        assert sts.calls == []
        assert sandbox.run("exec", "developer", "--", "true").status == 0

    def test_refused_session_does_not_run_the_command(self, sandbox, sts) -> None:
        sts.mode = faults.refuse("AccessDenied", "no")
        said = sandbox.refuses(4, "exec", "developer", "--serve", "--", "echo", "started")

        assert said == sandbox.refuses(4, "get", "developer")


class TestProcess:
    def test_server_is_on_loopback_as_long_as_the_process_runs(self, sandbox) -> None:
        ss = [requirements.program("ss"), "-ltnpH"]
        with serving(sandbox, "developer") as first, serving(sandbox, "developer") as second:
            for served in (first, second):
                lines = subprocess.check_output(ss, text=True).splitlines()
                own = [line.split()[3] for line in lines if f"pid={served.process.pid}," in line]
                assert own == [f"127.0.0.1:{served.port}"]
            assert first.port != second.port
            assert first.environ[TOKEN] != second.environ[TOKEN]
            second.process.kill()
            second.process.wait()
            assert [first.is_reachable(), second.is_reachable()] == [True, False]
        assert not first.is_reachable()

    def test_signal_ends_command_and_server(self, sandbox) -> None:
        with serving(sandbox, "developer") as served:
            child = served.child
            served.process.send_signal(signal.SIGTERM)

            assert served.process.wait(20) == 128 + signal.SIGTERM
            assert not is_alive(child)
            assert not served.is_reachable()

    def test_serving_process_is_not_dumpable(self, sandbox) -> None:
        group = os.getegid() + 1 if os.geteuid() == 0 else None
        options: dict[str, Any] = {} if group is None else {"group": group, "extra_groups": []}
        with serving(sandbox, "developer", **options) as served:
            pids = (served.process.pid, served.child)
            closed, ordinary = (os.stat(f"/proc/{pid}/environ") for pid in pids)

            # The system gives the files of a process that is closed to root.
            assert (closed.st_uid, closed.st_gid) == (0, 0)
            assert ordinary.st_gid == (os.getegid() if group is None else group)

    def test_served_secret_is_in_no_file_and_the_agent_has_no_client(self, sandbox, sts) -> None:
        sts.secret_marker = f"MARKER{uuid.uuid4().hex}"
        sandbox.environ["CREDHELPER_LOG"] = "debug"
        with sandbox.use_agent() as directory, serving(sandbox, "developer") as served:
            assert sts.secret_marker in served.ask()[1]["SecretAccessKey"]
            assert find_secret([sandbox.home, directory, "/dev/shm"], sts.secret_marker) == []
            assert connections_in(directory) == 0


class TestRenewal:
    @pytest.fixture(name="hasty")
    def _hasty(self, sandbox, sts) -> Sandbox:
        """A sandbox whose sessions last 2 s and are fresh for one."""
        sts.mode = faults.expires_in(2)
        return sandbox

    def test_boto3_outlives_three_sessions(self, sandbox, sts, tmp_path) -> None:
        """AssumeRoot's 900 s, three times and more, on a clock that is sped up, in one process of a client.

        STS, which has the same clock, never sees a session that has expired, and mints no more than are due.
        """
        clock = Clock(tmp_path / "clock")
        sandbox.environ |= clock.environ
        process = sandbox.start("exec", "unlock-bucket", "--serve", "--", sys.executable, "-c", CLIENT)
        since: dict[str, int] = {}
        ahead, ends = 0, time.monotonic() + 180
        while ahead < 3 * LIFE + 2 * STEP:
            clock.jump(ahead)
            sts.clock_offset = ahead + SETTLED
            process.stdin.write(b"\n")
            process.stdin.flush()
            key, *rest = process.stdout.readline().decode().split()
            assert rest == ["arn:aws:iam::111122223333:root", "True"], process.communicate()
            since.setdefault(key, ahead)
            if ahead - since[key] < LIFE - TIME_TO_MINT:  # however busy this machine is
                ahead += STEP
            assert time.monotonic() < ends, since

        assert (process.communicate(timeout=20), process.returncode) == ((b"", b""), 0)
        assert 4 <= len(since) <= sts.count() <= 3 * LIFE / 180

    def test_two_served_commands_share_one_renewal(self, sandbox, sts, secret_service, tmp_path) -> None:
        sandbox.configure(PROFILES + "[keyring]\ntimeout = 10\n")  # however busy this machine is
        clock = Clock(tmp_path / "clock")
        sandbox.environ |= clock.environ
        sts.check_clock = False
        with serving(sandbox, "unlock-bucket") as one, serving(sandbox, "unlock-bucket") as other:
            first = one.key()
            assert other.key() == first
            clock.jump(LIFE - 500)
            second = one.next_key(first)
            until(lambda: other.key() == second)
        assert sts.count() == 2

    def test_edited_configuration_does_not_change_the_call(self, hasty, sts) -> None:
        with serving(hasty, "developer") as served:
            first = served.key()
            hasty.configure(PROFILES.replace("role/Developer", "role/Other"))
            second = served.next_key(first)
            hasty.configure("this is no TOML")
            served.next_key(first, second)
        roles = {call.parameters["RoleArn"] for call in sts.calls}
        assert roles == {"arn:aws:iam::222233334444:role/Developer"}

    def test_refusal_is_400_until_sts_allows_it(self, hasty, sts) -> None:
        with serving(hasty, "developer") as served:
            first = served.key()
            sts.mode = faults.refuse("AccessDenied", "no")
            *answer, message = served.failure()

            assert answer == [400, "AccessDenied"]
            assert "not allowed" in message
            sts.mode = faults.NORMAL
            assert served.key() != first

    def test_needed_confirmation_names_login_and_does_not_prompt(self, hasty) -> None:
        hasty.configure(PROFILES + "confirm = true\n")
        assert hasty.run("login", "developer", "--yes").status == 0
        dialogs = Dialogs(hasty, "confirm")
        with serving(hasty, "developer") as served:
            for noted in hasty.runtime.glob("series-*"):  # that approval is no longer valid
                noted.unlink()
            *answer, message = served.failure()

            assert answer == [400, "Interaction"]
            assert "credhelper login developer" in message
            hasty.run("login", "developer", "--yes")
            assert served.ask()[0] == 200
        assert dialogs.saw == []

    def test_approval_by_flag_covers_renewals(self, hasty, sts) -> None:
        hasty.configure(PROFILES + "confirm = true\nrequire_reason = true\n")
        with serving(hasty, "developer", "--yes", "--reason", "ticket 4711") as served:
            served.next_key(served.key())
        lines = hasty.audit()

        assert len(lines) == sts.count() >= 2
        assert {line["reason"] for line in lines} == {"ticket 4711"}
        assert all(line["confirmed_by"].endswith(" by --yes") for line in lines)

    def test_renewal_has_a_deadline_of_its_own(self, hasty) -> None:
        with serving(hasty, "developer", program=[sys.executable, "-c", A_MINUTE_LATER]) as served:
            served.next_key(served.key())
