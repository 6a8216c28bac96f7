"""`credhelper doctor`: checks of the machine, its files and its profiles. Each thing is broken for real."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import credhelper
from credhelper.deadline import Deadline
from credhelper.doctor.findings import fine
from credhelper.doctor.runner import Examination, run_checks

import sts_faults as faults
from blocks import script
from consult import Diagnosis, consult, sentence
from disks import as_root, fill
from sandbox import AWS_CONFIG, PROFILES, PROGRAM, agents_in, until

if TYPE_CHECKING:
    from organization import LoopbackAws
    from sandbox import Sandbox
    from sts import LoopbackSts

FOREIGN = 65534
RUNS_CREDHELPER = f"""
[profile developer]
credential_process = {Path(PROGRAM).with_name("credhelper-get")} developer
region = eu-west-1
"""
as_two_users = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be two users")


@pytest.fixture(name="well")
def _well(sandbox: Sandbox, aws: LoopbackAws) -> Sandbox:
    """A sandbox with nothing to report but that its AWS is a double."""
    sandbox.aws_config(AWS_CONFIG + RUNS_CREDHELPER)
    return sandbox


class TestFit:
    """A machine on which everything works."""

    @pytest.mark.parametrize("name", [None, "developer"])
    def test_every_check_is_fine_and_nothing_is_minted(
        self, well: Sandbox, sts: LoopbackSts, secret_service, name: str | None
    ) -> None:
        with well.use_agent():
            found = consult(well, *([name] if name else []))

        assert found.of("problem") == []
        assert found.of("note") == [
            f"STS is called at '{well.environ['AWS_ENDPOINT_URL_STS']}', not at AWS's own endpoint"
        ]
        checks = {"config", "modes", "agent", "aws files", "commands", "aws", "keyring", "profile", "clock"}
        assert checks <= {each["check"] for each in found.findings}
        assert (sts.count(), well.audit()) == (0, [])
        assert not (well.state / "items.jsonl").exists()

    def test_table_fits_80_columns_and_is_coloured_on_terminals_only(self, well: Sandbox) -> None:
        piped = well.prints("doctor")
        status, shown = well.on_a_terminal("doctor")
        _, plain = well.on_a_terminal("doctor", NO_COLOR="1")

        assert status == 0
        assert re.search(r"^fine +developer +AssumeRole arn:\S+ in eu-west-1$", piped, re.MULTILINE)
        assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in shown.splitlines()) <= 80
        assert "\x1b[33m" in shown
        assert "\x1b[3" not in plain
        assert "\x1b" not in piped

    def test_quick_uses_no_network(self, well: Sandbox, sts: LoopbackSts, aws: LoopbackAws) -> None:
        code = (
            "import json, os; from credhelper import app, doctor; found = doctor.quick("
            "app.open_app(os.environ, app.Invocation(__import__('time').monotonic())), ['developer']);"
            "print(json.dumps([each.to_json() for each in found]))"
        )
        done = subprocess.run([sys.executable, "-c", code], env=well.environ, check=True, capture_output=True)
        found = Diagnosis(json.loads(done.stdout))

        assert found.fit
        assert found.of("fine", "profile")
        assert (sts.calls, aws.asked) == ([], [])


class TestConfig:
    """config.toml, and each profile in it."""

    @pytest.mark.parametrize(
        ("text", "level", "said"),
        [
            (None, "problem", "no configuration file '{}'"),
            ("[profiles.a\n", "problem", "is not valid TOML"),
            (PROFILES.replace('"111122223333"', '"1234"'), "problem", "must be an account id"),
            ("", "note", "'{}' has no profiles yet"),
        ],
    )
    def test_file_without_a_usable_profile(
        self, well: Sandbox, text: str | None, level: str, said: str
    ) -> None:
        well.aws_config(AWS_CONFIG)
        if text is None:
            well.config.unlink()
        else:
            well.configure(text)
        found = consult(well)

        assert said.format(well.config) in found.only(level, "config")["sentence"]
        assert found.of("fine", "profile") == []
        assert found.fit is (level == "note")

    def test_each_broken_profile_is_a_problem_and_the_others_are_fine(self, well: Sandbox) -> None:
        role = 'role_arn = "arn:aws:iam::222233334444:role/D"\n'
        broken = {
            "typo": ('source_profil = "x"', "'source_profil' in [profiles.typo] is not a known key"),
            "hen": ('source_profile = "egg"', "profiles form a loop: 'hen' -> 'egg' -> 'hen'"),
            "egg": ('source_profile = "hen"', "profiles form a loop: 'egg' -> 'hen' -> 'egg'"),
            "lost": ('source_profile = "org-admni"', "source_profile 'org-admni' is neither"),
            "key": ('source_key = "none"', "saved key 'none' is not in the OS keyring"),
            "bundle": ('ca_bundle = "/no/such.pem"', "names no file: '/no/such.pem'"),
            "deep": (
                'source_profile = "developer"\nduration_seconds = 7200',
                "its source is another role, so AWS refuses 'duration_seconds' above 3600",
            ),
        }
        tables = [f"[profiles.{name}]\n{role}{line}\n" for name, (line, _) in broken.items()]
        well.configure(PROFILES + "".join(tables))
        found = consult(well)
        said = {
            each["profile"]: each for each in found.findings if each["level"] == "problem" and each["profile"]
        }

        assert set(said) == set(broken)
        assert all(text in said[name]["sentence"] for name, (_, text) in broken.items())
        assert said["lost"]["hints"] == ["did you mean 'org-admin'"]
        assert len(found.of("fine", "profile")) == 3

    def test_no_region_is_a_problem_for_assume_root_and_a_note_for_assume_role(self, well: Sandbox) -> None:
        well.configure(PROFILES.replace('region = "eu-west-1"\n', ""))
        found = consult(well)

        assert any("'unlock-bucket' needs a region" in each for each in found.of("problem", "profile"))
        assert found.only("note", "region")["profile"] == "developer"
        assert "did you mean 'developer'" in well.refuses(2, "doctor", "develpoer")

    def test_prompts_and_a_cache_that_needs_the_agent_are_notes(self, well: Sandbox) -> None:
        device = 'mfa_serial = "arn:aws:iam::999988887777:mfa/me"\n'
        well.configure(f'{PROFILES}{device}confirm = true\nrequire_reason = true\ncache = "memory"\n')
        found = consult(well, "developer")

        assert found.fit
        assert found.of("note", "human") == [
            "a mint prompts for an MFA code of 'arn:aws:iam::999988887777:mfa/me'",
            "a mint prompts for a confirmation",
            "a mint needs a reason",
        ]
        assert "every call mints" in found.only("note", "cache")["sentence"]

    def test_missing_reason_in_a_name_is_a_note_and_http_to_another_machine_a_problem(
        self, well: Sandbox
    ) -> None:
        well.configure(PROFILES + 'source_identity = "{user}-{reason}"\n')

        assert consult(well, "developer").of("note", "profile") == ["profile 'developer' needs a reason"]
        found = consult(well, "developer", "--reason", "x", AWS_ENDPOINT_URL_STS="http://nobody.invalid")
        assert found.of("fine", "profile")
        assert "travel unencrypted" in found.of("problem", "endpoint")[0]


class TestModes:
    """Whether another user can write what credhelper reads, or read what it writes."""

    def test_wrong_mode_is_named_and_the_hint_mends_it(self, well: Sandbox) -> None:
        well.get("developer")
        ours, state = well.home / ".config/credhelper", well.state
        wrong = {
            ours: (0o777, "problem", "can be written by others"),
            ours / "config.toml": (0o660, "note", "can be written by its group"),
            well.home / ".aws/config": (0o646, "problem", "can be written by others"),
            state: (0o755, "problem", "is open to others"),
            state / "audit.jsonl": (0o640, "problem", "is open to others"),
        }
        for path, (mode, _, _) in wrong.items():
            path.chmod(mode)
        found = consult(well, "developer")

        for path, (mode, level, said) in wrong.items():
            assert any(f"'{path}' {said} (mode {mode:o})" in each for each in found.of(level, "modes")), path
        for each in found.findings:
            if each["check"] == "modes":
                subprocess.run(["sh", "-c", each["hints"][0].split("'")[1]], check=True)
        assert consult(well, "developer").of("fine", "modes")

        well.config.chmod(0o644)
        assert "can be read by others (mode 644)" in sentence(well, "note", "modes", "developer")

    @as_two_users
    def test_file_of_another_user_is_a_problem(self, well: Sandbox) -> None:
        well.get("developer")
        for path in (well.config, well.state / "audit.jsonl"):
            os.chown(path, FOREIGN, FOREIGN)
        said = consult(well, "developer").of("problem", "modes")

        assert len(said) == 2
        assert f"'{well.config}' belongs to another user, who can have commands run by you" in said
        assert f"'{well.state}/audit.jsonl' belongs to another user, and is not used" in said

        os.chown(well.config, os.geteuid(), -1)
        os.chown(well.state, FOREIGN, FOREIGN)  # as under sudo
        said = sentence(well, "problem", "modes", "developer")
        assert f"'{well.state}' is no directory of this user's" in said

    def test_full_or_read_only_disk_is_a_problem(self, well: Sandbox, small: Path) -> None:
        fill(small)
        assert "is full" in consult(well, "developer", XDG_STATE_HOME=str(small)).of("problem", "modes")[0]

        assert as_root("mount", "-o", "remount,ro", str(small)).returncode == 0
        found = consult(well, "developer", XDG_STATE_HOME=str(small))
        assert "cannot be written" in found.of("problem", "modes")[0]


class TestKeyring:
    """The OS keyring."""

    def test_locked_keyring_is_a_note_and_stays_locked(self, well: Sandbox) -> None:
        well.environ |= {"CREDHELPER_AGENT": "auto", "DISPLAY": ":99"}
        said = []
        for password in (None, "pw", None):
            with well.secret_service(password):
                found = consult(well, "developer")
                said += found.of("note", "keyring") or found.of("fine", "keyring")
                assert found.fit

        outcome = "sessions are kept in the agent's memory alone"
        assert said == [
            f"no keyring is used (the keyring has no collection yet): {outcome}",
            "'keyring.backends.SecretService.Keyring' keeps what it is given",
            f"no keyring is used (the keyring is locked): {outcome}",
        ]

    @pytest.mark.parametrize(
        ("environ", "level", "said"),
        [
            ({}, "note", "every call mints anew"),
            ({"CREDHELPER_AGENT": "auto"}, "note", "DBUS_SESSION_BUS_ADDRESS is not set"),
            ({"CREDHELPER_KEYRING": "no.such.Keyring"}, "problem", "'no.such.Keyring' cannot be loaded"),
        ],
    )
    def test_absent_keyring(self, well: Sandbox, environ: dict[str, str], level: str, said: str) -> None:
        assert said in sentence(well, level, "keyring", "developer", **environ)

    def test_unused_stopped_or_dead_keyring(self, well: Sandbox, secret_service) -> None:
        unused = {"CREDHELPER_KEYRING": "none", "CREDHELPER_AGENT": "auto"}
        assert "no keyring is to be used" in sentence(well, "note", "keyring", "developer", **unused)
        secret_service.signal(signal.SIGSTOP)
        assert "did not answer within 2 s" in sentence(well, "problem", "keyring", "developer")
        secret_service.signal(signal.SIGCONT)
        secret_service.kill_bus()
        assert "no keyring is used" in sentence(well, "note", "keyring", "developer")


class TestAgent:
    """The process that remembers sessions."""

    def test_agent_off_is_a_note(self, well: Sandbox) -> None:
        assert "CREDHELPER_AGENT switches" in sentence(well, "note", "agent", "developer")

        well.configure('[agent]\nmode = "off"\n' + PROFILES)
        del well.environ["CREDHELPER_AGENT"]
        assert "'mode' in [agent] switches" in sentence(well, "note", "agent", "developer")

    def test_agent_absent_running_outdated_or_stopped(self, well: Sandbox) -> None:
        with well.use_agent() as directory:
            assert "not running" in sentence(well, "fine", "agent", "unlock-bucket")
            assert agents_in(directory) == []
            well.get("developer")
            (pid,) = agents_in(directory)
            found = consult(well, "developer")
            assert found.only("fine", "agent")["sentence"] == f"running, process {pid}, sessions: 1"
            os.utime(directory / "agent-1.lock", (1, 1))
            assert "older than the program" in sentence(well, "note", "agent", "developer")
            os.kill(pid, signal.SIGSTOP)
            silent = consult(well, "developer").only("problem", "agent")

        assert "does not answer" in silent["sentence"]
        assert "credhelper agent stop" in silent["hints"][0]

    def test_agent_of_another_installation_is_a_note(self, well: Sandbox, tmp_path: Path) -> None:
        shutil.copytree(Path(credhelper.__file__).parent, tmp_path / "credhelper")
        with well.use_agent() as directory:
            directory.mkdir(mode=0o700)
            program = tmp_path / "credhelper" / "__main__.py"
            start = [sys.executable, "-IS", program, "agent", "--in", directory, "60", "detach"]
            subprocess.run(start, env={}, check=True)
            notes = consult(well, "developer").of("note", "agent")

        assert notes == [f"it was started by another installation of credhelper: '{program}'"]

    @as_two_users
    def test_no_private_runtime_directory_is_a_problem(self, well: Sandbox) -> None:
        """Every candidate is open to others, on mounts of the test's own."""
        well.environ |= {"XDG_RUNTIME_DIR": "", "CREDHELPER_AGENT": "auto"}
        place = Path(f"/tmp/credhelper-{os.geteuid()}")
        place.mkdir(mode=0o700, exist_ok=True)
        mount = f"mount -t tmpfs tmpfs /run && mount -t tmpfs -o mode=777 tmpfs {place}"
        script = f"{mount} && exec {PROGRAM} doctor --json"
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script], env=well.environ, capture_output=True, check=False
        )
        if b"mount" in done.stderr:
            pytest.skip("mounts of one's own are not allowed here")

        said = Diagnosis(json.loads(done.stdout)["findings"]).only("problem", "agent")["sentence"]
        assert "there is no place for the agent's socket" in said


