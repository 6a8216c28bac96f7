"""`credhelper status`: every profile, where its session is cached, how long it lasts, who requested it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from credhelper.cache.keyring import PINNED
from credhelper.cli import status

import requirements
import shapes
from sandbox import AWS_CONFIG, PROFILES, PROGRAM, plant

if TYPE_CHECKING:
    from sandbox import Sandbox
    from sts import LoopbackSts

CHAIN = """
[profiles.auditor]
role_arn = "arn:aws:iam::333344445555:role/team/Auditor"
source_profile = "developer"
role_session_name = "alice@desk"

[profiles.reader]
role_arn = "arn:aws:iam::333344445555:role/Reader"
source_profile = "auditor"
description = "[red]look[/red], do not touch"

[profiles.broken]
role_arn = "arn:aws:iam::333344445555:role/Nobody"
source_profile = "nobody"
"""
CONTROL = re.compile(r"[^\x20-\x7e\n]")


def told(sandbox: Sandbox, **environ: str) -> dict[str, Any]:
    """What `status --json` says, of the shape that is documented."""
    result = sandbox.run("status", "--json", **environ)
    assert result.status == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    shapes.check("status", document)
    return document


def rows(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The rows of a profile."""
    return [row for row in document["profiles"] if row["profile"] == name]


def row(document: dict[str, Any], name: str) -> dict[str, Any]:
    """The one row of a profile."""
    (found,) = rows(document, name)
    return found


