"""The other verbs, and the manners of all of them: help, version, clear, log."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import subprocess
from typing import TYPE_CHECKING

import click
import pytest

import credhelper
from credhelper.cli import main
from credhelper.config import keys
from credhelper.errors import BY_STATUS, printable

import sts_faults as faults
from sandbox import PROFILES, PROGRAM, Result, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Sandbox
    from sts import LoopbackSts


def _help(*verb: str) -> str:
    done = subprocess.run([PROGRAM, *verb, "--help"], capture_output=True, text=True, check=True)
    return done.stdout


def test_version_is_that_of_the_package(sandbox: Sandbox) -> None:
    assert sandbox.prints("--version") == f"credhelper {credhelper.__version__}\n"


def test_help_has_every_command_and_exit_status() -> None:
    text = _help()

    assert all(re.search(rf"^  {name} ", text, re.MULTILINE) for name in main.COMMAND_MODULES)
    assert all(re.search(rf"^ +{status}  ", text, re.MULTILINE) for status in (0, *BY_STATUS))


def _commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield (*path, name), found
            yield from _commands(found, (*path, name))


def test_every_help_has_examples_and_exit_statuses() -> None:
    for path, command in _commands(main.program):
        text = command.get_help(click.Context(command, info_name=path[-1]))
        assert "Exit status:" in text, path
        assert "Example" in text or isinstance(command, click.Group), path


def test_help_of_get_has_every_key_and_examples_are_not_wrapped() -> None:
    assert "\n    credential_process = credhelper get unlock-bucket\n" in _help()
    get = _help("get")
    assert "\n    credhelper get developer | jq .Expiration\n" in get
    assert "Examples:" in get
    assert all(key.flag in get for key in keys.KEYS)
    assert all("\\" not in _help(*verb) for verb in ([], ["get"], ["clear"], ["log"]))


@pytest.mark.parametrize("words", ["--help", "--version", "status", "env developer"])
def test_full_disk_as_stdout_fails(sandbox: Sandbox, words: str) -> None:
    said = "credhelper: error: cannot write the answer to stdout: no space left on device\n"
    assert sandbox.on_a_full_disk(*words.split()) == (1, said)


def test_interrupt_is_one_sentence(sandbox: Sandbox, sts: LoopbackSts) -> None:
    sts.mode = faults.slow(20)
    process = sandbox.start("get", "developer")
    until(lambda: sts.calls)
    process.send_signal(signal.SIGINT)
    assert sandbox.finish(process) == Result(1, b"", "credhelper: error: interrupted\n")


@pytest.mark.parametrize("verb", ["clear", "log"])
def test_help_says_what_clear_and_log_cannot_do(verb: str) -> None:
    assert "AWS cannot revoke" in " ".join(_help("clear").split())
    assert "evidence, not proof" in " ".join(_help("log").split())
    assert _help(verb).startswith(f"Usage: credhelper {verb}")


SAME_CALL = PROFILES[PROFILES.index("[profiles.dev") :].replace("developer", "dev2")
WITH_TARGET = """\
[profiles.fixed]
target_principal = "payments-prod"
task_policy_arn = "IAMAuditRootUserCredentials"
"""


class TestClear:
    """`credhelper clear`."""

    def test_clear_deletes_one_profile_and_reports_the_expiry(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service
    ) -> None:
        assert sandbox.prints("clear", "developer") == "nothing was cached\n"
        assert "did you mean 'developer'" in sandbox.refuses(2, "clear", "develoepr")
        envelope = sandbox.get("developer")
        other = sandbox.get("unlock-bucket")
        said = sandbox.run("clear", "developer").stdout.decode()

        assert f"AWS cannot revoke the session, it works until {envelope['Expiration'][:16]}" in said
        assert sandbox.get("unlock-bucket") == other
        sandbox.get("developer")
        assert sts.count("AssumeRole") == 2

    def test_profile_without_a_target_clears_all_its_targets(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service
    ) -> None:
        for target in ("111122223333", "222233334444"):
            sandbox.get(f"audit-root@{target}")

        assert sandbox.run("clear", "audit-root@222233334444").stdout.count(b"\n") == 1
        sandbox.get("audit-root@222233334444")
        assert sandbox.run("clear", "audit-root").stdout.count(b"\n") == 2

    def test_all_leaves_no_item_and_no_line_and_needs_no_configuration(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service
    ) -> None:
        minted = [sandbox.get("developer"), sandbox.get("unlock-bucket")]
        configuration = sandbox.config.rename(sandbox.home / "aside")
        assert "developer: forgotten" in sandbox.prints("clear", "--all")
        configuration.rename(sandbox.config)

        assert (sandbox.state / "items.jsonl").read_text() == ""
        assert sandbox.get("developer") != minted[0]

    @pytest.mark.parametrize(
        ("more", "names"),
        [
            ("", "audit-root@payments-prod audit-root@111122223333 audit-root@payments-prod"),
            (SAME_CALL, "developer dev2 dev2"),
            (WITH_TARGET, "fixed audit-root audit-root@payments-prod"),
        ],
        ids=["alias and id", "two profiles of one call", "with and without a target"],
    )
    def test_session_is_cleared_under_every_name_of_its_call(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service, more: str, names: str
    ) -> None:
        minted, cleared, again = names.split()
        sandbox.configure(PROFILES + more)
        sandbox.get(minted)

        assert b"forgotten here" in sandbox.run("clear", cleared).stdout
        sandbox.get(again)
        assert sts.count() == 2

    def test_silent_keyring_keeps_its_items_in_the_index(self, sandbox: Sandbox, secret_service) -> None:
        sandbox.get("developer")
        secret_service.signal(signal.SIGSTOP)

        assert "the keyring did not delete 1 of 1 items" in sandbox.refuses(1, "clear", "--all")

        secret_service.signal(signal.SIGCONT)

        assert b"forgotten here" in sandbox.run("clear", "--all").stdout


class TestLog:
    """`credhelper log`."""

    @pytest.fixture(name="logged")
    def _logged(self, sandbox: Sandbox, sts: LoopbackSts) -> Sandbox:
        sandbox.get("unlock-bucket", "--reason", "=HYPERLINK(1)")
        sandbox.get("developer")
        sts.mode = faults.refuse("AccessDenied", "no")
        sandbox.refuses(4, "get", "developer")
        return sandbox

    def test_table_fits_the_terminal_and_is_plain_in_a_pipe(self, logged: Sandbox) -> None:
        status, shown = logged.on_a_terminal("log", NO_COLOR="1")
        assert status == 0
        assert "refused:" in shown
        assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in shown.splitlines()) <= 80
        assert "\x1b[3" not in shown

        shown = logged.prints("log")
        assert re.search(r"unlock-bucket +payments-prod +S3UnlockBucketPolicy +=HYPERLINK\(1\) +ASIA", shown)
        assert "refused: AccessDenied\n" in shown
        assert "\x1b" not in shown

    def test_json_and_csv_have_the_lines_and_csv_no_formula(self, logged: Sandbox) -> None:
        lines = [json.loads(line) for line in logged.run("log", "--json").stdout.splitlines()]
        assert lines == logged.audit()
        assert [line["outcome"] for line in lines] == ["minted", "minted", "refused"]

        rows = list(csv.DictReader(io.StringIO(logged.prints("log", "--csv"))))
        assert rows[0]["reason"] == "'=HYPERLINK(1)"
        assert [row["api"] for row in rows] == ["AssumeRoot", "AssumeRole", "AssumeRole"]

    @pytest.mark.parametrize(
        ("filters", "count"),
        [
            (["--kind", "root"], 1),
            (["--kind", "role"], 2),
            (["--account", "payments-prod"], 1),
            (["--account", "222233334444"], 2),
            (["--since", "1h"], 3),
            (["--since", "2000-01-01"], 3),
            (["--since", "2999-01-01T00:00:00Z"], 0),
        ],
    )
    def test_filter_by_kind_account_and_time(self, logged: Sandbox, filters: list[str], count: int) -> None:
        assert logged.run("log", "--json", *filters).stdout.count(b"\n") == count

    def test_cloudtrail_finds_the_session_and_its_mint(self, logged: Sandbox) -> None:
        line = logged.audit()[0]
        said = logged.run("log", "--cloudtrail", line["access_key_id"]).stdout.decode()

        assert f"AttributeKey=AccessKeyId,AttributeValue={line['access_key_id']}" in said
        assert "AttributeKey=EventName,AttributeValue=AssumeRoot" in said
        assert line["request_id"] in said

    def test_empty_audit_log_is_no_error_and_an_unknown_key_is(self, sandbox: Sandbox) -> None:
        assert sandbox.prints("log") == "no sessions are on record\n"
        assert "is on record" in sandbox.refuses(2, "log", "--cloudtrail", "ASIANOBODY")
        assert "write 2026-11-22" in sandbox.refuses(2, "log", "--since", "yesterday")

    def test_foreign_lines_are_skipped(self, logged: Sandbox) -> None:
        with (logged.state / "audit.jsonl").open("a") as file:
            file.write('not json\n{"time": 5}\n[]\n')

        assert logged.run("log", "--json").stdout.count(b"\n") == 3


def test_control_characters_from_outside_are_escaped(sandbox: Sandbox, sts: LoopbackSts) -> None:
    sts.mode = faults.CONTROL_CHARS
    sandbox.refuses(4, "get", "developer")
    sandbox.refuses(2, "get", "develop\x1b[2Jer")
    sandbox.refuses(2, "get", "developer", "--region", "eu\x9b-west\u2028-1")
    shown = sandbox.prints("log")

    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e]", shown)


def test_printable_is_one_line_of_ascii() -> None:
    text = printable("a\nb\x1b[31mc\u2028d\u00e9" + "x" * 5000)

    assert re.fullmatch(r"[\x20-\x7e]{1,700}", text)
