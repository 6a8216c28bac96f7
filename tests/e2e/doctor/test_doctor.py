"""`credhelper doctor`: what it finds on this machine. Each thing is broken for real."""

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
from credhelper.doctor.runner import Visit, walk

import sts_faults as faults
from consult import Diagnosis, consult
from disks import as_root, fill
from sandbox import AWS_CONFIG, PROFILES, PROGRAM, agents_in, until

if TYPE_CHECKING:
    from organization import LoopbackAws
    from sandbox import Sandbox
    from sts import LoopbackSts

FOREIGN = 65534
RUNS_US = f"""
[profile developer]
credential_process = {Path(PROGRAM).with_name("credhelper-get")} developer
region = eu-west-1
"""
as_two_users = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be two users")


@pytest.fixture(name="well")
def _well(sandbox: Sandbox, aws: LoopbackAws) -> Sandbox:
    """A laptop on which nothing is to be said but that its AWS is a double."""
    sandbox.aws_config(AWS_CONFIG + RUNS_US)
    return sandbox


class TestFit:
    """A machine on which everything works."""

    @pytest.mark.parametrize("name", [None, "developer"])
    def test_nothing_is_wrong(self, well: Sandbox, secret_service, name: str | None) -> None:
        """Exit 0, and every check has something to say; the one note is about the double's endpoint."""
        with well.use_agent():
            found = consult(well, *([name] if name else []))

        assert found.of("problem") == []
        assert found.of("note") == [
            f"STS is asked at '{well.environ['AWS_ENDPOINT_URL_STS']}' and not at AWS's own endpoint"
        ]
        checks = {"config", "modes", "agent", "aws files", "commands", "aws", "keyring", "profile", "clock"}
        assert checks <= {each["check"] for each in found.findings}

    def test_it_leaves_nothing_behind(self, well: Sandbox, sts: LoopbackSts, secret_service) -> None:
        """Without --probe nothing is minted, recorded or cached for a profile that rests on keys."""
        consult(well)

        assert sts.count() == 0
        assert well.audit() == []
        assert not (well.state / "items.jsonl").exists()

    def test_for_people(self, well: Sandbox) -> None:
        """A table within 80 columns that says the same; colours only on a terminal, NO_COLOR is obeyed."""
        piped = well.run("doctor").stdout.decode()
        status, shown = well.on_a_terminal("doctor")
        _, plain = well.on_a_terminal("doctor", NO_COLOR="1")

        assert status == 0
        assert re.search(r"^fine +developer +AssumeRole arn:\S+ in eu-west-1$", piped, re.MULTILINE)
        assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in shown.splitlines()) <= 80
        assert "\x1b[33m" in shown
        assert "\x1b[3" not in plain
        assert "\x1b" not in piped

    def test_the_offline_verdict_asks_nobody(self, well: Sandbox, sts: LoopbackSts, aws: LoopbackAws) -> None:
        """`quick` has the checks that take no network."""
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
    """Our own file, and each profile in it."""

    def test_no_file(self, well: Sandbox) -> None:
        """Where it should be is in the sentence."""
        well.config.unlink()

        assert f"no configuration file '{well.config}'" in consult(well).of("problem", "config")

    def test_a_file_that_cannot_be_read(self, well: Sandbox) -> None:
        """The syntax error, and no guesses about profiles."""
        well.configure("[profiles.a\n")
        found = consult(well)

        assert "is not valid TOML" in found.only("problem", "config")["sentence"]
        assert found.of("fine", "profile") == []

    def test_a_bad_account(self, well: Sandbox) -> None:
        """[accounts] is looked at as a whole."""
        well.configure(
            '[accounts]\nprod = "1234"\n' + PROFILES.partition("[defaults]")[2].join(["[defaults]", ""])
        )

        assert "must be an account id" in consult(well).only("problem", "config")["sentence"]

    def test_no_profiles_yet(self, well: Sandbox) -> None:
        """The beginning, and no fault."""
        well.configure("")
        well.aws_config(AWS_CONFIG)
        found = consult(well)

        assert found.fit
        assert "has no profiles yet" in found.only("note", "config")["sentence"]

    def test_each_profile_is_looked_at(self, well: Sandbox) -> None:
        """One problem for each that does not work, and a hint; those beside them are fine."""
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
                "it rests on another role, so AWS refuses 'duration_seconds' above 3600",
            ),
        }
        tables = [f"[profiles.{name}]\n{role}{line}\n" for name, (line, _) in broken.items()]
        well.configure(PROFILES + "".join(tables))
        found = consult(well)
        said = {
            each["profile"]: each for each in found.findings if each["level"] == "problem" and each["profile"]
        }

        assert set(said) == set(broken)
        assert all(sentence in said[name]["sentence"] for name, (_, sentence) in broken.items())
        assert said["lost"]["hints"] == ["did you mean 'org-admin'"]
        assert len(found.of("fine", "profile")) == 3

    def test_assume_root_without_a_region(self, well: Sandbox) -> None:
        """It is not on the global endpoint; AssumeRole goes where it always can, and that is a note."""
        well.configure(PROFILES.replace('region = "eu-west-1"\n', ""))
        found = consult(well)

        assert any("'unlock-bucket' needs a region" in each for each in found.of("problem", "profile"))
        assert found.only("note", "region")["profile"] == "developer"

    def test_a_name_that_there_is_not(self, well: Sandbox) -> None:
        """A mistake in the command, and no finding: exit 2."""
        assert "did you mean 'developer'" in well.refuses(2, "doctor", "develpoer")

    def test_what_a_person_will_be_asked(self, well: Sandbox) -> None:
        """Notes: a code, a confirmation, a reason; and a session that only the absent agent would keep."""
        device = 'mfa_serial = "arn:aws:iam::999988887777:mfa/me"\n'
        well.configure(f'{PROFILES}{device}confirm = true\nrequire_reason = true\ncache = "memory"\n')
        found = consult(well, "developer")

        assert found.fit
        assert found.of("note", "human") == [
            "a mint asks for an MFA code of 'arn:aws:iam::999988887777:mfa/me'",
            "a mint asks somebody to confirm it",
            "a mint needs a reason",
        ]
        assert "every call mints" in found.only("note", "cache")["sentence"]

    def test_a_reason_that_a_name_is_made_of(self, well: Sandbox) -> None:
        """Without one there is no call to look at, and with one there is."""
        well.configure(PROFILES + 'source_identity = "{user}-{reason}"\n')

        assert consult(well, "developer").of("note", "profile") == ["profile 'developer' needs a reason"]
        assert consult(well, "developer", "--reason", "x").of("fine", "profile")

    def test_an_endpoint_in_the_clear(self, well: Sandbox) -> None:
        """A variable that has sessions travel unencrypted to another machine."""
        found = consult(well, "developer", AWS_ENDPOINT_URL_STS="http://nobody.invalid")

        assert "travel unencrypted" in found.of("problem", "endpoint")[0]


