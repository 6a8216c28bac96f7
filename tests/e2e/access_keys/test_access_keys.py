"""Saved keys: on the installed program, a real Secret Service, and an IAM that knows its users' keys."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from moto.iam.models import AccessKeyLastUsed

from credhelper.access_keys import parse
from credhelper.cache.index import Index, Item, Rotation, SavedKey
from credhelper.cache.keyring import OsKeyring
from credhelper.cache.locks import Locks
from credhelper.cache.store import Store, successor
from credhelper.credentials import AccessKey
from credhelper.errors import ConfigError
from credhelper.log import Log

import fake_keyrings
import requirements
import rotating
from iam import ACCOUNT, LOST, LoopbackIam, backend
from sandbox import HAS_SECRET_SERVICE, PROGRAM, Sandbox, until
from secrets_scan import find_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Result, SecretService

PROFILES = """
[defaults]
region = "eu-west-1"

[profiles.deploy]
role_arn = "arn:aws:iam::222233334444:role/Deploy"
source_key = "ci"
"""
SERVICE = "keyring.backends.SecretService.Keyring"
AWS_CLI = Path("/usr/bin/aws")
STRANGER = AccessKey("AKIASTRANGERSTRANGER", "x" * 40)
DEVICE = f"arn:aws:iam::{ACCOUNT}:mfa/me"


class Desk(Sandbox):
    """A laptop whose keyring is looked into; it may take its time, since this machine may be busy."""

    def configure(self, text: str, endpoint: str | None = None) -> None:
        super().configure(f"{text}\n[keyring]\ntimeout = 20\n", endpoint)

    def store(self) -> Store:
        """The keyring, as the program itself sees it."""
        log = Log(str(self.home / "tests.log"))
        index = Index(str(self.state / "items.jsonl"), Locks(None, log), log)
        return Store(OsKeyring(SERVICE, self.environ), index, log)

    def saved(self, name: str = "ci") -> AccessKey | None:
        """The key that a profile would be given."""
        return self.store().saved_key(name)

    def feed(self, content: str | bytes, *arguments: str, **environ: str) -> Result:
        """The program with this on stdin, run to its end and checked."""
        process = self.start(*arguments, **environ)
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.write(content.encode() if isinstance(content, str) else content)
            process.stdin.close()
        process.stdin = None
        return self.finish(process)

    def add(self, key: AccessKey, *flags: str, name: str = "ci", **environ: str) -> Result:
        """The program's `key add`, with a key on stdin."""
        return self.feed(lines(key), "key", "add", name, *flags, **environ)

    def save(self, key: AccessKey, *flags: str, name: str = "ci") -> str:
        """Add a key; returns what is said."""
        done = self.add(key, *flags, name=name)
        assert done.status == 0, done.stderr
        return done.stdout.decode()

    def listed(self) -> list[dict[str, Any]]:
        """What `key list --json` says."""
        keys: list[dict[str, Any]] = json.loads(self.run("key", "list", "--json").stdout)["keys"]
        return keys

    def rotate(self, *flags: str) -> str:
        """Rotate the key; returns what is said."""
        done = self.run("key", "rotate", "ci", *flags)
        assert done.status == 0, done.stderr
        return done.stdout.decode()

    def talk(self, *arguments: str, answers: dict[str, str], **environ: str) -> tuple[int, str]:
        """The program on a terminal where a person answers what is asked: exit status, and what is seen."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(PROGRAM, [PROGRAM, *arguments], {**self.environ, **environ})
        shown, left = "", dict(answers)
        with suppress(OSError):  # EIO: the other end is closed
            while block := os.read(terminal, 4096):
                shown += block.decode()
                for question in [each for each in left if each in shown]:
                    os.write(terminal, f"{left.pop(question)}\n".encode())
        os.close(terminal)
        assert not left, shown
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


def lines(key: AccessKey) -> str:
    """A key as two lines."""
    return f"{key.access_key_id}\n{key.secret_access_key}\n"


@pytest.fixture(scope="module")
def shared() -> Iterator[LoopbackIam]:
    """An IAM and its STS."""
    with LoopbackIam() as server:
        yield server


@pytest.fixture
def iam(shared: LoopbackIam) -> LoopbackIam:
    """The same, with nothing wrong."""
    shared.faults.clear()
    shared.calls.clear()
    shared.sts.reset()
    shared.lag, shared.demands_mfa = 0, False
    return shared


@pytest.fixture
def user() -> str:
    """A user's name, of this test alone."""
    return f"user-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def key(iam: LoopbackIam, user: str) -> AccessKey:
    """The user's access key."""
    return iam.user(user)


@pytest.fixture
def bare(tmp_path: Path, iam: LoopbackIam) -> Desk:
    """A laptop without a keyring."""
    machine = Desk(tmp_path / "home")
    machine.configure(PROFILES, endpoint=iam.sts.url)
    machine.environ["AWS_ENDPOINT_URL_IAM"] = iam.url
    return machine