class TestAwsFiles:
    """~/.aws/config and ~/.aws/credentials, and the commands in them."""

    def test_keys_that_override_credhelper(self, well: Sandbox) -> None:
        well.aws_config(AWS_CONFIG + RUNS_CREDHELPER + "sso_account_id = 111122223333\n")
        found = consult(well, "developer", AWS_ACCESS_KEY_ID="AKIA", AWS_SECRET_ACCESS_KEY="x")

        assert "wins over credhelper in boto3" in found.only("problem", "aws files")["sentence"]
        assert "AWS_ACCESS_KEY_ID is set" in found.only("note", "aws files")["sentence"]

    @pytest.mark.parametrize(
        "text",
        ["\ufeff" + AWS_CONFIG + RUNS_CREDHELPER, AWS_CONFIG + 2 * RUNS_CREDHELPER],
        ids=["byte order mark", "two sections of one name"],
    )
    def test_file_that_no_sdk_reads_is_a_problem(self, well: Sandbox, text: str) -> None:
        well.aws_config(text)

        assert len(consult(well, "developer").of("problem", "aws files")) == 1

    def test_commands_that_cannot_work_are_problems(self, well: Sandbox, tmp_path: Path) -> None:
        silent = script(tmp_path / "credhelper-get", "exit 1")
        lines = {
            "a": "/no/such/credhelper-get developer",
            "b": f'/"{str(silent)[1:]}" developer',
            "c": "credhelper get develop",
            "d": "credhelper get audit-root@nobody --reason 'x y'",
            "e": "something else",
            "f": "'",
            "g": "credhelper get --region eu-west-1 developer",
            "h": "credhelper --version",
        }
        text = "".join(f"[profile {name}]\ncredential_process = {line}\n" for name, line in lines.items())
        well.aws_config(AWS_CONFIG + text)
        found = consult(well)
        problems = " ".join(found.of("problem", "commands"))

        for said in (
            "there is no program '/no/such/credhelper-get'",
            f"'{silent}', which ~/.aws/config runs, does not answer",
            "AWS profile 'c' runs credhelper for 'develop', which does not exist",
            "target 'nobody' is neither",
        ):
            assert said in problems
        assert len(found.of("problem", "commands")) == 4
        assert found.of("fine", "commands") == [f"'{PROGRAM}' answers"]

    def test_no_aws_cli_and_no_command_that_runs_credhelper_are_notes(self, well: Sandbox) -> None:
        well.aws_config(AWS_CONFIG)
        found = consult(well, PATH=str(Path(PROGRAM).parent))

        assert found.only("note", "aws")["sentence"] == "there is no 'aws' on the PATH"
        assert "runs credhelper for any profile" in found.only("note", "aws files")["sentence"]