class TestSessions:
    """What is cached, where, for how long, and who requested it."""

    def test_session_has_its_places_expiry_and_requester(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service
    ) -> None:
        sandbox.configure(PROFILES + CHAIN)
        with sandbox.use_agent():
            envelope = sandbox.get("reader")
            sandbox.get("unlock-bucket")
            sts.calls.clear()
            found = told(sandbox)
            assert sts.calls == []

        reader = row(found, "reader")
        assert (reader["kind"], reader["api"]) == ("role", "AssumeRole")
        assert reader["cached"] == ["agent", "keyring"]
        assert reader["access_key_id"] == envelope["AccessKeyId"]
        assert reader["expires"] == envelope["Expiration"]
        assert 3500 < reader["seconds_left"] <= 3600
        assert reader["source_arn"] == "arn:aws:sts::333344445555:assumed-role/Auditor/alice@desk"
        assert row(found, "developer")["cached"] == ["agent", "keyring"]
        unlock = row(found, "unlock-bucket")
        assert (unlock["account"], unlock["account_name"]) == ("111122223333", "payments-prod")
        assert unlock["task_policy"] == "S3UnlockBucketPolicy"
        assert 800 < unlock["seconds_left"] <= 900
        assert row(found, "audit-root")["target"] is None
        assert (row(found, "broken")["cached"], row(found, "broken")["in_use"]) == ([], True)
        assert "source_profile 'nobody'" in row(found, "broken")["problem"]
        assert found["agent"]["running"]
        assert found["keyring"] == {
            "backend": "keyring.backends.SecretService.Keyring",
            "state": "open",
            "problem": None,
        }

    def test_no_keyring_shows_the_agent_alone(self, sandbox: Sandbox) -> None:
        with sandbox.use_agent():
            sandbox.get("developer")
            assert row(told(sandbox), "developer")["cached"] == ["agent"]
        assert row(told(sandbox), "developer")["cached"] == []

    def test_each_cached_target_has_a_row(self, sandbox: Sandbox, secret_service) -> None:
        for target in ("payments-prod", "222233334444"):
            sandbox.get(f"audit-root@{target}")
        found = told(sandbox)

        names = [each["profile"] for each in found["profiles"] if each["profile"].startswith("audit-root")]
        assert names == ["audit-root", "audit-root@222233334444", "audit-root@payments-prod"]
        assert row(found, "audit-root@payments-prod")["cached"] == ["keyring"]
        assert row(found, "audit-root")["cached"] == []

    def test_session_of_flags_or_an_edited_profile_is_not_in_use(
        self, sandbox: Sandbox, secret_service
    ) -> None:
        sandbox.get("developer", "--duration-seconds", "1800")
        plain, other = rows(told(sandbox), "developer")
        assert (plain["cached"], plain["in_use"]) == ([], True)
        assert (other["cached"], other["in_use"]) == (["keyring"], False)

        sandbox.configure(PROFILES.replace("[profiles.developer]", '[profiles.dev]\nexternal_id = "x1"'))
        found = told(sandbox)
        assert row(found, "dev")["cached"] == []
        assert row(found, "developer")["in_use"] is False
        assert row(found, "developer")["account"] == "222233334444"
        assert "developer (*)" in sandbox.run("status").stdout.decode()

    def test_shared_mfa_session_is_in_use(self, sandbox: Sandbox, secret_service) -> None:
        sandbox.configure(
            PROFILES + 'mfa_serial = "arn:aws:iam::999988887777:mfa/me"\nmfa_command = ["printf", "123456"]\n'
        )
        sandbox.get("developer")
        shared = row(told(sandbox), "MFA session of arn:aws:iam::999988887777:mfa/me")

        assert (shared["kind"], shared["in_use"], shared["cached"]) == ("session", True, ["keyring"])

    def test_session_with_a_reason_in_its_call_is_found_by_label(
        self, sandbox: Sandbox, secret_service
    ) -> None:
        sandbox.configure(PROFILES + 'source_identity = "{reason}"\n')
        sandbox.get("developer", "--reason", "T-1")
        found = rows(told(sandbox), "developer")

        assert [each["cached"] for each in found] == [["keyring"]]
        assert found[0]["source_identity"] == "T-1"

    def test_profiles_with_the_same_call_share_a_session(self, sandbox: Sandbox, secret_service) -> None:
        sandbox.configure(PROFILES + PROFILES[PROFILES.index("[profiles.dev") :].replace("developer", "dev2"))
        sandbox.get("developer")
        found = told(sandbox)

        assert row(found, "developer")["access_key_id"] == row(found, "dev2")["access_key_id"] is not None

    def test_audit_line_of_the_same_expiry_counts_and_foreign_and_expired_lines_do_not(
        self, sandbox: Sandbox, secret_service
    ) -> None:
        envelope = sandbox.get("developer")
        time.sleep(1.1)
        assert sandbox.get("developer", "--no-cache") != envelope
        assert row(told(sandbox), "developer")["access_key_id"] == envelope["AccessKeyId"]

        for name in ("items.jsonl", "audit.jsonl"):
            with (sandbox.state / name).open("a") as file:
                file.write('no json\n[]\n{"time": 5}\n' + '{"key": "' + "0" * 32 + '"}\n')
        assert row(told(sandbox), "developer")["cached"] == ["keyring"]

        index = sandbox.state / "items.jsonl"
        index.write_text(re.sub(r'"expires": \d+', '"expires": 1', index.read_text()))
        assert row(told(sandbox), "developer")["cached"] == []