class TestModes:
    """Who else could write what we read, and read what we write."""

    def test_open_to_others(self, well: Sandbox) -> None:
        """Named with the mode that each has; the command in the hint mends it."""
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

    def test_a_configuration_that_others_can_read(self, well: Sandbox) -> None:
        """Nothing in it is secret, so it is a note."""
        well.config.chmod(0o644)

        assert (
            "can be read by others (mode 644)" in consult(well, "developer").only("note", "modes")["sentence"]
        )

    @as_two_users
    def test_files_of_somebody_else(self, well: Sandbox) -> None:
        """A configuration by which they can have commands run, and a record that is not added to."""
        well.get("developer")
        for path in (well.config, well.state / "audit.jsonl"):
            os.chown(path, FOREIGN, FOREIGN)
        said = consult(well, "developer").of("problem", "modes")

        assert len(said) == 2
        assert f"'{well.config}' belongs to another user, who can have commands run by you" in said
        assert f"'{well.state}/audit.jsonl' belongs to another user, and is not used" in said

    @as_two_users
    def test_a_state_directory_of_somebody_else(self, well: Sandbox) -> None:
        """As under sudo: nothing is recorded or kept."""
        well.get("developer")
        os.chown(well.state, FOREIGN, FOREIGN)

        said = consult(well, "developer").only("problem", "modes")["sentence"]
        assert f"'{well.state}' is no directory of this user's" in said

    def test_a_disk_that_is_full(self, well: Sandbox, small: Path) -> None:
        """Nothing can be recorded."""
        fill(small)

        assert "is full" in consult(well, "developer", XDG_STATE_HOME=str(small)).of("problem", "modes")[0]

    def test_a_disk_that_is_read_only(self, well: Sandbox, small: Path) -> None:
        """The same."""
        assert as_root("mount", "-o", "remount,ro", str(small)).returncode == 0

        found = consult(well, "developer", XDG_STATE_HOME=str(small))
        assert "cannot be written" in found.of("problem", "modes")[0]


