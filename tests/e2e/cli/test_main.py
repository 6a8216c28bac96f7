"""The other verbs, and the manners of all of them: help, version, clear, log."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import click
import pytest

import credhelper
from credhelper.cli import main
from credhelper.config import keys
from credhelper.errors import BY_STATUS, printable

import sts_faults as faults
from sandbox import PROFILES, PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Sandbox
    from sts import LoopbackSts


def _help(*verb: str) -> str:
    done = subprocess.run([PROGRAM, *verb, "--help"], capture_output=True, text=True, check=True)
    return done.stdout


def test_version_is_the_packages(sandbox: Sandbox) -> None:
    """--version says name and version."""
    assert sandbox.run("--version").stdout.decode() == f"credhelper {credhelper.__version__}\n"


def test_help_names_every_verb_and_exit_status() -> None:
    """The first page is enough to choose a verb and to read an exit status."""
    text = _help()

    assert all(re.search(rf"^  {verb} ", text, re.MULTILINE) for verb in main.VERBS)
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


def test_every_page_of_help_teaches() -> None:
    """Each verb, and each below a verb, has examples and the exit statuses."""
    for path, command in _commands(main.program):
        text = command.get_help(click.Context(command, info_name=path[-1]))
        assert "Exit status:" in text, path
        assert "Example" in text or isinstance(command, click.Group), path


def test_help_of_get_has_every_key_and_an_example() -> None:
    """The flags are the keys of a profile, and an example shows them."""
    text = _help("get")

    assert all(key.flag in text for key in keys.KEYS)
    assert "Examples:" in text


def test_help_keeps_its_examples_as_they_are() -> None:
    """What is there to be copied stands on a line of its own."""
    assert "\n    credential_process = credhelper get unlock-bucket\n" in _help()
    assert "\n    credhelper get developer | jq .Expiration\n" in _help("get")
    assert all("\\" not in _help(*verb) for verb in ([], ["get"], ["clear"], ["log"]))


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_that_cannot_be_written_is_a_failure_like_any(sandbox: Sandbox, option: str) -> None:
    """A full disk as stdout: one sentence, exit 1."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run([PROGRAM, option], stdout=full, stderr=subprocess.PIPE, check=False)

    assert done.returncode == 1
    assert done.stderr == b"credhelper: error: cannot write the answer to stdout: no space left on device\n"


