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
from sandbox import AWS_CONFIG, PROFILES, plant

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
    return shapes.told(sandbox, "status", **environ)


def rows(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
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

        for name, expected in {
            "reader": {
                "kind": "role",
                "api": "AssumeRole",
                "cached": ["agent", "keyring"],
                "access_key_id": envelope["AccessKeyId"],
                "expires": envelope["Expiration"],
                "source_arn": "arn:aws:sts::333344445555:assumed-role/Auditor/alice@desk",
            },
            "developer": {"cached": ["agent", "keyring"]},
            "unlock-bucket": {
                "account": "111122223333",
                "account_name": "payments-prod",
                "task_policy": "S3UnlockBucketPolicy",
            },
            "audit-root": {"target": None},
            "broken": {"cached": [], "in_use": True},
        }.items():
            assert row(found, name) == row(found, name) | expected
        assert 3500 < row(found, "reader")["seconds_left"] <= 3600
        assert 800 < row(found, "unlock-bucket")["seconds_left"] <= 900
        assert "source_profile 'nobody'" in row(found, "broken")["problem"]
        assert found["agent"]["running"]
        backend = "keyring.backends.SecretService.Keyring"
        assert found["keyring"] == {"backend": backend, "state": "open", "problem": None}

    def test_no_keyring_shows_the_agent_alone(self, sandbox: Sandbox) -> None:
        with sandbox.use_agent():
            sandbox.get("developer")
            assert row(told(sandbox), "developer")["cached"] == ["agent"]
        assert row(told(sandbox), "developer")["cached"] == []

    def test_each_cached_target_has_a_row_and_profiles_share_a_call(
        self, sandbox: Sandbox, secret_service
    ) -> None:
        """A target has a row of its own; profiles with the same call share a session."""
        sandbox.configure(PROFILES + PROFILES[PROFILES.index("[profiles.dev") :].replace("developer", "dev2"))
        for name in ("audit-root@payments-prod", "audit-root@222233334444", "developer"):
            sandbox.get(name)
        found = told(sandbox)

        names = [each["profile"] for each in found["profiles"] if each["profile"].startswith("audit-root")]
        assert names == ["audit-root", "audit-root@222233334444", "audit-root@payments-prod"]
        assert row(found, "audit-root@payments-prod")["cached"] == ["keyring"]
        assert row(found, "audit-root")["cached"] == []
        assert row(found, "developer")["access_key_id"] == row(found, "dev2")["access_key_id"] is not None

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
        assert "developer (*)" in sandbox.prints("status")

    def test_shared_mfa_session_is_in_use_and_one_with_a_reason_is_found_by_label(
        self, sandbox: Sandbox, secret_service
    ) -> None:
        device = "arn:aws:iam::999988887777:mfa/me"
        code = f'mfa_serial = "{device}"\nmfa_command = ["printf", "123456"]\n'
        sandbox.configure(f'{PROFILES}{code}source_identity = "{{reason}}"\n')
        sandbox.get("developer", "--reason", "T-1")
        found = told(sandbox)
        shared = row(found, f"MFA session of {device}")

        assert (shared["kind"], shared["in_use"], shared["cached"]) == ("session", True, ["keyring"])
        assert [(each["cached"], each["source_identity"]) for each in rows(found, "developer")] == [
            (["keyring"], "T-1")
        ]

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
        saved = '[profiles.saved]\nrole_arn = "arn:aws:iam::222233334444:role/Saved"\nsource_key = "me"\n'
        sandbox.configure(PROFILES + saved)
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
        said = sandbox.prints("status")
        assert re.search(r"^file +no configuration file .*\nhint +", said, re.MULTILINE)

    def test_invalid_aws_config_is_a_problem_of_every_profile_and_no_profile_is_no_error(
        self, sandbox: Sandbox
    ) -> None:
        sandbox.aws_config(AWS_CONFIG + AWS_CONFIG)
        assert "a second [profile org-admin]" in row(told(sandbox), "developer")["problem"]

        sandbox.configure("")
        assert told(sandbox)["profiles"] == []
        assert "no profiles in" in sandbox.prints("status")


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
        shown = seen.prints("status", **environ)

        assert not CONTROL.search(shown)
        assert "*" not in shown
        for line in (
            r"reader +role Reader in 333344445555 +keyring +59m +Auditor/alice@desk",
            r"unlock-bucket +S3UnlockBucketPolicy on payments-prod +- +- +-",
            r"audit-root +IAMAuditRootUserCredentials on @ACCOUNT +-.*",
            r"problem +broken: source_profile 'nobody'.*",
            r"keyring +Secret Service, usable",
        ):
            assert re.search(f"^{line}$", shown, re.MULTILINE), line

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

    def test_markup_is_text_and_no_secret_is_printed(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service
    ) -> None:
        sts.source_identity = "[bold]root[/bold]"
        with sandbox.use_agent():
            sandbox.get("unlock-bucket")
            shown = [sandbox.prints("status"), sandbox.prints("status", "--json")]
            shown.append(sandbox.on_a_terminal("status")[1])

        assert "[bold]root[/bold]" in shown[0]
        assert sts.secret_marker not in "".join(shown)
        sandbox.check_modes()

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
            piped = sandbox.prints("status")
            _, shown = sandbox.on_a_terminal("status", NO_COLOR="1")
            printed = sandbox.prints("status", "--json")
            found = told(sandbox)

        assert "planted" in piped
        assert not CONTROL.search(piped)
        assert not CONTROL.search(printed)
        assert not CONTROL.search(re.sub(r"\x1b\[[0-9;]*m", "", shown).replace("\r", ""))
        assert len(re.findall(r"^agent +running, process", piped, re.MULTILINE)) == 1
        assert row(found, "developer")["source_identity"] == evil