class TestKeyring:
    """The OS keyring, and what would stand in for it."""

    def test_locked(self, well: Sandbox) -> None:
        """Nobody is asked to unlock it, or for a new one's password, although there is a display."""
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

    def test_stopped(self, well: Sandbox, secret_service) -> None:
        """It never answers, and the visit ends all the same."""
        secret_service.signal(signal.SIGSTOP)

        assert (
            "did not answer within 2 s" in consult(well, "developer").only("problem", "keyring")["sentence"]
        )

    def test_absent(self, well: Sandbox) -> None:
        """With an agent its memory serves, without one nothing does."""
        without = consult(well, "developer")
        well.environ["CREDHELPER_AGENT"] = "auto"
        found = consult(well, "developer")

        assert "every call mints anew" in without.only("note", "keyring")["sentence"]
        assert "DBUS_SESSION_BUS_ADDRESS is not set" in found.only("note", "keyring")["sentence"]

    def test_a_bus_that_has_died(self, well: Sandbox, secret_service) -> None:
        """No error of another library's gets through."""
        secret_service.kill_bus()

        assert "no keyring is used" in consult(well, "developer").only("note", "keyring")["sentence"]

    def test_unwanted(self, well: Sandbox, secret_service) -> None:
        """Switched off by the person."""
        found = consult(well, "developer", CREDHELPER_KEYRING="none", CREDHELPER_AGENT="auto")

        assert "no keyring is to be used" in found.only("note", "keyring")["sentence"]

    def test_a_class_that_cannot_be_loaded(self, well: Sandbox) -> None:
        """Named by its class."""
        found = consult(well, "developer", CREDHELPER_KEYRING="no.such.Keyring")

        assert "'no.such.Keyring' cannot be loaded" in found.only("problem", "keyring")["sentence"]

    def test_rivals(self, well: Sandbox, secret_service, tmp_path: Path) -> None:
        """A package, a file and variables that redirect secrets elsewhere: said, not followed, not loaded."""
        info = tmp_path / "packages" / "evil-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ev\x1b[2Jil\nVersion: 1\n")
        (info / "entry_points.txt").write_text("[keyring.backends]\nevil = evil\n")
        (tmp_path / "packages" / "evil.py").write_text("import pathlib; pathlib.Path(__file__).unlink()\n")
        settings = well.home / ".config/python_keyring/keyringrc.cfg"
        settings.parent.mkdir(parents=True)
        settings.write_text("[backend]\ndefault-keyring=evil.Keyring\n")
        variables = {"PYTHON_KEYRING_BACKEND": "evil.Keyring", "KEYRING_PROPERTY_PERSIST": "session"}
        found = consult(well, "developer", PYTHONPATH=str(tmp_path / "packages"), **variables)

        assert found.fit
        notes = found.of("note", "keyring")
        wanted = (
            "package 'ev\\x1b[2Jil' offers",
            "PYTHON_KEYRING_BACKEND is set",
            "KEYRING_PROPERTY_PERSIST is set",
        )
        assert all(any(each in said for said in notes) for each in (*wanted, f"'{settings}' names a keyring"))
        assert (tmp_path / "packages" / "evil.py").exists()
        assert "SecretService" in found.only("fine", "keyring")["sentence"]