class TestAwayOrBroken:
    """status answers whatever is missing, and never prompts."""

    def test_absent_unused_or_unloadable_keyring_is_reported(self, sandbox: Sandbox) -> None:
        absent = told(sandbox)["keyring"]
        assert (absent["state"], absent["problem"]) == ("absent", "DBUS_SESSION_BUS_ADDRESS is not set")
        assert told(sandbox, CREDHELPER_KEYRING="none")["keyring"]["state"] == "unwanted"
        assert "cannot be loaded" in told(sandbox, CREDHELPER_KEYRING="no.Such")["keyring"]["problem"]
        assert "CREDHELPER_KEYRING must be" in sandbox.refuses(2, "status", CREDHELPER_KEYRING="?")

    def test_locked_keyring_stays_locked(self, sandbox: Sandbox) -> None:
        """Neither this nor `explain` opens it, although a desktop is there: saved keys are in the index."""
        sandbox.configure(PROFILES + 'source_key = "me"\n')
        sandbox.list_saved_key("me", "AKIAME")
        with sandbox.secret_service(password=None):
            monitor = subprocess.Popen(
                [requirements.program("dbus-monitor"), "--session"],
                env=sandbox.environ,
                stdout=subprocess.PIPE,
            )
            assert monitor.stdout is not None
            monitor.stdout.readline()  # it is listening
            found = told(sandbox, DISPLAY=":99")
            explained = json.loads(sandbox.run("explain", "developer", "--json", DISPLAY=":99").stdout)
            monitor.terminate()
            asked = monitor.communicate()[0].decode()

        assert found["keyring"]["state"] == "locked"
        assert "aliases/default" in asked  # it has been looked at
        assert not re.search("member=(Unlock|Prompt|SearchItems|GetSecrets?|OpenSession)", asked)
        assert row(found, "developer")["problem"] is None
        assert (explained["source"]["access_key_id"], explained["problem"]) == ("AKIAME", None)

    def test_stopped_keyring_is_silent_and_the_index_answers(self, sandbox: Sandbox, secret_service) -> None:
        sandbox.get("developer")
        sandbox.configure(
            PROFILES
            + '[profiles.saved]\nrole_arn = "arn:aws:iam::222233334444:role/Saved"\nsource_key = "me"\n'
        )
        began = time.monotonic()
        told(sandbox)
        answering = time.monotonic() - began
        secret_service.signal(signal.SIGSTOP)
        began = time.monotonic()
        found = told(sandbox)

        assert time.monotonic() - began < answering + 2 * 2  # one timeout of 2 s, not two
        assert found["keyring"]["state"] == "silent"
        assert row(found, "developer")["cached"] == ["keyring"]

    def test_stopped_agent_is_a_problem(self, sandbox: Sandbox) -> None:
        with sandbox.use_agent():
            sandbox.run("agent", "start")
            pid = told(sandbox)["agent"]["pid"]
            os.kill(pid, signal.SIGSTOP)
            found = told(sandbox)
            os.kill(pid, signal.SIGCONT)

        assert found["agent"] == {"running": True, "pid": None, "problem": "the agent does not answer"}

    def test_broken_or_missing_configuration_lists_what_is_cached(
        self, sandbox: Sandbox, secret_service
    ) -> None:
        sandbox.get("developer")
        sandbox.config.write_text("[profiles\n")
        found = told(sandbox)
        assert "is not valid TOML" in found["config"]["problem"]
        assert row(found, "developer")["in_use"] is None
        assert row(found, "developer")["cached"] == ["keyring"]

        sandbox.config.unlink()
        assert "no configuration file" in told(sandbox)["config"]["problem"]
        said = sandbox.run("status").stdout.decode()
        assert re.search(r"^file +no configuration file .*\nhint +", said, re.MULTILINE)

    def test_invalid_aws_config_is_a_problem_of_every_profile(self, sandbox: Sandbox) -> None:
        sandbox.aws_config(AWS_CONFIG + AWS_CONFIG)

        assert "a second [profile org-admin]" in row(told(sandbox), "developer")["problem"]

    def test_empty_configuration_is_no_error(self, sandbox: Sandbox) -> None:
        sandbox.configure("")

        assert told(sandbox)["profiles"] == []
        assert "no profiles in" in sandbox.run("status").stdout.decode()

    def test_full_disk_as_stdout_fails(self, sandbox: Sandbox) -> None:
        with open("/dev/full", "wb") as full:
            command = [PROGRAM, "status"]
            done = subprocess.run(command, env=sandbox.environ, stdout=full, stderr=-1, check=False)

        assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)


