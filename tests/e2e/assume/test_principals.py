"""`assume-root --target-principal -`: principals on stdin, a line of JSON each."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

import sts_faults as faults
from sandbox import PROFILES, STDERR, until
from secrets_scan import find_secret

if TYPE_CHECKING:
    from sandbox import Sandbox

LINE = ("assume-root", "--task-policy-arn", "IAMAuditRootUserCredentials", "--target-principal", "-")
IDS = [str(100000000000 + number) for number in range(300)]


def answers(
    sandbox: Sandbox, principals: list[str], *options: str, status: int = 0, **environ: str
) -> tuple[list[dict[str, Any]], str]:
    """The lines that come for these principals, and stderr; the exit status is as expected."""
    process = sandbox.start(*LINE, *options, **environ)
    stdout, stderr = process.communicate("".join(f"{each}\n" for each in principals).encode(), timeout=120)

    assert process.returncode == status, stderr
    assert STDERR.fullmatch(stderr.decode()) if status else stderr == b""
    return [json.loads(line) for line in stdout.splitlines()], stderr.decode()


def test_throttled_300_principals_are_each_minted_once_and_kept_nowhere(sandbox, sts, secret_service) -> None:
    modes = [faults.NORMAL] * 294 + [faults.THROTTLED] * 6
    random.Random(5).shuffle(modes)
    sts.script.extend(modes)
    with sandbox.use_agent():
        lines, _ = answers(sandbox, IDS)
        assert b'"sessions": []' in sandbox.run("agent", "status", "--json").stdout

    issued = {each["AccessKeyId"]: each for each in sts.issued}
    minted = [call.parameters["TargetPrincipal"] for call in sts.calls if call.outcome == "OK"]
    assert sorted(minted) == IDS
    assert sorted(line["TargetPrincipal"] for line in lines) == IDS
    for line in lines:
        credentials = issued[line["AccessKeyId"]]
        assert line["AccountId"] == line["TargetPrincipal"]
        for name in ("SecretAccessKey", "SessionToken"):
            assert line[name] == credentials[name]
    assert len({line["AccessKeyId"] for line in lines}) == 300
    assert sorted(line["account"] for line in sandbox.audit()) == IDS
    assert not (sandbox.state / "items.jsonl").exists()
    assert find_secret([sandbox.home], sts.secret_marker) == []


def test_failing_principal_has_its_error_and_others_succeed(sandbox, sts) -> None:
    sandbox.configure(PROFILES.replace("[defaults]", '[defaults]\ndeny_targets = ["222222222222"]'))
    sts.script.append(faults.refuse("AccessDenied", "no"))
    lines, said = answers(sandbox, ["111122223333", "paymnts-prod", "222222222222", "333333333333"], status=1)
    found = {line.pop("TargetPrincipal"): line for line in lines}

    assert said.startswith("credhelper: error: 3 of 4 principals failed\n")
    assert found["paymnts-prod"]["Hints"] == ["did you mean 'payments-prod'"]
    assert "denies the target '222222222222'" in found["222222222222"]["Error"]
    refused, minted = sorted(("111122223333", "333333333333"), key=lambda each: "Error" not in found[each])
    assert found[refused]["Error"].startswith("not allowed: sts:AssumeRoot on")
    assert found[minted]["AccountId"] == minted


def test_account_named_three_ways_is_minted_once(sandbox, sts) -> None:
    named = ["# the payments", "", "payments-prod", "111122223333 # again", "arn:aws:iam::111122223333:root"]
    lines, _ = answers(sandbox, named)

    assert [line["TargetPrincipal"] for line in lines] == ["payments-prod"]
    assert sts.count() == 1


def test_output_options_shape_each_line(sandbox, sts) -> None:
    sts.source_identity = "Alice"
    (envelope,), (answer,), (found,) = (
        answers(sandbox, ["payments-prod"], *options)[0]
        for options in ([], ["--output", "response"], ["--query", "SourceIdentity"])
    )

    assert set(envelope) == {*sandbox.get("unlock-bucket"), "TargetPrincipal"}
    assert set(answer) == {"TargetPrincipal", "Credentials", "SourceIdentity"}
    assert found == {"TargetPrincipal": "payments-prod", "Result": "Alice"}


def test_failing_query_is_an_error_in_each_line(sandbox, sts) -> None:
    query = "abs(not_null(SourceIdentity && `1`, Credentials.SessionToken))"
    lines, said = answers(sandbox, IDS[:3], "--query", query, status=1)

    assert sorted(line["TargetPrincipal"] for line in lines) == IDS[:3]
    assert {line["Error"] for line in lines} == {"'--query' does not fit what STS has answered"}
    assert said.startswith("credhelper: error: 3 of 3 principals failed\n")
    assert len(sandbox.audit()) == 3


@pytest.mark.parametrize(
    ("principals", "options", "said"),
    [
        ([], [], "stdin names no principal"),
        (["111122223333"], ["--output", "text"], "answered in lines of JSON, not as text"),
        (["111122223333"], ["--credential-stdin"], "both read stdin"),
        (["111122223333"], ["--refresh"], "for whom all is minted"),
        (["111122223333"], ["--duration-seconds", "901"], "must be 0 to 900 seconds"),
    ],
)
def test_mistake_with_principals_exits_2_before_any_call(sandbox, sts, principals, options, said) -> None:
    assert said in answers(sandbox, principals, *options, status=2)[1]
    assert sts.calls == []


def test_missing_source_exits_3_before_any_call(sandbox, sts) -> None:
    lines, shown = answers(sandbox, IDS, "--profile", "nobody", status=3)
    assert (lines, sts.calls) == ([], [])
    assert "source_profile 'nobody'" in shown


def test_required_reason_is_recorded_for_each_principal(sandbox, sts) -> None:
    sandbox.configure(PROFILES.replace("[defaults]", "[defaults]\nrequire_reason = true"))

    answers(sandbox, IDS[:3], status=5)
    assert sts.calls == []
    answers(sandbox, IDS[:3], "--reason", "ticket 4711")
    assert [line["reason"] for line in sandbox.audit()] == ["ticket 4711"] * 3


def test_interrupt_prints_all_that_was_minted(sandbox, sts) -> None:
    sts.mode = faults.slow(0.3)
    process = sandbox.start(*LINE)
    process.stdin.write("".join(f"{each}\n" for each in IDS).encode())
    process.stdin.close()
    process.stdin = None
    until(lambda: sts.calls)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    lines = stdout.splitlines()

    assert process.returncode == 1
    assert stderr.startswith(f"credhelper: error: interrupted after {len(lines)} of 300 principals".encode())
    assert len(lines) == len(sts.issued) < 300


def test_closed_stdout_stops_the_batch(sandbox, sts) -> None:
    sts.mode = faults.slow(0.1)
    line = f"seq 100000000000 100000000299 | credhelper {' '.join(LINE)} | head -1"
    shell = ["sh", "-c", line]
    done = subprocess.run(shell, env=sandbox.environ, capture_output=True, check=False, timeout=60)

    assert done.stdout.count(b"\n") == 1
    assert b"cannot write the answer to stdout: broken pipe" in done.stderr
    assert sts.count() < 60