def test_an_interrupt_is_one_sentence(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """Ctrl-C while STS is slow: exit 1, no traceback, no empty line."""
    sts.mode = faults.slow(20)
    process = sandbox.start("get", "developer")
    while not sts.calls:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    result = sandbox.finish(process)

    assert (result.status, result.stderr) == (1, "credhelper: error: interrupted\n")


@pytest.mark.parametrize("verb", ["clear", "log"])
def test_help_says_what_aws_can_and_cannot_do(verb: str) -> None:
    """Neither a cleared cache nor our record is more than it is."""
    assert "AWS cannot revoke" in " ".join(_help("clear").split())
    assert "evidence, not proof" in " ".join(_help("log").split())
    assert _help(verb).startswith(f"Usage: credhelper {verb}")


class TestClear:
    """`credhelper clear`."""

    def test_forgets_a_profile_and_says_until_when_its_session_works(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service
    ) -> None:
        """The next call mints; other profiles stay cached."""
        envelope = sandbox.get("developer")
        other = sandbox.get("unlock-bucket")
        said = sandbox.run("clear", "developer").stdout.decode()

        assert f"AWS cannot revoke the session, it works until {envelope['Expiration'][:16]}" in said
        assert sandbox.get("unlock-bucket") == other
        sandbox.get("developer")
        assert sts.count("AssumeRole") == 2

    def test_a_profile_with_open_target_stands_for_all_its_targets(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service
    ) -> None:
        """PROFILE clears every PROFILE@TARGET, PROFILE@TARGET only one."""
        for target in ("111122223333", "222233334444"):
            sandbox.get(f"audit-root@{target}")

        assert sandbox.run("clear", "audit-root@222233334444").stdout.count(b"\n") == 1
        sandbox.get("audit-root@222233334444")
        assert sandbox.run("clear", "audit-root").stdout.count(b"\n") == 2

    def test_all_forgets_everything(self, sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
        """--all leaves no item and no line in the index."""
        sandbox.get("developer")
        sandbox.get("unlock-bucket")
        sandbox.run("clear", "--all")

        assert (sandbox.state / "items.jsonl").read_text() == ""
        sandbox.get("developer")
        assert sts.count() == 3

    def test_a_target_may_be_named_either_way(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service
    ) -> None:
        """Cached by its alias, cleared by its id: the same session."""
        sandbox.get("audit-root@payments-prod")

        assert b"forgotten here" in sandbox.run("clear", "audit-root@111122223333").stdout
        sandbox.get("audit-root@payments-prod")
        assert sts.count() == 2

    def test_profiles_that_make_the_same_call_are_forgotten_together(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service
    ) -> None:
        """They share a session, so clearing one must not leave it for the other."""
        sandbox.configure(PROFILES + PROFILES[PROFILES.index("[profiles.dev") :].replace("developer", "dev2"))
        sandbox.get("developer")

        assert b"forgotten here" in sandbox.run("clear", "dev2").stdout
        sandbox.get("dev2")
        assert sts.count() == 2

    def test_an_open_profile_finds_what_a_closed_one_has_minted(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service
    ) -> None:
        """The same task on the same account is the same session, whichever profile asked first."""
        closed = 'target_principal = "payments-prod"\ntask_policy_arn = "IAMAuditRootUserCredentials"\n'
        sandbox.configure(f"{PROFILES}[profiles.fixed]\n{closed}")
        sandbox.get("fixed")

        assert b"forgotten here" in sandbox.run("clear", "audit-root").stdout
        sandbox.get("audit-root@payments-prod")
        assert sts.count() == 2

    def test_nothing_cached_is_said(self, sandbox: Sandbox, secret_service) -> None:
        """A profile without a session is no error."""
        assert sandbox.run("clear", "developer").stdout == b"nothing was cached\n"

    def test_an_unknown_name_is_a_mistake(self, sandbox: Sandbox, secret_service) -> None:
        """With the one that was probably meant."""
        assert "did you mean 'developer'" in sandbox.refuses(2, "clear", "develoepr")

    def test_a_keyring_that_does_not_answer_keeps_its_items_listed(
        self, sandbox: Sandbox, secret_service
    ) -> None:
        """What could not be deleted is not forgotten: exit 1, and the index still has it."""
        sandbox.get("developer")
        secret_service.signal(signal.SIGSTOP)

        assert "the keyring did not delete 1 of 1 items" in sandbox.refuses(1, "clear", "--all")

        secret_service.signal(signal.SIGCONT)

        assert b"forgotten here" in sandbox.run("clear", "--all").stdout

    def test_works_without_a_configuration(self, sandbox: Sandbox, secret_service) -> None:
        """What is cached can be cleared although the file is gone."""
        sandbox.get("developer")
        sandbox.config.unlink()

        assert b"developer: forgotten" in sandbox.run("clear", "--all").stdout


class TestLog:
    """`credhelper log`."""

    @pytest.fixture(name="logged")
    def _logged(self, sandbox: Sandbox, sts: LoopbackSts) -> Sandbox:
        sandbox.get("unlock-bucket", "--reason", "=HYPERLINK(1)")
        sandbox.get("developer")
        sts.mode = faults.refuse("AccessDenied", "no")
        sandbox.refuses(4, "get", "developer")
        return sandbox

    def test_for_people(self, logged: Sandbox) -> None:
        """A table within 80 columns; NO_COLOR is obeyed."""
        status, shown = logged.on_a_terminal("log", NO_COLOR="1")

        assert status == 0
        assert "refused:" in shown
        assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in shown.splitlines()) <= 80
        assert "\x1b[3" not in shown

    def test_for_pipes(self, logged: Sandbox) -> None:
        """Nothing is folded or coloured where a program looks for a name."""
        shown = logged.run("log").stdout.decode()

        assert re.search(r"unlock-bucket +payments-prod +S3UnlockBucketPolicy +=HYPERLINK\(1\) +ASIA", shown)
        assert "refused: AccessDenied\n" in shown
        assert "\x1b" not in shown

    def test_as_json(self, logged: Sandbox) -> None:
        """One object a line, the record's own."""
        lines = [json.loads(line) for line in logged.run("log", "--json").stdout.splitlines()]

        assert lines == logged.audit()
        assert [line["outcome"] for line in lines] == ["minted", "minted", "refused"]

    def test_as_csv(self, logged: Sandbox) -> None:
        """With a header, and with nothing that a spreadsheet would run."""
        rows = list(csv.DictReader(io.StringIO(logged.run("log", "--csv").stdout.decode())))

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
    def test_filters(self, logged: Sandbox, filters: list[str], count: int) -> None:
        """By kind, account (id or alias) and time."""
        assert logged.run("log", "--json", *filters).stdout.count(b"\n") == count

    def test_a_time_that_is_none(self, sandbox: Sandbox) -> None:
        """What a time looks like is in the hint."""
        assert "write 2026-11-22" in sandbox.refuses(2, "log", "--since", "yesterday")

    def test_cloudtrail_commands(self, logged: Sandbox) -> None:
        """The key id finds the session's events, the event's name the call that minted it."""
        line = logged.audit()[0]
        said = logged.run("log", "--cloudtrail", line["access_key_id"]).stdout.decode()

        assert f"AttributeKey=AccessKeyId,AttributeValue={line['access_key_id']}" in said
        assert "AttributeKey=EventName,AttributeValue=AssumeRoot" in said
        assert line["request_id"] in said

    def test_cloudtrail_of_a_key_that_is_not_on_record(self, sandbox: Sandbox) -> None:
        """Exit 2: a mistyped key."""
        assert "is on record" in sandbox.refuses(2, "log", "--cloudtrail", "ASIANOBODY")

    def test_an_empty_record(self, sandbox: Sandbox) -> None:
        """Nothing yet is no error."""
        assert sandbox.run("log").stdout == b"no sessions are on record\n"

    def test_lines_that_are_not_ours_are_passed_over(self, logged: Sandbox) -> None:
        """A damaged record shows what is left of it."""
        with (logged.state / "audit.jsonl").open("a") as file:
            file.write('not json\n{"time": 5}\n[]\n')

        assert logged.run("log", "--json").stdout.count(b"\n") == 3


def test_what_comes_from_outside_cannot_move_a_cursor(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """STS's message, an account's alias and a flag, with control characters in them."""
    sts.mode = faults.CONTROL_CHARS
    sandbox.refuses(4, "get", "developer")
    sandbox.refuses(2, "get", "develop\x1b[2Jer")
    sandbox.refuses(2, "get", "developer", "--region", "eu\x9b-west\u2028-1")
    shown = sandbox.run("log").stdout.decode()

    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e]", shown)


def test_printable_is_one_line_of_ascii() -> None:
    """Whatever goes in."""
    text = printable("a\nb\x1b[31mc\u2028d\u00e9" + "x" * 5000)

    assert re.fullmatch(r"[\x20-\x7e]{1,700}", text)