@pytest.fixture
def service(bare: Desk) -> Iterator[SecretService]:
    """Its keyring."""
    if not HAS_SECRET_SERVICE:
        requirements.missing("gnome-keyring")
    with bare.secret_service() as keyring:
        yield keyring


@pytest.fixture
def desk(bare: Desk, service: SecretService, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A laptop with a keyring."""
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bare.environ["DBUS_SESSION_BUS_ADDRESS"])
    return bare


class TestText:
    """A key as AWS hands it out."""

    KEY = AccessKey("AKIAIOSFODNN7EXAMPLE", "SECRETwJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAM")

    @pytest.mark.parametrize(
        "form",
        [
            "\n {0}\r\n\t{1} \r\n\n",
            "\ufeffAccess key ID,Secret access key\r\n{0},{1}\r\n",
            '{{"AccessKeyId": "{0}", "SecretAccessKey": "{1}"}}',
            '{{"AccessKey": {{"UserName": "me", "AccessKeyId": "{0}", "SecretAccessKey": "{1}"}}}}',
        ],
    )
    def test_forms(self, form: str) -> None:
        """Two lines and some space, the console's CSV file, the CLI's JSON with its frame and without."""
        text = form.format(self.KEY.access_key_id, self.KEY.secret_access_key).encode()

        assert parse.parse(text, None) == parse.parse(text, self.KEY.access_key_id) == self.KEY

    @pytest.mark.parametrize(
        "form",
        [
            "{0}\n\x1bSECRETSECRETSECRETSECRET\n",
            "{0}\n{1}\n{1}\n",
            "{0}\n{1}" + "\n" * 70_000,
            '{{"AccessKey": ["{1}"]}}',
            '{{"AccessKeyId": "{0}", "SecretAccessKey": 5}}',
            '{{"AccessKeyId":' * 5_000,
            '{{"AccessKeyId": "{0}", "SecretAccessKey": "{1}", "SessionToken": "{1}"}}',
            '{{"Credentials": {{"SecretAccessKey": "{1}"}}}}',
            "Access key ID,Secret access key\n{0},{1},\x00",
            "\udcff\udcfe",
        ],
    )
    def test_anything_else(self, form: str) -> None:
        """A ConfigError, which quotes nothing secret."""
        text = form.format(self.KEY.access_key_id, self.KEY.secret_access_key)
        with pytest.raises(ConfigError) as error:
            parse.parse(text.encode("utf-8", "surrogateescape"), None)

        assert "SECRET" not in f"{error.value} {error.value.hints}"


class TestAdd:
    """`credhelper key add`."""

    def test_a_key_on_stdin_is_saved_and_used(
        self, desk: Desk, iam: LoopbackIam, user: str, key: AccessKey
    ) -> None:
        """It says whose the key is; a profile that names it gets a session that the key has signed for."""
        said = desk.save(key)

        assert said.startswith(f"saved 'ci': {key.access_key_id} of arn:aws:iam::{ACCOUNT}:user/{user}\n")
        assert 'source_key = "ci"' in said
        assert desk.get("deploy")["AccountId"] == "222233334444"
        assert [(call.action, call.access_key_id) for call in iam.sts.calls] == [
            ("GetCallerIdentity", key.access_key_id),
            ("AssumeRole", key.access_key_id),
        ]
        desk.check_modes()

    def test_what_the_aws_cli_prints_is_taken_as_it_is(
        self, desk: Desk, iam: LoopbackIam, user: str, key: AccessKey
    ) -> None:
        """`aws iam create-access-key | credhelper key add ci`."""
        aws = str(AWS_CLI) if AWS_CLI.exists() else requirements.missing("AWS CLI v2")
        command = [aws, "--endpoint-url", iam.url, "iam", "create-access-key", "--user-name", user]
        environ = {
            **desk.environ,
            "AWS_ACCESS_KEY_ID": key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
            "AWS_REGION": "eu-west-1",
        }
        made = subprocess.run(command, env=environ, capture_output=True, check=True).stdout

        assert desk.feed(made, "key", "add", "ci").status == 0
        assert desk.saved() == AccessKey(
            *(json.loads(made)["AccessKey"][each] for each in ("AccessKeyId", "SecretAccessKey"))
        )

    def test_the_secret_alone(self, desk: Desk, key: AccessKey) -> None:
        """Where a flag has the id, which is no secret."""
        flags = ("--no-check", "--access-key-id", key.access_key_id)

        assert desk.feed(key.secret_access_key, "key", "add", "ci", *flags).status == 0
        assert desk.saved() == key

    def test_a_person_is_asked(self, desk: Desk, key: AccessKey) -> None:
        """On a terminal; the id is seen, the secret is not."""
        answers = {"access key id: ": key.access_key_id, "secret access key: ": key.secret_access_key}
        status, shown = desk.talk("key", "add", "ci", answers=answers)

        assert status == 0, shown
        assert "a key is to be saved as 'ci'" in shown
        assert key.secret_access_key not in shown
        assert desk.saved() == key

    def test_a_person_who_does_not_want_to(self, desk: Desk) -> None:
        """Ctrl-D: exit 5, and nothing is saved."""
        status, shown = desk.talk("key", "add", "ci", answers={"access key id: ": "\x04"})

        assert (status, desk.listed()) == (5, [])
        assert "cancelled: a key is to be saved as 'ci'" in shown

    @pytest.mark.parametrize(
        ("content", "flags", "sentence"),
        [
            ("", [], "stdin is empty"),
            ("one line", [], "stdin holds no access key that can be read"),
            ("SECRETSECRETSECRET/\n{0}\n", [], "that is no access key id"),
            ("{0}\nSECRET SECRET SECRET\n", [], "that is no secret access key"),
            ("ASIA{0}\n{1}\n", [], "is a session's and expires: only long-lived keys are saved"),
            ("{0}\n{1}", ["--access-key-id", "AKIAANOTHERANOTHER"], "not 'AKIAANOTHERANOTHER'"),
            ("{0}\n{1}", ["{1}"], "a secret is never an argument"),
            ("{0}\n{1}", ["--secret-access-key={1}"], "no such option"),
        ],
    )
    def test_what_is_no_key(self, desk: Desk, content: str, flags: list[str], sentence: str) -> None:
        """Exit 2, in words that quote no secret; nothing is saved."""
        pair = ("AKIAIOSFODNN7EXAMPLE", "SECRETwJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAM")
        arguments = ["key", "add", "ci", *(flag.format(*pair) for flag in flags)]
        done = desk.feed(content.format(*pair), *arguments)

        assert (done.status, desk.store().index.saved_keys()) == (2, [])
        assert sentence in done.stderr
        assert "SECRET" not in done.stderr

    @pytest.mark.parametrize("name", ["a:next", "../a", "a\x1b[2J"])
    def test_what_is_no_name(self, desk: Desk, key: AccessKey, name: str) -> None:
        """What `source_key` could not say is no name."""
        assert "is no name for a saved key" in desk.add(key, name=name).stderr

    @pytest.mark.parametrize(
        ("wrong", "status", "sentence"),
        [
            ("secret", 3, "AWS says that this is not the secret of '{0}'"),
            ("unknown", 3, "AWS does not know the access key 'AKIASTRANGERSTRANGER', or it is inactive"),
            ("inactive", 3, "AWS does not know the access key '{0}', or it is inactive"),
            ("unreachable", 6, "--no-check saves a key without asking AWS"),
            ("region", 2, "region 'eu west' is not the name of a region"),
        ],
    )
    def test_what_aws_does_not_take(
        self, desk: Desk, iam: LoopbackIam, key: AccessKey, wrong: str, status: int, sentence: str
    ) -> None:
        """A key that does not work is not saved."""
        flags: list[str] = []
        if wrong == "inactive":
            iam.key(key.access_key_id).status = "Inactive"
        elif wrong == "unreachable":
            desk.environ["AWS_ENDPOINT_URL_STS"] = "http://127.0.0.1:9"
        elif wrong == "region":
            flags = ["--region", "eu west"]
        given = {"secret": AccessKey(key.access_key_id, "x" * 40), "unknown": STRANGER}.get(wrong, key)
        done = desk.add(given, *flags)

        assert (done.status, desk.store().index.saved_keys(), desk.saved()) == (status, [], None)
        assert sentence.format(key.access_key_id) in done.stderr

    def test_without_a_check_aws_is_not_asked(self, desk: Desk, iam: LoopbackIam) -> None:
        """What nobody has asked is shown as such."""
        said = desk.save(STRANGER, "--no-check")

        assert "not checked" in said
        assert (iam.sts.calls, iam.calls) == ([], [])
        assert (desk.listed()[0]["account"], desk.listed()[0]["arn"]) == (None, None)
        assert "not checked" in desk.run("key", "list").stdout.decode()

    def test_a_name_is_not_taken_twice_unasked(self, desk: Desk, iam: LoopbackIam, key: AccessKey) -> None:
        """Exit 2 before anything is read; nor is a name that differs by its case alone."""
        desk.save(key)
        calls = len(iam.sts.calls)

        assert (
            f"a key is saved as 'ci' already: '{key.access_key_id}'"
            in desk.add(STRANGER, "--no-check").stderr
        )
        assert (
            "do not tell 'CI' from the saved key 'ci'" in desk.add(STRANGER, "--no-check", name="CI").stderr
        )
        assert (desk.saved(), len(iam.sts.calls)) == (key, calls)

    def test_force_puts_another_one_in_its_place(
        self, desk: Desk, iam: LoopbackIam, user: str, key: AccessKey
    ) -> None:
        """Sessions of the one before are given no more, not even by the agent; AWS still has that key."""
        desk.save(key)
        other = iam.user(f"{user}-other")
        desk.settle()
        with desk.use_agent():
            before = desk.get("deploy")
            assert desk.get("deploy") == before
            said = desk.save(other, "--force")

            assert (
                f"aws iam delete-access-key --access-key-id {key.access_key_id} --user-name {user}\n" in said
            )
            assert desk.saved() == other
            assert desk.get("deploy") != before
            assert iam.sts.calls[-1].access_key_id == other.access_key_id
            assert [each["arn"] for each in desk.listed()] == [f"arn:aws:iam::{ACCOUNT}:user/{user}-other"]

    def test_without_a_configuration(self, desk: Desk, key: AccessKey) -> None:
        """The first thing that somebody does; one that is broken is not passed over."""
        desk.config.unlink()
        desk.save(key)
        desk.configure("[defaults\n")

        assert desk.add(key, "--force").status == 2
        assert desk.saved() == key

    def test_defaults_say_how_aws_is_reached(self, desk: Desk, iam: LoopbackIam, key: AccessKey) -> None:
        """The region and the endpoint of [defaults]; --region beats them."""
        del desk.environ["AWS_ENDPOINT_URL_STS"]
        desk.configure(f'[defaults]\nregion = "eu-west-3"\nendpoint_url = "{iam.sts.url}"\n')
        desk.save(key)
        desk.save(key, "--force", "--region", "cn-north-1")

        assert [call.region for call in iam.sts.calls] == ["eu-west-3", "cn-north-1"]

    def test_a_root_users_key(self, desk: Desk, iam: LoopbackIam, key: AccessKey) -> None:
        """It is saved, and what it is no good for is said."""
        iam.key(key.access_key_id).user_name = "x:root"

        assert "it is the root user's: no role can be assumed with it\n" in desk.save(key)

    def test_what_sts_says_cannot_move_a_cursor(
        self, desk: Desk, iam: LoopbackIam, key: AccessKey, user: str
    ) -> None:
        """Nor break the index."""
        iam.key(key.access_key_id).user_name = f"{user}\x85\u202e"
        said = desk.save(key)

        assert said.isascii()
        assert desk.listed()[0]["arn"].endswith(r"\x85\u202e")

    @pytest.mark.parametrize("why", ["none", "no bus", "stopped", "locked"])
    def test_without_a_keyring(self, desk: Desk, service: SecretService, key: AccessKey, why: str) -> None:
        """Exit 1 before anything is asked, and nothing is written anywhere instead."""
        environ = {"none": {"CREDHELPER_KEYRING": "none"}, "no bus": {"DBUS_SESSION_BUS_ADDRESS": ""}}.get(
            why, {}
        )
        if why == "stopped":
            Sandbox.configure(desk, PROFILES)
            service.signal(signal.SIGSTOP)
        if why == "locked":
            with desk.secret_service(None):
                done = desk.add(key)
        else:
            done = desk.add(key, **environ)

        assert done.status == 1, done
        assert done.stderr.startswith("credhelper: error: the keyring cannot be used: ")
        assert "keys are saved there and nowhere else" in done.stderr
        assert find_secret([desk.state, desk.runtime], key.secret_access_key) == []

    def test_nothing_is_saved_that_is_not_listed(self, desk: Desk, key: AccessKey) -> None:
        """Where the index cannot be written, the keyring is left alone."""
        (desk.state / "items.jsonl").mkdir(parents=True)
        done = desk.add(key)

        assert (done.status, desk.saved()) == (1, None)
        assert "items.jsonl' cannot be written" in done.stderr


class TestList:
    """`credhelper key list`."""

    def test_for_people_and_for_programs(self, desk: Desk, user: str, key: AccessKey) -> None:
        """Sorted by name, within 80 columns, and without the secret; it needs neither keyring nor network."""
        desk.save(STRANGER, "--no-check", name="zoo")
        desk.save(key)
        status, shown = desk.on_a_terminal("key", "list", NO_COLOR="1")
        plain = desk.run("key", "list", CREDHELPER_KEYRING="none").stdout.decode()
        listed = desk.listed()

        assert status == 0
        assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in shown.splitlines()) <= 80
        assert re.search(rf"ci +{key.access_key_id} +{ACCOUNT} +user/{user} +20\d\d-\d\d-\d\d\nzoo +", plain)
        assert [each["name"] for each in listed] == ["ci", "zoo"]
        assert listed[0] == {
            "name": "ci",
            "access_key_id": key.access_key_id,
            "account": ACCOUNT,
            "arn": f"arn:aws:iam::{ACCOUNT}:user/{user}",
            "saved": listed[0]["saved"],
            "rotating": False,
        }
        assert key.secret_access_key not in shown + plain + json.dumps(listed)

    def test_nothing_saved(self, bare: Desk) -> None:
        """That is said, with what to do; as JSON it is an empty list."""
        assert b"'credhelper key add NAME' saves one" in bare.run("key", "list").stdout
        assert bare.listed() == []

    def test_saved_keys_survive_what_forgets_sessions(self, desk: Desk, key: AccessKey) -> None:
        """`clear --all`, and the sweep of what has expired."""
        desk.save(key)
        desk.store().index.add(Item("old", "deploy", "role", 5, 1))
        desk.get("deploy")
        assert [item.key for item in desk.store().items()] != ["old"]
        desk.run("clear", "--all")

        assert (desk.saved(), desk.store().items()) == (key, [])
        assert [each["name"] for each in desk.listed()] == ["ci"]


class TestRemove:
    """`credhelper key remove`."""

    @pytest.mark.parametrize(("answer", "status"), [("y", 0), ("n", 5), ("\x04", 5)])
    def test_a_person_is_asked(self, desk: Desk, user: str, key: AccessKey, answer: str, status: int) -> None:
        """With what hangs on it; only a yes removes."""
        desk.save(key)
        ended, shown = desk.talk("key", "remove", "ci", answers={"remove it? [y/N] ": answer})

        assert ended == status
        assert f"{key.access_key_id} of arn:aws:iam::{ACCOUNT}:user/{user}" in shown
        assert "used by deploy" in shown
        assert (desk.saved() is None) is (status == 0)

    def test_unasked(self, desk: Desk, user: str, key: AccessKey) -> None:
        """--yes; AWS still has the key, and the command that deletes it is said. Then profiles lack it."""
        desk.save(key)
        said = desk.run("key", "remove", "ci", "--yes").stdout.decode()

        assert said.splitlines()[0].startswith("removed 'ci' from the keyring; AWS still has it")
        assert (
            said.splitlines()[1]
            == f"  aws iam delete-access-key --access-key-id {key.access_key_id} --user-name {user}"
        )
        assert (desk.saved(), desk.listed()) == (None, [])
        assert "saved key 'ci' is not in the OS keyring" in desk.refuses(3, "get", "deploy")
        assert "no key is saved as 'ci'" in desk.refuses(3, "key", "remove", "ci", "--yes")

    def test_nobody_can_be_asked(self, desk: Desk, key: AccessKey) -> None:
        """Exit 5 with what to do, and the key stays."""
        desk.save(key)

        assert "--yes removes it without asking" in desk.refuses(
            5, "key", "remove", "ci", CREDHELPER_PROMPT="none"
        )
        assert desk.saved() == key

    @pytest.mark.parametrize("verb", [["remove", "--yes"], ["rotate"]])
    def test_an_unknown_name(self, desk: Desk, key: AccessKey, verb: list[str]) -> None:
        """Exit 3, with the one that was probably meant."""
        desk.save(key, name="deployment")

        assert "did you mean 'deployment'" in desk.refuses(3, "key", *verb, "deploymemt")

    def test_a_keyring_that_does_not_answer(self, desk: Desk, service: SecretService, key: AccessKey) -> None:
        """Exit 1, and the key stays listed."""
        desk.save(key)
        Sandbox.configure(desk, PROFILES)
        service.signal(signal.SIGSTOP)
        said = desk.refuses(1, "key", "remove", "ci", "--yes")
        service.signal(signal.SIGCONT)

        assert "the keyring cannot be used: " in said
        assert (desk.saved(), len(desk.listed())) == (key, 1)

    def test_in_the_middle_of_a_rotation(
        self, desk: Desk, iam: LoopbackIam, key: AccessKey, user: str
    ) -> None:
        """Both keys go, and both are named."""
        desk.save(key)
        iam.lag = 1000
        desk.refuses(6, "key", "rotate", "ci", "--wait", "0")
        said = desk.run("key", "remove", "ci", "--yes").stdout.decode()

        assert all(f"--access-key-id {each} --user-name {user}\n" in said for each in iam.keys(user))
        assert (desk.saved(), desk.saved(successor("ci")), desk.listed()) == (None, None, [])
        assert desk.save(key).startswith("saved")


@pytest.fixture
def saved(desk: Desk, key: AccessKey) -> AccessKey:
    """The user's key, saved as 'ci' as if by `key add --no-check`."""
    desk.store().index.add(SavedKey("ci", key.access_key_id, None, None, int(time.time())))
    desk.store().save_key("ci", key)
    return key


def check_sound(desk: Desk, iam: LoopbackIam, user: str) -> AccessKey:
    """The user has one key, which is the one that is saved, and nothing is left over."""
    found = desk.saved()
    assert found is not None
    assert iam.keys(user) == {found.access_key_id: "Active"}
    assert iam.works(found)
    assert desk.saved(successor("ci")) is None
    index = desk.store().index
    assert [each.access_key_id for each in index.saved_keys()] == [found.access_key_id]
    assert index.rotations() == []
    return found


class TestRotate:
    """`credhelper key rotate`."""

    def test_a_new_key_takes_the_place_of_the_old_one(
        self, desk: Desk, iam: LoopbackIam, user: str, saved: AccessKey
    ) -> None:
        """Made by the old key, proven by itself, and only then is the old one deleted, by the new one."""
        said = desk.rotate()
        new = check_sound(desk, iam, user)

        assert said.startswith(
            f"rotated 'ci': {new.access_key_id} has taken the place of {saved.access_key_id}"
        )
        assert iam.calls == [
            ("ListAccessKeys", saved.access_key_id),
            ("CreateAccessKey", saved.access_key_id),
            ("UpdateAccessKey", new.access_key_id),
            ("DeleteAccessKey", new.access_key_id),
        ]
        assert desk.listed()[0]["arn"] == f"arn:aws:iam::{ACCOUNT}:user/{user}"
        assert desk.get("deploy")["AccountId"] == "222233334444"
        assert iam.sts.calls[-1].access_key_id == new.access_key_id
        desk.check_modes()

    def test_killed_after_any_step(self, desk: Desk, iam: LoopbackIam, user: str, saved: AccessKey) -> None:
        """The saved key works at every moment, and running the command again leaves nothing else behind."""
        runs = subprocess.Popen(
            [sys.executable, rotating.__file__, "ci"],
            env=desk.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

        def run(step: int) -> tuple[list[str], int]:
            assert runs.stdin
            assert runs.stdout
            runs.stdin.write(f"{step}\n")
            runs.stdin.flush()
            ran = json.loads(runs.stdout.readline())
            return ran["steps"], ran["status"]

        assert run(0) == ([*rotating.STEPS], 0)
        for step in range(1, len(rotating.STEPS) + 1):
            done = rotating.STEPS[:step]
            assert run(step) == ([*done], -signal.SIGKILL)
            assert iam.works(desk.saved()), done
            assert iam.works(desk.store().read_key("ci")), done

            assert run(0)[1] == 0, done
            check_sound(desk, iam, user)
        assert runs.communicate() == ("", "")

    def test_killed_while_the_keyring_replaces_the_key(
        self, desk: Desk, iam: LoopbackIam, user: str, saved: AccessKey
    ) -> None:
        """Where that is to delete and to add (macOS), the new key serves in between: it is proven by then."""
        iam.faults["UpdateAccessKey"] = ["AccessDenied"]
        desk.refuses(4, "key", "rotate", "ci")
        desk.store().delete_key("ci")

        assert iam.works(desk.saved())
        assert desk.get("deploy")
        assert "finished the rotation" in desk.rotate()
        assert iam.works(desk.store().read_key("ci"))
        check_sound(desk, iam, user)

    def test_aws_takes_a_while_to_know_a_new_key(
        self, desk: Desk, iam: LoopbackIam, user: str, saved: AccessKey
    ) -> None:
        """It is asked again, for STS and for IAM alike."""
        iam.lag = 2
        desk.rotate()

        check_sound(desk, iam, user)

    def test_aws_takes_too_long_to_know_it(
        self, desk: Desk, iam: LoopbackIam, user: str, saved: AccessKey
    ) -> None:
        """Exit 6 with the old key in place; the next run goes on with the same new key."""
        iam.lag = 2
        said = desk.refuses(6, "key", "rotate", "ci", "--wait", "0")

        assert "the new key of 'ci' does not work yet: AWS does not know the access key 'AKIA" in said
        assert (
            f"'ci' is still '{saved.access_key_id}', which works; the same command goes on from here" in said
        )
        assert desk.saved() == saved
        assert (
            "the rotation of 'ci' is not finished: run 'credhelper key rotate ci'"
            in desk.run("key", "list").stdout.decode()
        )
        assert desk.listed()[0]["rotating"] is True
        assert "the rotation of the saved key 'ci' is not finished" in desk.add(saved, "--force").stderr
        made = {*iam.keys(user)} - {saved.access_key_id}
        assert "finished the rotation of 'ci'" in desk.rotate()
        assert {check_sound(desk, iam, user).access_key_id} == made

    @pytest.mark.parametrize(
        ("action", "switched"),
        [
            ("ListAccessKeys", False),
            ("CreateAccessKey", False),
            ("UpdateAccessKey", True),
            ("DeleteAccessKey", True),
        ],
    )
    def test_iam_refuses(
        self, desk: Desk, iam: LoopbackIam, user: str, saved: AccessKey, action: str, switched: bool
    ) -> None:
        """Exit 4, naming the call and which key is saved, which works; the next run finishes."""
        iam.faults[action] = ["AccessDenied"]
        said = desk.refuses(4, "key", "rotate", "ci")
        now = desk.saved()

        assert f"AWS refused 'iam:{action}' (AccessDenied): " in said
        assert iam.works(now)
        assert now is not None
        assert (now != saved) is switched
        assert (
            f"'ci' is {'' if switched or action == 'ListAccessKeys' else 'still '}'{now.access_key_id}'"
            in said
        )
        assert "--mfa-serial ARN" in said
        assert bool(desk.store().index.rotations()) is switched
        desk.rotate()
        check_sound(desk, iam, user)

    @pytest.mark.parametrize("action", ["CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey"])
    def test_an_answer_is_lost(
        self, desk: Desk, iam: LoopbackIam, user: str, saved: AccessKey, action: str
    ) -> None:
        """What was done although nobody heard of it is found by the next run, or by the SDK's retries."""
        iam.faults[action] = [LOST]
        done = desk.run("key", "rotate", "ci")

        assert (done.status == 0) is (action != "CreateAccessKey"), done.stderr
        assert iam.works(desk.saved())
        desk.rotate()
        check_sound(desk, iam, user)

    def test_a_user_has_another_key(self, desk: Desk, iam: LoopbackIam, user: str, saved: AccessKey) -> None:
        """Exit 4 before anything is made: which one, and how to see whether it may go."""
        other = iam.make_key(user).access_key_id
        said = desk.refuses(4, "key", "rotate", "ci")

        assert f"user '{user}' has another access key, '{other}', and AWS allows no third one" in said
        assert f"aws iam get-access-key-last-used --access-key-id {other}" in said
        assert f"aws iam delete-access-key --access-key-id {other}" in said
        assert (desk.saved(), len(iam.keys(user)), desk.listed()[0]["rotating"]) == (saved, 2, False)

    @pytest.mark.parametrize("why", ["used", "later"])
    def test_a_key_that_is_not_ours_is_not_deleted(
        self, desk: Desk, iam: LoopbackIam, user: str, saved: AccessKey, why: str
    ) -> None:
        """After a run that was cut off, a key is somebody else's if it was used, or made any later."""
        iam.faults["CreateAccessKey"] = ["ServiceUnavailable"]
        desk.store().index.add(Rotation("ci", saved.access_key_id, int(time.time())))
        other = iam.key(iam.make_key(user).access_key_id)
        if why == "used":
            other.last_used = AccessKeyLastUsed(datetime.now(timezone.utc), "s3", "eu-west-1")
        else:
            other.create_date += timedelta(minutes=2)

        assert f"another access key, '{other.access_key_id}'" in desk.refuses(4, "key", "rotate", "ci")
        assert len(iam.keys(user)) == 2

    def test_last_used_may_be_unknown(
        self, desk: Desk, iam: LoopbackIam, user: str, saved: AccessKey
    ) -> None:
        """Without iam:GetAccessKeyLastUsed, a lost key is known by its time alone."""
        iam.faults["CreateAccessKey"] = [LOST]
        desk.refuses(4, "key", "rotate", "ci")
        iam.faults["GetAccessKeyLastUsed"] = ["AccessDenied"]
        desk.rotate()

        check_sound(desk, iam, user)

    @pytest.mark.parametrize("how", ["deactivated", "deleted"])
    def test_somebody_takes_the_waiting_key_away(
        self, desk: Desk, iam: LoopbackIam, user: str, saved: AccessKey, how: str
    ) -> None:
        """The next run makes another one."""
        iam.lag = 100
        desk.refuses(6, "key", "rotate", "ci", "--wait", "0")
        waiting = desk.saved(successor("ci"))
        assert waiting is not None
        if how == "deleted":
            backend().delete_access_key(waiting.access_key_id, user)
        else:
            iam.key(waiting.access_key_id).status = "Inactive"
        iam.lag = 0
        desk.rotate("--wait", "0.3")

        assert check_sound(desk, iam, user) != waiting

    def test_somebody_has_deleted_the_old_key(
        self, desk: Desk, iam: LoopbackIam, user: str, saved: AccessKey
    ) -> None:
        """In the middle of a rotation that was to come; before it, nobody is left to make a new one."""
        iam.lag = 1
        desk.refuses(6, "key", "rotate", "ci", "--wait", "0")
        backend().delete_access_key(saved.access_key_id, user)
        desk.rotate()
        new = check_sound(desk, iam, user)
        backend().delete_access_key(new.access_key_id, user)

        assert "AWS does not know the access key that signed 'iam:ListAccessKeys'" in desk.refuses(
            3, "key", "rotate", "ci"
        )
        assert desk.saved() == new

    def test_a_keyring_that_takes_no_more(
        self, desk: Desk, service: SecretService, iam: LoopbackIam, user: str, saved: AccessKey
    ) -> None:
        """A key that was made and cannot be kept is deleted at once."""
        Sandbox.configure(desk, PROFILES)
        iam.faults["CreateAccessKey"] = [partial(service.signal, signal.SIGSTOP)]
        said = desk.refuses(1, "key", "rotate", "ci")
        service.signal(signal.SIGCONT)

        assert "the keyring cannot be used: " in said
        assert iam.keys(user) == {saved.access_key_id: "Active"}
        desk.rotate()
        check_sound(desk, iam, user)

    def test_one_at_a_time(self, desk: Desk, iam: LoopbackIam, user: str, saved: AccessKey) -> None:
        """Who comes second is told so; nobody's key gets lost."""
        go_on = threading.Event()
        iam.faults["CreateAccessKey"] = [go_on.wait]
        first = desk.start("key", "rotate", "ci")
        until(lambda: len(iam.calls) > 1)

        assert "another 'credhelper key' is at work on 'ci'" in desk.refuses(1, "key", "rotate", "ci")
        assert "is at work on 'ci'" in desk.refuses(1, "key", "remove", "ci", "--yes")
        go_on.set()
        assert desk.finish(first).status == 0
        check_sound(desk, iam, user)

    def test_a_policy_demands_mfa(self, desk: Desk, iam: LoopbackIam, user: str, saved: AccessKey) -> None:
        """--mfa-serial: a session with a code signs for IAM, one code for all of it, and the next run's."""
        iam.demands_mfa = True
        codes = iter(["111111", "222222"])
        iam.sts.mfa_codes[DEVICE] = lambda code: code == next(codes)

        assert "where a policy demands MFA for this, add --mfa-serial ARN" in desk.refuses(
            4, "key", "rotate", "ci"
        )
        rotate = ("key", "rotate", "ci", "--mfa-serial", DEVICE)
        assert "run this on a terminal" in desk.refuses(5, *rotate, CREDHELPER_PROMPT="none")
        iam.faults["DeleteAccessKey"] = ["AccessDenied"]
        question = f"MFA code of '{DEVICE}': "
        assert desk.talk(*rotate, answers={question: "111111"})[0] == 4
        assert iam.works(desk.saved())
        assert desk.talk(*rotate, answers={question: "222222"})[0] == 0
        check_sound(desk, iam, user)
        assert "'--mfa-serial' " in desk.refuses(2, "key", "rotate", "ci", "--mfa-serial", "me")

    def test_in_the_middle_of_a_call(self, desk: Desk, iam: LoopbackIam, user: str, saved: AccessKey) -> None:
        """Who has read the old key and finds it deactivated takes the one that is saved by then."""
        new = iam.make_key(user)

        def rotated() -> None:
            desk.store().save_key("ci", new)
            iam.key(saved.access_key_id).status = "Inactive"

        iam.on_use[saved.access_key_id] = rotated
        desk.get("deploy")

        assert iam.sts.calls[-1].access_key_id == new.access_key_id
        iam.key(new.access_key_id).status = "Inactive"
        assert "saved key 'ci'" in desk.refuses(3, "get", "deploy", "--no-cache")

    def test_nothing_is_made_that_is_not_on_record(
        self, desk: Desk, iam: LoopbackIam, user: str, saved: AccessKey
    ) -> None:
        """Where the index cannot be written, IAM is not asked for a key."""
        (desk.state / "items.jsonl").unlink()
        (desk.state / "items.jsonl").mkdir()

        assert "items.jsonl' cannot be written" in desk.refuses(1, "key", "rotate", "ci")
        assert iam.keys(user) == {saved.access_key_id: "Active"}

    def test_without_a_keyring(self, desk: Desk, iam: LoopbackIam, saved: AccessKey) -> None:
        """Exit 1, and AWS is not asked for a key that could not be kept."""
        assert "the keyring cannot be used" in desk.refuses(
            1, "key", "rotate", "ci", CREDHELPER_KEYRING="none"
        )
        assert iam.calls == []


class TestOtherKeyrings:
    """What Windows and macOS do differently, with their real limits."""

    @pytest.mark.parametrize(
        ("system", "backend_class"),
        [
            (fake_keyrings.windows, "keyring.backends.Windows.WinVaultKeyring"),
            (fake_keyrings.macos, "keyring.backends.macOS.Keyring"),
        ],
    )
    def test_the_longest_key_fits(self, tmp_path: Path, system: Any, backend_class: str) -> None:
        """One item holds it; replaced, it is the new one; deleted, nothing of it is left."""
        log = Log(str(tmp_path / "log"))
        index = Index(str(tmp_path / "items.jsonl"), Locks(None, log), log)
        longest, other = AccessKey("A" * 128, "/" * 256), AccessKey("B" * 128, "+" * 256)
        with system() as kept:
            store = Store(OsKeyring(backend_class, {}), index, log)
            for key in (longest, other):
                store.save_key("n" * 128, key)
                assert store.saved_key("n" * 128) == key
            store.save_key(successor("n" * 128), longest)
            store.delete_key("n" * 128)
            assert store.saved_key("n" * 128) == longest
            store.delete_key(successor("n" * 128))
            assert store.saved_key("n" * 128) is None
            assert not (kept.credentials if system is fake_keyrings.windows else kept.items)


def test_a_secret_is_nowhere_but_in_the_keyring(desk: Desk, iam: LoopbackIam, user: str) -> None:
    """Typed, piped, rotated, refused, removed, with everything logged: no file, process or output has it."""
    marker = f"MARKER{uuid.uuid4().hex}"
    key = iam.user(user)
    iam.key(key.access_key_id).secret_access_key = marker
    key = AccessKey(key.access_key_id, marker)
    (desk.home / "tmp").mkdir()
    desk.environ |= {"CREDHELPER_LOG": "debug", "TMPDIR": str(desk.home / "tmp")}
    said = [desk.save(key), desk.save(key, "--force"), str(desk.run("key", "list"))]
    answers = {"access key id: ": key.access_key_id, "secret access key: ": marker}
    said += [desk.talk("key", "add", "typed", answers=answers)[1], str(desk.run("key", "list", "--json"))]
    said += [str(desk.add(key)), str(desk.add(AccessKey(key.access_key_id, f"{marker}x"), name="wrong"))]
    iam.faults["UpdateAccessKey"] = ["AccessDenied"]
    said += [desk.refuses(4, "key", "rotate", "ci")]
    made = desk.saved()
    assert made is not None
    for secret in (marker, made.secret_access_key):
        assert find_secret([desk.home, "/dev/shm"], secret) == []
    said += [desk.rotate(), str(desk.run("key", "remove", "ci", "--yes"))]

    assert not any(secret in text for text in said for secret in (marker, made.secret_access_key))
    desk.check_modes()
