"""`exec --accounts`: a command in each of many accounts."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import random
import re
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from credhelper.run import batch

import sts_faults as faults
from lent_keyring import lend
from sandbox import PROFILES, PROGRAM, Sandbox, is_alive, until
from secrets_scan import find_secret
from sts import SOURCE_KEY_ID, SOURCE_SECRET
from terminal import Terminal

if TYPE_CHECKING:
    from sandbox import Result
    from sts import LoopbackSts

DENIED = faults.refuse("AccessDenied", "User: arn:aws:iam::999988887777:user/me is not authorized")
ONE, OTHER = "100000000000", "100000000001"
CHAINED = """
[defaults]
region = "eu-west-1"

[profiles.org-role]
role_arn = "arn:aws:iam::999988887777:role/Org"
source_profile = "org-admin"

[profiles.audit-root]
task_policy_arn = "IAMAuditRootUserCredentials"
source_profile = "org-role"
"""


def ids(count: int) -> list[str]:
    """Account ids."""
    return [str(100000000000 + number) for number in range(count)]


def _arguments(count: int, *command: str, options: tuple[str, ...] = ()) -> list[str]:
    return ["exec", "audit-root", "--accounts", ",".join(ids(count)), *options, "--", *command]


def sweep(sandbox: Sandbox, count: int, *command: str, options: tuple[str, ...] = ()) -> Result:
    """The command in a number of accounts; stderr is empty on success, else it has the error."""
    result = sandbox.run_unchecked(*_arguments(count, *command, options=options))
    assert re.fullmatch(r"(credhelper: error: [^\n]+\n(credhelper: hint: [^\n]+\n){0,2})?", result.stderr)
    assert bool(result.stderr) == (result.status != 0)
    return result


def lines(result: Result) -> dict[str, dict[str, Any]]:
    """The lines, by account; an account has one."""
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert len({line["account"] for line in found}) == len(found)
    return {line["account"]: line for line in found}


def minted(sts: LoopbackSts) -> list[str]:
    """The accounts of all sessions that STS has given, in order."""
    return [
        call.parameters["TargetPrincipal"]
        for call in sts.calls
        if call.action == "AssumeRoot" and call.outcome in ("OK", "slow")
    ]


def _line(account: str, **more: Any) -> dict[str, Any]:
    usual = {"name": None, "rc": 0, "stdout": "", "stderr": "", "seconds": 0, "error": None}
    return {"account": account, **usual, **more}


def test_300_accounts_with_faults_have_one_right_line_each(sandbox, sts) -> None:
    modes = [faults.NORMAL] * 291 + [faults.THROTTLED] * 6 + [DENIED] * 3
    random.Random(4).shuffle(modes)
    sts.script.extend(modes)
    text = 'test "$AWS_SECRET_ACCESS_KEY" && echo "$CREDHELPER_PROFILE $CREDHELPER_ACCOUNT $AWS_REGION"'
    result = sweep(sandbox, 300, "sh", "-c", text)
    found, right = lines(result), minted(sts)
    refused = [account for account, line in found.items() if line["rc"] != 0]
    record = [("minted", account) for account in right] + [("refused", account) for account in refused]

    assert result.status == 1
    assert result.stderr.startswith("credhelper: error: 3 of 300 accounts failed\n")
    assert sorted(found) == sorted([*right, *refused]) == ids(300)
    assert len(refused) == 3
    for account in right:
        printed = f"audit-root@{account} {account} eu-west-1\n"
        assert {**found[account], "seconds": 0} == _line(account, stdout=printed)
        assert found[account]["seconds"] > 0
    for account in refused:
        sentence = "not allowed: sts:AssumeRoot on"
        assert found[account]["rc"] == 4
        assert found[account]["error"].startswith(sentence)
        assert found[account]["stderr"].startswith(f"credhelper: error: {sentence}")
    assert sorted((line["outcome"], line["account"]) for line in sandbox.audit()) == sorted(record)
    assert sts.secret_marker not in result.stdout.decode() + result.stderr
    assert find_secret([sandbox.home], sts.secret_marker) == []
    sandbox.check_modes()


class TestLines:
    def test_line_has_the_alias_and_output_as_text(self, sandbox) -> None:
        command = ("printf", r"\377\033[31m\303\251")
        done = sandbox.run("exec", "audit-root", "--accounts", "payments-prod", "--", *command)
        line = json.loads(done.stdout)

        assert (line["name"], line["stdout"]) == ("payments-prod", "\\xff\x1b[31m\xe9")
        assert b"\x1b" not in done.stdout

    def test_failing_command_keeps_its_status_and_stderr(self, sandbox) -> None:
        text = f'test $CREDHELPER_ACCOUNT = {ONE} || kill -9 $$; echo "no good" >&2; exit 3'
        result = sweep(sandbox, 2, "sh", "-c", text)
        found = {account: {**line, "seconds": 0} for account, line in lines(result).items()}

        assert result.status == 1
        assert found == {ONE: _line(ONE, rc=3, stderr="no good\n"), OTHER: _line(OTHER, rc=137)}

    def test_secrets_in_output_are_hidden(self, sandbox, sts) -> None:
        result = sweep(sandbox, 3, "sh", "-c", "env; env >&2")

        assert result.status == 0
        assert all("AWS_SECRET_ACCESS_KEY=***\n" in line["stdout"] for line in lines(result).values())
        assert sts.secret_marker not in result.stdout.decode()

    def test_lines_come_as_commands_end(self, sandbox) -> None:
        text = "test $CREDHELPER_ACCOUNT != 100000000000 || exec sleep 30"
        process = sandbox.start(*_arguments(3, "sh", "-c", text))
        first = {json.loads(process.stdout.readline())["account"] for _ in range(2)}
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

        assert first == {"100000000001", "100000000002"}

    def test_closed_stdout_stops_the_commands(self, sandbox, sts) -> None:
        with sandbox.start(*_arguments(100, "sh", "-c", "sleep 0.2")) as process:
            process.stdout.readline()
            process.stdout.close()
            shown = process.stderr.read()

        assert shown == b"credhelper: error: cannot write the answer to stdout: broken pipe\n"
        assert process.returncode == 1
        assert len(minted(sts)) < 50


class TestPace:
    @pytest.mark.parametrize("jobs", [1, 5])
    def test_jobs_is_the_number_at_a_time(self, sandbox, jobs) -> None:
        clock = "cut -d' ' -f1 /proc/uptime"
        text = f"{clock}; sleep {0.2 * jobs}; {clock}"
        found = lines(sweep(sandbox, 2 + jobs, "sh", "-c", text, options=("-j", str(jobs))))
        spans = [tuple(map(float, line["stdout"].split())) for line in found.values()]
        at_once = [sum(begins < end and start < ends for begins, ends in spans) for start, end in spans]

        assert max(sum(begins <= moment < ends for begins, ends in spans) for moment, _ in spans) == jobs
        assert jobs > 1 or max(at_once) == 1

    def test_throttling_slows_all_and_loses_none(self, sandbox, sts) -> None:
        sts.mode = faults.THROTTLED
        process = sandbox.start(*_arguments(16, "true"))
        until(lambda: sts.calls)
        time.sleep(0.8)
        asked, sts.mode = len(sts.calls), faults.NORMAL
        result = Sandbox.finish(process)

        assert asked <= 8 + 4  # one for each worker; then the gaps 0.2, 0.4; and a busy machine
        assert sorted(minted(sts)) == sorted(lines(result)) == ids(16)
        assert [line["outcome"] for line in sandbox.audit()] == ["minted"] * 16

    def test_unreachable_sts_is_exit_6_for_each_account(self, sandbox) -> None:
        result = sweep(sandbox, 3, "true", options=("--endpoint-url", "http://127.0.0.1:9"))

        assert [line["rc"] for line in lines(result).values()] == [6, 6, 6]


class TestSource:
    def test_source_role_is_assumed_once(self, sandbox, sts) -> None:
        sandbox.configure(CHAINED)
        sweep(sandbox, 20, "true")

        assert (sts.count("AssumeRole"), len(minted(sts))) == (1, 20)

    def test_only_the_source_session_is_cached(self, sandbox, sts) -> None:
        sandbox.configure(CHAINED)
        with lend(str(sandbox.home / "keyring.sock")) as keyring, sandbox.use_agent():
            sandbox.environ |= keyring
            for _ in range(2):
                sweep(sandbox, 5, "true")
            listed = json.loads(sandbox.run("agent", "status", "--json").stdout)["sessions"]
        items = [json.loads(line) for line in (sandbox.state / "items.jsonl").read_text().splitlines()]

        assert (sts.count("AssumeRole"), len(minted(sts))) == (1, 10)
        assert {item["profile"] for item in items} == {"org-role"}
        assert {each["profile"] for each in listed} <= {"org-role"}

    def test_session_cached_by_get_is_not_used(self, sandbox, sts) -> None:
        with lend(str(sandbox.home / "keyring.sock")) as keyring:
            sandbox.environ |= keyring
            sandbox.get("audit-root@100000000000")
            sweep(sandbox, 1, "true")

        assert len(minted(sts)) == 2

    def test_credential_process_runs_once(self, sandbox) -> None:
        keys = {"Version": 1, "AccessKeyId": SOURCE_KEY_ID, "SecretAccessKey": SOURCE_SECRET}
        script = f"echo asked >>{sandbox.home}/asked\nprintf '%s' '{json.dumps(keys)}'"
        source = _executable(sandbox, f"#!/bin/sh\n{script}\n")
        sandbox.aws_config(f"[profile org-admin]\ncredential_process = {source}\n")
        sweep(sandbox, 10, "true")

        assert (sandbox.home / "asked").read_text() == "asked\n"

    def test_expiring_source_is_renewed_before_sts_refuses_it(self, sandbox, sts) -> None:
        sandbox.configure(CHAINED)
        sts.script.append(faults.expires_in(61))  # a minute is what it has to have left
        result = sweep(sandbox, 3, "sleep", "0.8", options=("-j", "1"))

        assert (result.status, sts.count("AssumeRole")) == (0, 2)
        assert {line["outcome"] for line in sandbox.audit()} == {"minted"}

    def test_source_rejected_by_sts_is_renewed_once(self, sandbox, sts) -> None:
        sandbox.configure(CHAINED)
        text = f"echo >>{sandbox.home}/begun; while ! test -e {sandbox.home}/go; do sleep 0.05; done"
        process = sandbox.start(*_arguments(12, "sh", "-c", text, options=("-j", "4")))
        begun = sandbox.home / "begun"
        until(lambda: begun.exists() and begun.stat().st_size == 4)
        sts._sessions.clear()
        (sandbox.home / "go").touch()
        result = Sandbox.finish(process)

        assert (len(lines(result)), sts.count("AssumeRole"), len(minted(sts))) == (12, 2, 12)

    def test_unknown_source_key_stops_the_batch_with_exit_3(self, sandbox, sts) -> None:
        sts.keys.clear()
        result = sweep(sandbox, 300, "true")

        assert result.status == 3
        assert "AWS does not know the access key of AWS profile 'org-admin'" in result.stderr
        assert len(sts.calls) <= 20

    def test_missing_source_exits_3_before_any_account(self, sandbox, sts) -> None:
        sandbox.aws_config("[profile org-admin]\nregion = eu-west-1\n")

        assert "no credentials found" in sandbox.refuses(3, *_arguments(300, "true"))
        assert not sts.calls


def _executable(sandbox: Sandbox, text: str) -> str:
    path = sandbox.home / "script"
    path.write_text(text)
    path.chmod(0o700)
    return str(path)


class TestBefore:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("audit-root", "--accounts", "12345"), "target '12345' is neither an account id nor an alias"),
            (("audit-root@payments-prod", "--accounts", "1"), "'audit-root@payments-prod' names an account"),
            (("unlock-bucket", "--accounts", "1"), "profile 'unlock-bucket' has a target of its own"),
            (("developer", "--accounts", "1"), "profile 'developer' takes no accounts"),
            (("nobody", "--accounts", "1"), "no profile 'nobody'"),
            (("audit-root", "--accounts", "payments-prod", "--serve"), "'--serve' does not go with"),
            (("audit-root", "--accounts", "payments-prod", "--refresh"), "'--refresh' does not go with"),
            (("audit-root", "--exclude", "payments-prod"), "'--exclude' goes with '--accounts'"),
            (("audit-root", "-j", "4"), "'--jobs' goes with '--accounts'"),
            (("audit-root", "--dry-run"), "'--dry-run' goes with '--accounts'"),
            *((("audit-root", "--accounts", ONE, "-j", jobs), "'--jobs'") for jobs in ("0", "65", "x")),
            (("audit-root", "--accounts", OTHER), "denies the target"),
        ],
    )
    def test_wrong_arguments_exit_2_before_any_call(self, sandbox, sts, arguments, said) -> None:
        rule = f'deny_targets = ["{OTHER}"]\n[profiles.developer]'
        sandbox.configure(PROFILES.replace("[profiles.developer]", rule))
        assert said in sandbox.refuses(2, "exec", *arguments, "--", "true")
        assert not sts.calls

    def test_missing_command_stops_before_any_call(self, sandbox, sts) -> None:
        assert "'--accounts' needs a command" in sandbox.refuses(2, *_arguments(2)[:-1])
        assert "'nowhere' not found" in sandbox.refuses(127, *_arguments(2, "nowhere"))
        assert not sts.calls

    def test_command_that_cannot_run_stops_the_batch_with_exit_126(self, sandbox, sts) -> None:
        script = _executable(sandbox, "#!/nowhere\n")
        assert sweep(sandbox, 100, script, options=("-j", "2")).status == 126
        assert len(minted(sts)) <= 4

    @pytest.mark.parametrize(
        ("key", "flag"), [("confirm", ("--yes",)), ("require_reason", ("--reason", "why"))]
    )
    def test_approval_by_flag_is_recorded_for_each_account(self, sandbox, sts, key, flag) -> None:
        sandbox.configure(PROFILES.replace("[profiles.audit-root]", f"[profiles.audit-root]\n{key} = true"))
        sandbox.refuses(5, *_arguments(3, "true"))
        assert not sts.calls
        assert sweep(sandbox, 3, "true", options=flag).status == 0
        (given,) = {(line["confirmed_by"], line["reason"]) for line in sandbox.audit()}
        assert given != (None, None)


def test_dry_run_lists_accounts_and_runs_nothing(sandbox, sts) -> None:
    accounts = ("--accounts", "payments-prod,100000000000")
    touch = ("touch", str(sandbox.home / "done"))
    done = sandbox.run("exec", "audit-root", *accounts, "--dry-run", "--", *touch)

    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"account": "111122223333", "name": "payments-prod"},
        {"account": "100000000000", "name": None},
    ]
    assert not sts.calls
    assert not (sandbox.home / "done").exists()


def _running(sandbox: Sandbox) -> list[int]:
    """The processes that have a session of the sweep in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            environ, pid = path.read_bytes(), int(path.parent.name)
            if f"HOME={sandbox.home}".encode() in environ and b"CREDHELPER_ACCOUNT=" in environ:
                found += [pid] * is_alive(pid)
    return found