class TestForPeople:
    """A table on a terminal, plain text in a pipe."""

    @pytest.fixture(name="seen")
    def _seen(self, sandbox: Sandbox, secret_service) -> Sandbox:
        sandbox.configure(PROFILES + CHAIN)
        sandbox.get("reader")
        return sandbox

    def test_terminal_output_fits_80_columns_with_colour(self, seen: Sandbox) -> None:
        status, shown = seen.on_a_terminal("status", TERM="xterm-256color")
        assert status == 0
        assert "\x1b[31m" in shown
        status, shown = seen.on_a_terminal("status", TERM="xterm-256color", NO_COLOR="1")
        assert "\x1b[3" not in shown
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown).replace("\r", "")
        assert max(map(len, plain.splitlines())) <= 80
        assert re.search(r"reader +role Reader in( 333344445555)? +keyring +59m", plain)
        assert "Auditor/alice@desk" in plain.replace("\n", "")

    @pytest.mark.parametrize("environ", [{}, {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "COLUMNS": "40"}])
    def test_pipe_output_has_neither_colour_nor_folds(self, seen: Sandbox, environ: dict[str, str]) -> None:
        shown = seen.run("status", **environ).stdout.decode()

        assert not CONTROL.search(shown)
        assert "*" not in shown
        assert re.search(
            r"^reader +role Reader in 333344445555 +keyring +59m +Auditor/alice@desk$", shown, re.MULTILINE
        )
        assert re.search(
            r"^unlock-bucket +S3UnlockBucketPolicy on payments-prod +- +- +-$", shown, re.MULTILINE
        )
        assert re.search(r"^audit-root +IAMAuditRootUserCredentials on @ACCOUNT +-", shown, re.MULTILINE)
        assert re.search(r"^problem +broken: source_profile 'nobody'", shown, re.MULTILINE)
        assert re.search(r"^keyring +Secret Service, usable$", shown, re.MULTILINE)

    @pytest.mark.parametrize(
        ("seconds", "said"),
        [(-1, "0s"), (59, "59s"), (119, "119s"), (120, "2m"), (7140, "119m"), (43199, "11h59m")],
    )
    def test_span_is_short(self, seconds: float, said: str) -> None:
        assert status.span(seconds) == said

    def test_every_pinned_keyring_has_a_name(self) -> None:
        pinned = {f"{each.module}.{each.name}" for group in PINNED.values() for each in group}

        assert set(status.KEYRING_NAMES) == pinned


class TestHostileNames:
    """What comes from files, the agent and STS moves no cursor and means nothing to a terminal."""

    def test_markup_is_text(self, sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
        sts.source_identity = "[bold]root[/bold]"
        sandbox.get("unlock-bucket")

        assert "[bold]root[/bold]" in sandbox.run("status").stdout.decode()

    def test_control_characters_are_escaped(self, sandbox: Sandbox, secret_service) -> None:
        evil = "\x1b]0;owned\x07\x9b2J\u202e\nagent   running, process 1"
        sandbox.configure(PROFILES + f"[profiles.{json.dumps('x' + evil)}]\nrole_arn = {json.dumps(evil)}\n")
        sandbox.get("developer")
        record = sandbox.state / "audit.jsonl"
        line = json.loads(record.read_text())
        record.write_text(json.dumps(line | {"source_identity": evil, "access_key_id": [evil]}) + "\n")
        with sandbox.use_agent():
            sandbox.run("agent", "start")
            plant(sandbox, b"0123456789abcdef0123456789abcdef", b"{}", 600)
            piped = sandbox.run("status").stdout.decode()
            _, shown = sandbox.on_a_terminal("status", NO_COLOR="1")
            printed = sandbox.run("status", "--json").stdout.decode()
            found = told(sandbox)

        assert "planted" in piped
        assert not CONTROL.search(piped)
        assert not CONTROL.search(printed)
        assert not CONTROL.search(re.sub(r"\x1b\[[0-9;]*m", "", shown).replace("\r", ""))
        assert len(re.findall(r"^agent +running, process", piped, re.MULTILINE)) == 1
        assert row(found, "developer")["source_identity"] == evil

    def test_secret_is_never_printed(self, sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
        with sandbox.use_agent():
            sandbox.get("developer")
            for verb in (["status"], ["status", "--json"]):
                assert sts.secret_marker.encode() not in sandbox.run(*verb).stdout
            assert sts.secret_marker not in sandbox.on_a_terminal("status")[1]
        sandbox.check_modes()
