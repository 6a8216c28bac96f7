"""A sandbox for the `key` commands, whose keyring the tests can read."""

from __future__ import annotations

import json
import os
import pty
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import secretstorage

from credhelper.cache.index import Index
from credhelper.cache.keyring import OsKeyring
from credhelper.cache.locks import FileLocks
from credhelper.cache.store import Store, successor
from credhelper.credentials import AccessKey
from credhelper.log import Log

from iam import ACCOUNT
from sandbox import PROGRAM, Sandbox

if TYPE_CHECKING:
    from iam import LoopbackIam
    from sandbox import Result, SecretService

PROFILES = """
[defaults]
region = "eu-west-1"

[profiles.deploy]
role_arn = "arn:aws:iam::222233334444:role/Deploy"
source_key = "ci"
"""
STRANGER = AccessKey("AKIASTRANGERSTRANGER", "x" * 40)
ROTATE = ("key", "rotate", "ci")
REMOVE = ("key", "remove", "ci", "--yes")


class KeySandbox(Sandbox):
    """A sandbox with a long keyring timeout, for a busy machine, and an IAM user with an access key."""

    iam: LoopbackIam
    user: str
    key: AccessKey
    service: SecretService

    @property
    def arn(self) -> str:
        """The user's ARN."""
        return f"arn:aws:iam::{ACCOUNT}:user/{self.user}"

    @property
    def delete_command(self) -> str:
        """The AWS CLI command that deletes the user's key."""
        return f"aws iam delete-access-key --access-key-id {self.key.access_key_id} --user-name {self.user}"

    def configure(self, text: str, endpoint: str | None = None) -> None:
        super().configure(f"{text}\n[keyring]\ntimeout = 20\n", endpoint)

    def store(self) -> Store:
        """The keyring, as credhelper sees it."""
        log = Log(str(self.home / "tests.log"))
        index = Index(str(self.state / "items.jsonl"), FileLocks(None, log), log)
        return Store(OsKeyring("keyring.backends.SecretService.Keyring", self.environ), index, log)

    def saved(self, name: str = "ci") -> AccessKey | None:
        """The key that a profile gets."""
        return self.store().saved_key(name)

    def feed(self, content: str | bytes, *arguments: str, **environ: str) -> Result:
        """Run credhelper with this on stdin."""
        process = self.start(*arguments, **environ)
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.write(content.encode() if isinstance(content, str) else content)
            process.stdin.close()
        process.stdin = None
        return self.finish(process)

    def add(self, key: AccessKey, *flags: str, name: str = "ci", **environ: str) -> Result:
        """Run `key add` with a key on stdin."""
        text = f"{key.access_key_id}\n{key.secret_access_key}\n"
        return self.feed(text, "key", "add", name, *flags, **environ)

    def save(self, key: AccessKey, *flags: str, name: str = "ci") -> str:
        """Add a key; returns the output."""
        done = self.add(key, *flags, name=name)
        assert done.status == 0, done.stderr
        return done.stdout.decode()

    def succeeds(self, *arguments: str) -> str:
        """Run a command; returns its output."""
        done = self.run(*arguments)
        assert done.status == 0, done.stderr
        return done.stdout.decode()

    def listed(self) -> list[dict[str, Any]]:
        """The keys of `key list --json`."""
        keys: list[dict[str, Any]] = json.loads(self.succeeds("key", "list", "--json"))["keys"]
        return keys

    def talk(self, *arguments: str, answers: dict[str, str]) -> tuple[int, str]:
        """Run credhelper on a terminal and answer its questions: exit status, and what the terminal shows."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(PROGRAM, [PROGRAM, *arguments], self.environ)
        shown, left = "", dict(answers)
        with suppress(OSError):  # EIO: the other end is closed
            while block := os.read(terminal, 4096):
                shown += block.decode()
                for question in [each for each in left if each in shown]:
                    os.write(terminal, f"{left.pop(question)}\n".encode())
        os.close(terminal)
        assert not left, shown
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown

    def check_sound(self) -> AccessKey:
        """Check that the user's only key is the saved one, and that no rotation is left over."""
        found = self.saved()
        assert found is not None
        assert self.iam.keys(self.user) == {found.access_key_id: "Active"}
        assert self.iam.works(found)
        index = self.store().index
        assert [each.access_key_id for each in index.saved_keys()] == [found.access_key_id]
        assert (self.saved(successor("ci")), index.rotations()) == (None, [])
        return found


def empty_keyring() -> None:
    """Delete all items of the Secret Service."""
    with closing(secretstorage.dbus_init()) as bus:
        for item in secretstorage.get_default_collection(bus).get_all_items():
            item.delete()