class TestAnyFinding:
    """What holds for every check."""

    def test_everything_hangs_and_doctor_ends_in_time(
        self, well: Sandbox, aws: LoopbackAws, secret_service
    ) -> None:
        """Keyring, agent, a command, a source and two services hang at once."""
        for name in ("slow-source", "credhelper-get"):
            script(well.home / name, "exec sleep 60")
        slow = f"[profile slow]\ncredential_process = {well.home}/slow-source\n"
        runs = f"[profile x]\ncredential_process = {well.home}/credhelper-get developer\n"
        well.aws_config(AWS_CONFIG + slow + runs)
        role = 'role_arn = "arn:aws:iam::222233334444:role/D"\nsource_profile = "slow"\n'
        well.configure(f"{PROFILES}[profiles.slow-one]\n{role}")
        aws.hangs = threading.Event()
        with well.use_agent() as directory:
            well.get("developer")
            os.kill(agents_in(directory)[0], signal.SIGSTOP)
            secret_service.signal(signal.SIGSTOP)
            found = consult(well)

        for check in ("keyring", "agent", "commands", "source"):
            assert found.of("problem", check), str(found)
        assert re.search("IAM at '.*' did not answer within 4 s", found.only("note", "features")["sentence"])
        until(lambda: not _sleepers(well))

    def test_silent_sts_is_one_problem(self, well: Sandbox, sts: LoopbackSts) -> None:
        sts.mode = faults.slow(30)
        sts.mode = faults.Mode(**{**vars(sts.mode), "every_action": True})
        found = consult(well)

        assert len(found.of("problem", "endpoint")) == 1
        assert found.of("problem", "source") == []

    def test_failed_or_unfinished_check_is_a_problem_after_its_findings(self) -> None:
        def fails(_: Examination):
            yield fine("first", "seen")
            raise ValueError("hunter2")

        def hangs(_: Examination):
            yield fine("slow", "seen")
            time.sleep(30)

        groups = [[("first", fails), ("second", lambda _: iter([fine("second", "seen")]))], [("slow", hangs)]]
        found = run_checks(Examination(None, (), Deadline(0.1)), groups)  # type: ignore[arg-type]

        assert [each.level for each in found] == ["fine", "problem", "fine", "fine", "problem"]
        assert "this check failed: ValueError in test_doctor.py" in found[1].sentence
        assert "hunter2" not in str(found)

    def test_control_characters_in_names_are_escaped(self, well: Sandbox) -> None:
        well.configure(f'{PROFILES}[profiles."a\\u001b[2Jb\\u009b"]\nrole_arn = "x\\u202e"\n')
        text = "[profile \x1b]0;x\x07]\ncredential_process = credhelper get \x1b[31mevil\n"
        well.aws_config(AWS_CONFIG + text)
        texts = [well.run_unchecked("doctor", *form).stdout for form in ([], ["--json"])]
        _, shown = well.on_a_terminal("doctor", NO_COLOR="1", TERM="dumb")
        rest = re.sub(r"\x1b\[[0-9;]*m", "", shown)

        for each in (*map(bytes.decode, texts), rest.replace("\r\n", "\n")):
            assert re.fullmatch(r"[\x20-\x7e\n]+", each)
            assert "evil" in each

    def test_probe_prints_no_secret(self, well: Sandbox, sts: LoopbackSts, secret_service) -> None:
        found = consult(well, "developer", "--probe")

        assert sts.secret_marker not in str(found)
        assert not any(value in str(found) for value in sts.issued[0].values() if not value.startswith("20"))


def _sleepers(sandbox: Sandbox) -> list[str]:
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if str(sandbox.home) in line and "sleep" in line]