def _stopped(process: subprocess.Popen[bytes], number: int = signal.SIGINT) -> list[dict[str, Any]]:
    """The lines of a sweep that this signal ends."""
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    found = [json.loads(line) for line in stdout.splitlines()]
    assert process.returncode == 1
    assert stderr.startswith(b"credhelper: error: interrupted after %d of " % len(found))
    return found


class TestStop:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_signal_reaches_running_commands_and_each_has_its_line(self, sandbox, sts, number) -> None:
        process = sandbox.start(*_arguments(50, "sleep", "100", options=("-j", "3")))
        until(lambda: len(_running(sandbox)) == 3)
        found = _stopped(process, number)

        assert [(line["rc"], line["error"]) for line in found] == [(128 + number, "interrupted")] * 3
        assert len(minted(sts)) == 3
        assert _running(sandbox) == []

    def test_interrupted_command_may_end_by_itself(self, sandbox) -> None:
        text = "trap 'echo bye; exit 0' INT; echo ready >&2; while :; do sleep 0.05; done"
        process = sandbox.start(*_arguments(2, "sh", "-c", text, options=("-j", "1")))
        until(lambda: _running(sandbox))
        time.sleep(0.3)
        (line,) = _stopped(process)

        assert {**line, "seconds": 0} == _line(ONE, stdout="bye\n", stderr="ready\n")

    def test_second_signal_kills_the_commands(self, sandbox) -> None:
        text = "trap '' INT; sleep 100 & echo ready >&2; wait; sleep 100"
        process = sandbox.start(*_arguments(2, "sh", "-c", text, options=("-j", "1")))
        until(lambda: len(_running(sandbox)) == 2)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        (line,) = _stopped(process)

        assert (line["rc"], line["error"]) == (137, "interrupted")
        assert _running(sandbox) == []

    def test_kill_follows_after_the_grace_or_a_second_signal(self, monkeypatch) -> None:
        told: list[int] = []
        stop = batch.Stop(told.append)
        for _ in range(2):
            stop.now(signal.SIGTERM)
        assert told == [signal.SIGTERM, signal.SIGKILL]

        monkeypatch.setattr(batch, "GRACE", 0.05)
        told.clear()
        batch.Stop(told.append).now(signal.SIGTERM)
        assert until(lambda: told == [signal.SIGTERM, signal.SIGKILL])

    def test_interrupt_waits_for_calls_under_way(self, sandbox, sts) -> None:
        sts.mode = faults.slow(1)
        process = sandbox.start(*_arguments(9, "touch", str(sandbox.home / "done"), options=("-j", "2")))
        until(lambda: len(sts.calls) == 2)

        assert [(line["rc"], line["error"]) for line in _stopped(process)] == [(1, "interrupted")] * 2
        assert len(sandbox.audit()) == len(minted(sts)) == 2
        assert not (sandbox.home / "done").exists()

    def test_interrupt_ends_throttled_waits_at_once(self, sandbox, sts) -> None:
        sts.mode = faults.THROTTLED
        process = sandbox.start(*_arguments(9, "true", options=("-j", "4")))
        until(lambda: len(sts.calls) > 4)
        began = time.monotonic()
        _stopped(process)

        assert time.monotonic() - began < 8
        assert minted(sts) == []


