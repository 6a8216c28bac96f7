"""Prompts under real SDKs, which hide stdout and stderr: once for all callers that wait."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import requirements
import sts_faults as faults
from clients import AWS_CLI_V1, AWS_CLI_V2, BOTO3
from clocks import SETTLED, Clock
from sandbox import AWS_CONFIG, PROFILES, PROGRAM, until
from terminal import Dialogs, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Sandbox
    from sts import LoopbackSts

DEVICE = "arn:aws:iam::999988887777:mfa/me"
LAUNCHER = str(Path(PROGRAM).with_name("credhelper-get"))
MFA = f'mfa_serial = "{DEVICE}"\n'
HERD = 60
"""Callers at once."""

EVERYBODY = f'for number in $(seq {HERD}); do "$@" >out.$number 2>err.$number & done; wait'


@pytest.fixture(name="mfa")
def _mfa(sandbox: Sandbox, sts: LoopbackSts) -> Sandbox:
    """The sandbox with a developer profile that needs an MFA code; the SDKs know the profile."""
    sandbox.configure(PROFILES + MFA)
    line = f"\n[profile developer]\ncredential_process = {PROGRAM} get developer\nregion = eu-west-1\n"
    sandbox.aws_config(AWS_CONFIG + line)
    sts.mfa_codes = {DEVICE: "123456"}
    return sandbox


@pytest.fixture(name="shared")
def _shared(mfa: Sandbox) -> Iterator[Sandbox]:
    """The same, with an agent."""
    with mfa.use_agent():
        yield mfa


ECHO = 'mfa_command = ["echo", "123456"]\n'


def at_prompt(sandbox: Sandbox, *command: str, **environ: str) -> Terminal:
    """A terminal on which a program, `get` unless given, asks for an MFA code."""
    terminal = Terminal(sandbox, command or [PROGRAM, "get", "developer", "--show"], **environ)
    terminal.sees("MFA code of ")
    return terminal


def enter(terminal: Terminal, keys: str = "123456\n") -> tuple[int, str]:
    """Type the last answer; how the program ended, and what it has shown since."""
    terminal.types(keys)
    return terminal.leaves()


def _clients(sts: LoopbackSts) -> dict[str, list[str]]:
    cli = f"sts get-caller-identity --profile developer --query Arn --endpoint-url {sts.url}".split()
    return {
        "boto3": [sys.executable, "-c", BOTO3, "developer", "1"],
        "AWS CLI v1": [str(AWS_CLI_V1), *cli],
        "AWS CLI v2": [str(AWS_CLI_V2), *cli],
    }


def _answers(sandbox: Sandbox) -> list[str]:
    """What each of a herd has printed; none has said a word besides."""
    assert all(path.read_text() == "" for path in sandbox.home.glob("err.*"))
    return [path.read_text() for path in sandbox.home.glob("out.*")]


@pytest.mark.parametrize("client", ["boto3", "AWS CLI v1", "AWS CLI v2"])
def test_the_prompt_is_on_the_terminal_and_names_the_requester(shared, sts, client: str) -> None:
    command = _clients(sts)[client]
    requirements.program(command[0])
    terminal = Terminal(shared, command, AWS_PAGER="")
    asked = terminal.sees(f"MFA code of '{DEVICE}': ").string
    status, shown = enter(terminal)
    assert "credhelper: profile 'developer' needs an MFA code" in asked
    assert "requested by " + ("python" if client == "boto3" else "aws") in asked
    assert "account 999988887777" in asked
    assert (status, "123456" in shown) == (0, False)
    assert "assumed-role/Developer/" in shown
    assert sts.count("GetSessionToken") == 1


def test_60_callers_need_one_answer(shared, sts) -> None:
    status, shown = enter(at_prompt(shared, "sh", "-c", EVERYBODY, "sh", LAUNCHER, "developer"))
    assert (status, "MFA code" in shown) == (0, False)
    answers = _answers(shared)
    assert (len(answers), len(set(answers))) == (HERD, 1)
    assert (sts.count("GetSessionToken"), sts.count("AssumeRole")) == (1, 1)


def test_60_callers_without_terminal_and_agent_get_one_dialog(mfa, sts, secret_service) -> None:
    mfa.config.write_text(mfa.config.read_text() + "\n[keyring]\ntimeout = 20\n")
    person = Dialogs(mfa, "types 123456")
    subprocess.run(
        ["sh", "-c", EVERYBODY, "sh", PROGRAM, "get", "developer"],
        cwd=mfa.home, env=mfa.environ, start_new_session=True, timeout=150, check=True,
    )  # fmt: skip
    assert len(person.saw) == 1
    assert len(set(_answers(mfa))) == 1
    assert sts.count("GetSessionToken") == 1


@pytest.mark.alone
def test_without_a_way_to_prompt_get_exits_with_5_at_once_and_names_login_which_exits_with_5_too(mfa) -> None:
    began = time.monotonic()
    mfa.refuses(2, "get", "nothing-of-that-name")
    started = time.monotonic()
    said = mfa.refuses(5, "get", "developer")
    assert "profile 'developer' needs an MFA code, and no prompt is possible" in said
    assert "credhelper: hint: run 'credhelper login developer'" in said
    assert time.monotonic() - started < 1 + (started - began)
    assert "no prompt is possible" in mfa.refuses(5, "login", "developer")


def test_a_code_that_aws_rejects_is_asked_for_again(shared, sts) -> None:
    terminal = at_prompt(shared)
    others = [shared.start("get", "developer") for _ in range(3)]
    until(lambda: len(list(shared.runtime.glob("*.lock"))) > 0)
    time.sleep(1.5)  # until they wait
    terminal.types("111111\n")
    assert "AWS did not accept the last code" in terminal.sees("MFA code of ").string
    assert enter(terminal)[0] == 0
    assert {shared.finish(other).status for other in others} == {0}
    sent = [call.parameters["TokenCode"] for call in sts.calls if call.action == "GetSessionToken"]
    assert sent == ["111111", "123456"]


@pytest.mark.parametrize("second", ["222222", "111111"])
def test_a_second_rejected_code_is_the_last(mfa, sts, second: str) -> None:
    terminal = Terminal(mfa, [PROGRAM, "get", "developer", "--show"])
    for code in ("111111", second):
        terminal.sees("MFA code of ")
        terminal.types(f"{code}\n")
    status, shown = terminal.leaves()
    assert status == 4
    assert f"AWS did not accept the MFA code for '{DEVICE}'" in shown
    assert sts.count("GetSessionToken") == len({"111111", second})


@pytest.mark.parametrize("way", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_a_cancelled_prompt_ends_all_callers_that_wait_and_is_recorded(shared, sts, way: str) -> None:
    terminal = at_prompt(shared)
    others = [shared.start("get", "developer") for _ in range(3)]
    time.sleep(1.5)  # until they wait
    ended = [enter(terminal, way), *((each.status, each.stderr) for each in map(shared.finish, others))]
    assert {status for status, _ in ended} == {5}
    assert all("cancelled: profile 'developer'" in shown for _, shown in ended), ended
    assert sts.count() == 0
    assert [line["outcome"] for line in shared.audit()] == ["declined"]
    assert enter(at_prompt(shared))[0] == 0


@pytest.mark.parametrize("agent", ["auto", "off"])
def test_ctrl_c_on_a_shared_terminal_ends_every_caller_with_5(mfa, sts, agent: str) -> None:
    one = '"$@" 2>err.$n >/dev/null; echo $? >rc.$n'
    script = f"for n in 1 2 3 4; do {{ {one}; }} & done; trap : INT; wait; wait"
    with mfa.use_agent():
        terminal = at_prompt(
            mfa, "sh", "-c", script, "sh", PROGRAM, "get", "developer", CREDHELPER_AGENT=agent
        )
        time.sleep(2)  # until the others wait
        enter(terminal, "\x03")

    said = [path.read_text() for path in mfa.home.glob("err.*")]
    assert [path.read_text() for path in mfa.home.glob("rc.*")] == ["5\n"] * 4, said
    assert sts.count() == 0


def test_without_an_agent_a_refusal_ends_callers_at_the_lock(mfa, sts) -> None:
    person = Dialogs(mfa, "no")
    terminal = at_prompt(mfa, CREDHELPER_PROMPT="tty")
    others = [mfa.start("get", "developer") for _ in range(3)]
    time.sleep(2)  # until they wait
    assert enter(terminal, "\x04")[0] == 5
    assert {mfa.finish(other).status for other in others} == {5}
    assert (person.saw, sts.count()) == ([], 0)


@pytest.mark.parametrize(
    ("more", "calls"),
    [("", ["GetSessionToken", "AssumeRole"]), ("mfa_session = false\n", ["AssumeRole"])],
)
def test_mfa_command_prints_the_code_of_the_session_or_of_the_role_itself(
    mfa, sts, more: str, calls: list[str]
) -> None:
    mfa.configure(PROFILES + MFA + more + ECHO)
    mfa.get("developer")
    assert [call.action for call in sts.calls] == calls
    assert sts.calls[0].parameters["TokenCode"] == "123456"


def test_a_code_is_not_sent_again_after_a_lost_answer(mfa, sts) -> None:
    mfa.configure(PROFILES + MFA + ECHO)
    sts.mode = faults.status_xml(500)
    mfa.refuses(6, "get", "developer")
    assert sts.count() == 1
    mfa.refuses(6, "get", "unlock-bucket")
    assert sts.count("AssumeRoot") == 3


def test_a_missing_mfa_command_is_named_in_the_hint(mfa) -> None:
    mfa.configure(PROFILES + MFA + 'mfa_command = ["no-such-program"]\n')
    assert "hint: 'mfa_command' names no program: 'no-such-program'" in mfa.refuses(5, "get", "developer")


def test_prompts_of_two_profiles_take_turns(shared, sts) -> None:
    other = "arn:aws:iam::999988887777:mfa/other"
    sts.mfa_codes = {DEVICE: "123456", other: "654321"}
    ops = f'[profiles.ops]\nrole_arn = "arn:aws:iam::222233334444:role/Ops"\nmfa_serial = "{other}"\n'
    shared.configure(PROFILES + MFA + ops)
    script = f"{PROGRAM} get developer >a & {PROGRAM} get ops >b & wait"
    terminal = Terminal(shared, ["sh", "-c", script])
    for _ in range(2):
        asked = terminal.sees(r"MFA code of '([^']+)': ")
        with pytest.raises(AssertionError, match="is not to be seen"):
            terminal.sees("MFA code of", seconds=2)
        terminal.types(sts.mfa_codes[asked[1]] + "\n")  # type: ignore[operator]
    assert terminal.leaves()[0] == 0
    assert [json.loads((shared.home / name).read_text())["Version"] for name in "ab"] == [1, 1]


def test_login_prompts_and_prints_how_long_each_session_is_valid(shared, sts) -> None:
    status, shown = enter(at_prompt(shared, PROGRAM, "login", "developer"))
    assert status == 0
    assert "developer: 60 min, until " in shown
    assert f"MFA session of {DEVICE}: 12 h, until " in shown
    for issued in sts.issued:
        assert issued["SecretAccessKey"] not in shown
        assert issued["SessionToken"] not in shown
    shared.get("developer")
    assert sts.count("AssumeRole") == 1


def test_login_with_a_session_does_not_prompt(shared, sts) -> None:
    shared.configure(PROFILES + MFA + ECHO)
    shared.get("developer")
    shared.configure(PROFILES + MFA)
    assert b"developer: 60 min" in shared.run("login", "developer").stdout
    assert sts.count() == 2


def test_login_takes_several_profiles(shared, sts) -> None:
    said = shared.run("login", "unlock-bucket", "audit-root@payments-prod").stdout.decode()

    named = [line.partition(":")[0] for line in said.splitlines() if not line.startswith(" ")]
    assert named == ["unlock-bucket", "audit-root@payments-prod"]
    assert "renewal without a prompt: 60 min" in said


def test_login_without_keyring_and_agent_says_that_nothing_is_cached(sandbox) -> None:
    said = sandbox.run("login", "developer").stdout.decode()
    assert "not cached: there is neither a keyring nor an agent" in said


def configure(sandbox: Sandbox, rules: str) -> None:
    """Give the profile unlock-bucket these rules."""
    sandbox.configure(PROFILES.replace("[profiles.audit-root]", f"{rules}\n[profiles.audit-root]"))


def test_a_confirmation_names_account_and_task_and_is_recorded(sandbox, sts) -> None:
    configure(sandbox, "confirm = true\n")
    terminal = Terminal(sandbox, [PROGRAM, "get", "unlock-bucket", "--show"])
    asked = terminal.sees(r"start this session\? \[y/N\] ").string
    terminal.types("y\n")
    assert terminal.leaves()[0] == 0
    assert "root of account payments-prod (111122223333)" in asked
    assert "task: delete a bucket policy that denies all access" in asked
    assert sandbox.audit()[0]["confirmed_by"].endswith(" by tty")


def test_a_refused_confirmation_mints_nothing_and_is_recorded(sandbox, sts) -> None:
    configure(sandbox, "confirm = true\n")
    Dialogs(sandbox, "no")
    said = sandbox.refuses(5, "get", "unlock-bucket")
    assert "asks for your confirmation" in said
    assert sts.count() == 0
    declined = [("declined", "unlock-bucket")]
    assert [(line["outcome"], line["profile"]) for line in sandbox.audit()] == declined


def test_a_reason_has_to_match_and_is_recorded(sandbox, sts) -> None:
    configure(sandbox, 'require_reason = "OPS-[0-9]+"\n')
    person = Dialogs(sandbox, "types because", "types OPS-12: bucket locked")
    sandbox.get("unlock-bucket")
    assert len(person.saw) == 2
    assert sandbox.audit()[0]["reason"] == "OPS-12: bucket locked"


def test_a_reason_in_the_call_is_asked_for_once_and_sent(sandbox, sts, secret_service) -> None:
    rules = 'role_arn = "arn:aws:iam::222233334444:role/Ops"\nsource_identity = "{user}-{reason}"\n'
    sandbox.configure(PROFILES + "[profiles.ops]\n" + rules)
    person = Dialogs(sandbox, "types OPS-12")
    callers = [sandbox.start("get", "ops") for _ in range(5)]
    assert {sandbox.finish(caller).status for caller in callers} == {0}
    assert len(person.saw) == 1
    assert sts.calls[-1].parameters["SourceIdentity"].endswith("-OPS-12")
    assert sts.count() == 1


def test_login_with_reason_and_yes_saves_later_prompts(shared, sts) -> None:
    configure(shared, "confirm = true\nrequire_reason = true\n")
    said = shared.run("login", "unlock-bucket", "--yes", "--reason", "ticket 4711").stdout.decode()
    assert "confirmation: 15 min, until " in said
    shared.run("clear", "unlock-bucket")
    shared.get("unlock-bucket")
    assert sts.count() == 2
    assert {line["reason"] for line in shared.audit()} == {"ticket 4711"}
    assert {line["confirmed_by"].partition(" by ")[2] for line in shared.audit()} == {"--yes"}


def test_the_session_of_a_profile_without_confirm_is_not_used(sandbox, sts, secret_service) -> None:
    other = '[profiles.careful]\ntarget_principal = "payments-prod"\nconfirm = true\n'
    other += 'task_policy_arn = "S3UnlockBucketPolicy"\n'
    sandbox.configure(PROFILES + other)
    sandbox.get("unlock-bucket")
    assert "asks for your confirmation" in sandbox.refuses(5, "get", "careful")


@pytest.mark.parametrize("rules", ["renew_for = 60\n", "confirm = true\n"])
def test_an_approval_that_cannot_be_stored_mints_nothing(sandbox, sts, tmp_path, rules: str) -> None:
    clock = Clock(tmp_path / "clock", all_clocks=True)
    sts.check_clock = False
    sandbox.environ |= clock.environ
    configure(sandbox, rules)
    sandbox.run_unchecked("get", "unlock-bucket", "--yes")
    clock.jump(1000)
    full = ["sh", "-c", f"ulimit -f 0; exec {PROGRAM} get unlock-bucket"]
    for command in (full, full, [PROGRAM, "get", "unlock-bucket"]):
        done = subprocess.run(command, env=sandbox.environ, capture_output=True, check=False)
        assert done.returncode in {1, 5}, done.stderr  # 1 where what is said could not be kept
    assert sts.count() == 1


def test_an_edited_profile_needs_a_new_confirmation(sandbox, sts) -> None:
    configure(sandbox, "confirm = true\n")
    sandbox.get("unlock-bucket", "--yes")
    sandbox.get("unlock-bucket")
    sandbox.config.write_text(sandbox.config.read_text().replace("111122223333", "444455556666"))
    assert "asks for your confirmation" in sandbox.refuses(5, "get", "unlock-bucket")


LOOP = """\
import boto3, sys
session = boto3.Session(profile_name="unlock-bucket")
for line in sys.stdin:
    print(session.client("sts").get_caller_identity()["Arn"], flush=True)