class TestAgent:
    """The process that remembers."""

    def test_off(self, well: Sandbox) -> None:
        """By the variable, or by the file."""
        assert "CREDHELPER_AGENT switches" in consult(well, "developer").only("note", "agent")["sentence"]

        well.configure('[agent]\nmode = "off"\n' + PROFILES)
        del well.environ["CREDHELPER_AGENT"]
        assert "'mode' in [agent] switches" in consult(well, "developer").only("note", "agent")["sentence"]

    def test_not_running_and_running(self, well: Sandbox) -> None:
        """Both are fine; and looking starts none."""
        with well.use_agent() as directory:
            assert "not running" in consult(well, "unlock-bucket").only("fine", "agent")["sentence"]
            assert agents_in(directory) == []
            well.get("developer")
            said = consult(well, "developer").only("fine", "agent")["sentence"]

            assert said == f"running, process {agents_in(directory)[0]}, sessions: 1"

    def test_one_that_does_not_answer(self, well: Sandbox) -> None:
        """Stopped: how to end it is in the hint."""
        with well.use_agent() as directory:
            well.get("developer")
            pid = agents_in(directory)[0]
            os.kill(pid, signal.SIGSTOP)
            found = consult(well, "developer").only("problem", "agent")

        assert "does not answer" in found["sentence"]
        assert "credhelper agent stop" in found["hints"][0]

    def test_older_than_the_program(self, well: Sandbox) -> None:
        """It goes on running what was installed when it started."""
        with well.use_agent() as directory:
            well.get("developer")
            os.utime(directory / "agent-1.lock", (1, 1))

            assert "older than the program" in consult(well, "developer").only("note", "agent")["sentence"]

    def test_another_installation_and_another_wire(self, well: Sandbox, tmp_path: Path) -> None:
        """An agent of a copy elsewhere, and the socket of a version to come."""
        shutil.copytree(Path(credhelper.__file__).parent, tmp_path / "credhelper")
        with well.use_agent() as directory:
            directory.mkdir(mode=0o700)
            program = tmp_path / "credhelper" / "__main__.py"
            start = [sys.executable, "-IS", program, "agent", "--in", directory, "60", "detach"]
            subprocess.run(start, env={}, check=True)
            (directory / "agent-2.sock").touch(0o600)
            notes = consult(well, "developer").of("note", "agent")

        assert f"it was started by another installation of credhelper: '{program}'" in notes
        assert (
            f"an agent of another version of credhelper is there, too, or was: '{directory}/agent-2.sock'"
            in notes
        )

    @as_two_users
    def test_no_place_for_it(self, well: Sandbox) -> None:
        """Every place is open to others, on mounts of the test's own."""
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

    def test_nothing_runs_us(self, well: Sandbox) -> None:
        """Installed, and not yet used."""
        well.aws_config(AWS_CONFIG)

        assert "runs credhelper for any profile" in consult(well).only("note", "aws files")["sentence"]

    def test_what_wins_over_us(self, well: Sandbox) -> None:
        """Keys beside our command, and in the environment."""
        well.aws_config(AWS_CONFIG + RUNS_US + "sso_account_id = 111122223333\n")
        found = consult(well, "developer", AWS_ACCESS_KEY_ID="AKIA", AWS_SECRET_ACCESS_KEY="x")

        assert "wins over credhelper in boto3" in found.only("problem", "aws files")["sentence"]
        assert "AWS_ACCESS_KEY_ID is set" in found.only("note", "aws files")["sentence"]

    @pytest.mark.parametrize("mark", ["\ufeff", ""])
    def test_a_file_that_no_sdk_reads(self, well: Sandbox, mark: str) -> None:
        """A byte order mark, or a second section of a name."""
        well.aws_config(mark + AWS_CONFIG + RUNS_US * (1 if mark else 2))

        assert len(consult(well, "developer").of("problem", "aws files")) == 1

    def test_commands(self, well: Sandbox, tmp_path: Path) -> None:
        """One that is not there, one that does not answer, two for nobody, one that is found on the PATH."""
        dumb = tmp_path / "credhelper-get"
        dumb.write_text("#!/bin/sh\nexit 1\n")
        dumb.chmod(0o700)
        lines = {
            "a": "/no/such/credhelper-get developer",
            "b": f'/"{str(dumb)[1:]}" developer',
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

        assert "there is no program '/no/such/credhelper-get'" in problems
        assert f"'{dumb}', which ~/.aws/config runs, does not answer" in problems
        assert "AWS profile 'c' runs credhelper for 'develop', which is no profile" in problems
        assert "target 'nobody' is neither" in problems
        assert len(found.of("problem", "commands")) == 4
        assert found.of("fine", "commands") == [f"'{PROGRAM}' answers"]

    def test_no_aws_cli(self, well: Sandbox) -> None:
        """A note: nothing of ours needs it."""
        found = consult(well, "developer", PATH=str(Path(PROGRAM).parent))

        assert found.only("note", "aws")["sentence"] == "there is no 'aws' on the PATH"


class TestManners:
    """What holds whatever is found."""

    def test_whatever_hangs(self, well: Sandbox, sts: LoopbackSts, aws: LoopbackAws, secret_service) -> None:
        """Keyring, agent, a command, a source and two services, all at once: it ends within its time."""
        for name in ("slow-source", "credhelper-get"):
            script = well.home / name
            script.write_text("#!/bin/sh\nexec sleep 60\n")
            script.chmod(0o700)
        slow = f"[profile slow]\ncredential_process = {well.home}/slow-source\n"
        runs = f"[profile x]\ncredential_process = {well.home}/credhelper-get developer\n"
        well.aws_config(AWS_CONFIG + slow + runs)
        extra = (
            '[profiles.slow-one]\nrole_arn = "arn:aws:iam::222233334444:role/D"\nsource_profile = "slow"\n'
        )
        well.configure(PROFILES + extra)
        aws.hangs = threading.Event()
        with well.use_agent() as directory:
            well.get("developer")
            os.kill(agents_in(directory)[0], signal.SIGSTOP)
            secret_service.signal(signal.SIGSTOP)
            found = consult(well)

        for check in ("keyring", "agent", "commands", "source"):
            assert found.of("problem", check), str(found)
        assert any(
            "did not answer 'iam:ListOrganizationsFeatures'" in each for each in found.of("note", "features")
        )
        until(lambda: not _sleepers(well))

    def test_sts_that_never_answers(self, well: Sandbox, sts: LoopbackSts) -> None:
        """The clock's check says so, and nothing else is asked there."""
        sts.mode = faults.slow(30)
        sts.mode = faults.Mode(**{**vars(sts.mode), "every_action": True})
        found = consult(well)

        assert len(found.of("problem", "endpoint")) == 1
        assert found.of("problem", "source") == []

    def test_a_check_that_fails_is_a_finding(self) -> None:
        """Those after it go on, and its text is not told: it may quote a secret."""

        def fails(_: Visit):
            yield fine("first", "seen")
            raise ValueError("hunter2")

        visit = Visit(None, (), Deadline(5))  # type: ignore[arg-type]
        found = walk(visit, [[("first", fails), ("second", lambda _: iter([fine("second", "seen")]))]])

        assert [each.level for each in found] == ["fine", "problem", "fine"]
        assert "this check failed: ValueError in test_doctor.py" in found[1].sentence
        assert "hunter2" not in str(found)

    def test_a_check_that_does_not_end_is_a_finding(self) -> None:
        """What it has found before counts."""

        def hangs(_: Visit):
            yield fine("slow", "seen")
            time.sleep(30)

        found = walk(Visit(None, (), Deadline(0.1)), [[("slow", hangs)]])  # type: ignore[arg-type]

        assert [each.level for each in found] == ["fine", "problem"]

    def test_names_from_outside_cannot_move_a_cursor(self, well: Sandbox) -> None:
        """In profiles, accounts, commands and files, on a terminal, in a pipe and as JSON."""
        well.configure(f'{PROFILES}[profiles."a\\u001b[2Jb\\u009b"]\nrole_arn = "x\\u202e"\n')
        text = "[profile \x1b]0;x\x07]\ncredential_process = credhelper get \x1b[31mevil\n"
        well.aws_config(AWS_CONFIG + text)
        texts = [well.run_unchecked("doctor", *form).stdout for form in ([], ["--json"])]
        _, shown = well.on_a_terminal("doctor", NO_COLOR="1", TERM="dumb")
        rest = re.sub(r"\x1b\[[0-9;]*m", "", shown)

        for each in (*map(bytes.decode, texts), rest.replace("\r\n", "\n")):
            assert re.fullmatch(r"[\x20-\x7e\n]+", each)
            assert "evil" in each

    def test_the_sentences_have_no_secret(self, well: Sandbox, sts: LoopbackSts, secret_service) -> None:
        """Not even after a probe."""
        found = consult(well, "developer", "--probe")

        assert sts.secret_marker not in str(found)
        assert not any(value in str(found) for value in sts.issued[0].values() if not value.startswith("20"))


def _sleepers(sandbox: Sandbox) -> list[str]:
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if str(sandbox.home) in line and "sleep" in line]