class TestTerminal:
    def test_confirmation_on_the_terminal_covers_all_accounts(self, sandbox, sts) -> None:
        sandbox.configure(PROFILES.replace("[profiles.audit-root]", "[profiles.audit-root]\nconfirm = true"))
        terminal = Terminal(sandbox, [PROGRAM, *_arguments(3, "true")], TERM="xterm")
        asked = terminal.sees(r"start this session\? \[y/N\] ").string
        terminal.types("y\n")
        status, shown = terminal.leaves()

        assert f"root of 3 accounts: {', '.join(ids(3))}\r\n" in asked
        assert (status, shown.count("start this session?"), len(minted(sts))) == (0, 0, 3)
        assert all(line["confirmed_by"].endswith(" by tty") for line in sandbox.audit())

        assert sweep(sandbox, 3, "true").status == 0
        assert "run it on a terminal, or say --yes" in sandbox.refuses(5, *_arguments(4, "true"))

    def test_progress_bar_counts_on_stderr(self, sandbox) -> None:
        text = "sleep 0.2; test $CREDHELPER_ACCOUNT != 100000000000"
        status, stdout, shown = _watched(sandbox, *_arguments(10, "sh", "-c", text, options=("-j", "2")))
        said = _without_controls(shown)
        frames = [frame for frame in said if frame.startswith("audit-root")]

        assert status == 1
        assert len(stdout.splitlines()) == 10
        assert any(re.search(r"audit-root .* +[1-9]/10 1 failed +0:00:0\d", frame) for frame in frames), said
        assert max(map(len, frames)) <= 80
        assert [line for line in said if line and line not in frames] == [
            "credhelper: error: 1 of 10 accounts failed",
            "credhelper: hint: in their lines 'rc' is not 0, or 'error' says what went wrong",
        ]

    def test_lines_and_bar_on_one_terminal_do_not_mix(self, sandbox) -> None:
        status, seen = sandbox.on_a_terminal(*_arguments(5, "sleep", "0.1"), TERM="xterm")
        found = [line for line in _without_controls(seen) if line.startswith("{")]

        assert status == 0
        assert sorted(json.loads(line)["account"] for line in found) == ids(5)

    def test_dumb_terminal_or_pipe_has_no_bar(self, sandbox) -> None:
        status, _, shown = _watched(sandbox, *_arguments(3, "true"), TERM="dumb")
        assert (status, shown) == (0, "")

        assert sandbox.run(*_arguments(3, "true"), FORCE_COLOR="1", TTY_COMPATIBLE="1").stderr == ""

    def test_ctrl_c_reaches_the_commands_once(self, sandbox) -> None:
        text = "n=0; trap 'n=1; echo got it' INT; while test $n = 0; do sleep 0.05; done; sleep 0.3; exit 9"
        command = [PROGRAM, *_arguments(9, "sh", "-c", text, options=("-j", "2"))]
        terminal = Terminal(sandbox, command, TERM="xterm")
        until(lambda: len(_running(sandbox)) >= 4)  # two shells, and what they wait for
        terminal.types("\x03")
        terminal.sees("stopping")
        status, shown = terminal.leaves()

        assert status == 1
        assert shown.count("got it") == 2
        assert "interrupted after 2 of 9 accounts" in shown
        assert _running(sandbox) == []


def _without_controls(shown: str) -> list[str]:
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown))


def _watched(sandbox: Sandbox, *arguments: str, TERM: str = "xterm") -> tuple[int, bytes, str]:  # noqa: N803
    """The program with a terminal as stderr: its status, its stdout, and what was seen."""
    ours, its = pty.openpty()
    environ = {**sandbox.environ, "TERM": TERM, "COLUMNS": "80", "LINES": "24"}
    pipes = {"stdin": its, "stdout": subprocess.PIPE, "stderr": its}
    with subprocess.Popen([PROGRAM, *arguments], env=environ, **pipes) as process:
        os.close(its)
        shown = _read(ours)
        stdout = process.stdout.read()
    return process.returncode, stdout, shown


def _read(terminal: int) -> str:
    shown = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while select.select([terminal], [], [], 30)[0] and (block := os.read(terminal, 4096)):
            shown += block
    os.close(terminal)
    return shown.decode()