"""
HOUR_AND_A_HALF = 5400
STEP = 130
"""Seconds between two calls of the loop: no multiple of it is close to a moment at which anything changes."""


@dataclass
class Model:
    """How often section "Prompts" of the README lets a person be asked, for sessions of 900 s."""

    confirm: bool
    renew_for: int
    asked: int = 0
    minted: int = 0
    yes: float = float("-inf")
    began: float = 0.0
    session: float = float("-inf")

    def call(self, now: float) -> None:
        """A program wants the session."""
        is_asked = (self.confirm and now - self.yes >= 900) or now - self.began > self.renew_for
        if 900 - (now - self.session) >= (60 if is_asked else 630):
            return
        if is_asked:
            self.asked, self.yes, self.began = self.asked + 1, now, now
        self.minted, self.session = self.minted + 1, now


@pytest.mark.parametrize(
    ("rules", "model"),
    [
        ("confirm = true", Model(confirm=True, renew_for=3600)),
        ("require_reason = true\nrenew_for = 1200", Model(confirm=False, renew_for=1200)),
    ],
    ids=["confirm", "reason and renewal"],
)
def test_the_user_is_asked_as_often_as_the_rules_say(
    sandbox, sts, secret_service, tmp_path, rules: str, model: Model
) -> None:
    clock = Clock(tmp_path / "clock", all_clocks=True)
    configure(sandbox, rules)
    line = f"\n[profile unlock-bucket]\ncredential_process = {PROGRAM} get unlock-bucket\n"
    sandbox.aws_config(AWS_CONFIG + line + "region = eu-west-1\n")
    reasons = rules.count("reason")
    person = Dialogs(sandbox, *(["types OPS-12"] * reasons), "yes")
    with subprocess.Popen(
        [sys.executable, "-c", LOOP],
        env={**sandbox.environ, **clock.environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as loop:
        assert loop.stdin is not None
        assert loop.stdout is not None
        began = time.monotonic()
        for ahead in range(0, HOUR_AND_A_HALF, STEP):
            clock.jump(ahead)
            sts.clock_offset = ahead + SETTLED
            model.call(ahead + time.monotonic() - began)
            loop.stdin.write(b"go\n")
            assert loop.stdout.readline() == b"arn:aws:iam::111122223333:root\n", ahead
        loop.stdin.close()
    assert (len(person.saw) - reasons, sts.count()) == (model.asked, model.minted)
    assert model.asked > 1
    record = sandbox.audit()
    assert len(record) == model.minted
    assert {line["reason"] for line in record} == ({"OPS-12"} if reasons else {None})
    assert {line["confirmed_by"].partition(" by ")[2] for line in record} == {"pinentry"}
