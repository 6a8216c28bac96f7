"""The OS keyring: every one that is pinned behaves the same, and one that fails costs little."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from keyring.errors import InitError, KeyringLocked, PasswordDeleteError, PasswordSetError

from credhelper.cache import keyring as cache_keyring
from credhelper.cache.index import Index
from credhelper.cache.keyring import NoKeyringError, OsKeyring
from credhelper.cache.locks import Locks
from credhelper.cache.store import Store
from credhelper.credentials import Clocks, Credentials
from credhelper.errors import ConfigError
from credhelper.log import Log

import fake_keyrings
from lent_keyring import lend
from sandbox import HAS_SECRET_SERVICE, PROFILES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sandbox import Sandbox, SecretService
    from sts import LoopbackSts

SERVICE = "keyring.backends.SecretService.Keyring"
WINDOWS = "keyring.backends.Windows.WinVaultKeyring"
MACOS = "keyring.backends.macOS.Keyring"


def credentials(token_size: int = 900) -> Credentials:
    """Credentials with a session token of that many characters."""
    token = ("0123456789abcdef" * (token_size // 16 + 1))[:token_size]
    return Credentials("ASIAEXAMPLE", "SECRET", token, 2_000_000_000, 900.0, 0.5, Clocks(1.0, 2.0, "boot"))


class KeyringContract:
    """What every keyring does."""

    @pytest.fixture
    def store(self, keyring: OsKeyring, tmp_path: Path) -> Store:
        """A store over it."""
        log = Log(str(tmp_path / "log"))
        return Store(keyring, Index(str(tmp_path / "items.jsonl"), Locks(None, log), log), log)

    def test_what_is_set_is_what_is_got(self, keyring: OsKeyring) -> None:
        """An item is created, replaced, and gone once it is deleted."""
        keyring.set("credhelper:A", "one")
        assert keyring.get("credhelper:A") == "one"
        keyring.set("credhelper:A", "another")
        assert keyring.get("credhelper:A") == "another"
        keyring.delete("credhelper:A")
        assert keyring.get("credhelper:A") is None

    def test_nothing_there_is_no_error(self, keyring: OsKeyring) -> None:
        """What was never set is None, and deleting it is fine."""
        assert keyring.get("credhelper:none") is None
        keyring.delete("credhelper:none")
        assert keyring.gone is None

    def test_two_items(self, keyring: OsKeyring) -> None:
        """Two items do not disturb each other."""
        keyring.set("credhelper:A", "a")
        keyring.set("credhelper:B", "b")
        keyring.set("credhelper:A", "A")
        keyring.delete("credhelper:A")
        assert (keyring.get("credhelper:A"), keyring.get("credhelper:B")) == (None, "b")

    def test_every_script(self, keyring: OsKeyring) -> None:
        """Text outside ASCII, and outside the first plane, comes back as it was."""
        keyring.set("credhelper:A", "Zürich 東京 \N{KEY}")
        assert keyring.get("credhelper:A") == "Zürich 東京 \N{KEY}"

    def test_an_item_of_full_size(self, keyring: OsKeyring) -> None:
        """As many characters as the keyring is said to hold are held."""
        text = "x" * (keyring.part_size or 200_000)
        keyring.set("credhelper:A", text)
        assert keyring.get("credhelper:A") == text

    @pytest.mark.parametrize("size", [1_000, 200_000])
    def test_credentials_of_any_size(self, store: Store, size: int) -> None:
        """Credentials come back from the store as they were, however long the token."""
        stored = credentials(size)
        store.put("K", stored, profile="p", kind="AssumeRole")
        assert store.get("K") == stored

    def test_forgetting_leaves_nothing(self, keyring: OsKeyring, store: Store) -> None:
        """A forgotten item is gone with all of its parts, those of a longer predecessor included."""
        store.put("K", credentials(5_000), profile="p", kind="AssumeRole")
        parts = store.items()[0].parts
        store.put("K", credentials(10), profile="p", kind="AssumeRole")
        assert store.get("K") == credentials(10)
        assert store.forget(store.items()) == []
        names = ["credhelper:K", *(f"credhelper:K.{number}" for number in range(1, parts))]
        assert [keyring.get(name) for name in names] == [None] * parts
        assert store.items() == []

    def test_every_damaged_character_is_a_miss(self, keyring: OsKeyring, store: Store) -> None:
        """A first part with any one character changed is a miss, and no error."""
        store.put("K", credentials(), profile="p", kind="AssumeRole")
        head = keyring.get("credhelper:K")
        assert head is not None
        header = head.index("\n") + 1
        for place in (*range(header), *range(header, len(head), 101)):
            changed = chr(ord(head[place]) ^ 1)
            keyring.set("credhelper:K", head[:place] + changed + head[place + 1 :])
            assert store.get("K") is None, (place, head[place], changed)
        keyring.set("credhelper:K", head)
        assert store.get("K") == credentials()

    @pytest.mark.parametrize(
        "damage",
        [
            pytest.param(lambda _: "", id="empty"),
            pytest.param(lambda head: head[:-1], id="cut"),
            pytest.param(lambda head: head + " ", id="longer"),
            pytest.param(lambda _: '{"AccessKeyId": "A"}', id="another program's"),
            pytest.param(lambda head: head.replace("credhelper/1 ", "credhelper/2 "), id="newer"),
            pytest.param(lambda head: head.replace("credhelper/1 ", "credhelper/1 -"), id="negative"),
            pytest.param(lambda head: head.replace("credhelper/1 ", "credhelper/1 0"), id="zero before"),
            pytest.param(lambda head: head.replace("credhelper/1 ", "credhelper/1 9"), id="many"),
            pytest.param(lambda head: head.partition("\n")[2], id="no header"),
        ],
    )
    def test_another_first_part_is_a_miss(
        self, keyring: OsKeyring, store: Store, damage: Callable[[str], str]
    ) -> None:
        """A first part that is cut, foreign or of another format is a miss."""
        store.put("K", credentials(), profile="p", kind="AssumeRole")
        keyring.set("credhelper:K", damage(keyring.get("credhelper:K") or ""))
        assert store.get("K") is None

    def test_items_that_change_places_are_misses(self, keyring: OsKeyring, store: Store) -> None:
        """Another call's credentials are a miss, whole as they are."""
        store.put("K", credentials(), profile="p", kind="AssumeRole")
        for name in ("", ".1"):
            if (part := keyring.get(f"credhelper:K{name}")) is not None:
                keyring.set(f"credhelper:L{name}", part)
        assert (store.get("K"), store.get("L")) == (credentials(), None)

    def test_leftover_parts_change_nothing(self, keyring: OsKeyring, store: Store) -> None:
        """Parts of an older and longer value are not taken for parts of this one."""
        keyring.set("credhelper:K.1", "left over")
        keyring.set("credhelper:K.2", "left over")
        store.put("K", credentials(10), profile="p", kind="AssumeRole")
        assert store.get("K") == credentials(10)


class TestSecretService(KeyringContract):
    """The real gnome-keyring, by keyring's Secret Service backend."""

    @pytest.fixture
    def keyring(
        self, sandbox: Sandbox, secret_service: SecretService, monkeypatch: pytest.MonkeyPatch
    ) -> OsKeyring:
        assert secret_service.daemon is not None
        name = "DBUS_SESSION_BUS_ADDRESS"
        monkeypatch.setenv(name, sandbox.environ[name])
        return OsKeyring("auto" if sys.platform == "linux" else SERVICE, os.environ)


class PartsContract(KeyringContract):
    """What a keyring does whose items are short."""

    def test_any_part_missing_or_changed_is_a_miss(self, keyring: OsKeyring, store: Store) -> None:
        """A part that is missing, older or damaged is a miss, whichever it is."""
        store.put("K", credentials(5_000), profile="p", kind="AssumeRole")
        parts = store.items()[0].parts
        assert parts > 4
        for number in range(1, parts):
            name = f"credhelper:K.{number}"
            part = keyring.get(name)
            assert part is not None
            for damaged in ("", part[:-1], part[:-1] + "\N{KEY}", "X" * len(part)):
                keyring.set(name, damaged)
                assert store.get("K") is None
            keyring.delete(name)
            assert store.get("K") is None
            keyring.set(name, part)
        assert store.get("K") == credentials(5_000)

    def test_a_write_that_stops_half_way_is_a_miss(
        self, keyring: OsKeyring, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whichever part is the last one written, the old credentials or none are read, never a mixture.

        The first part comes last, so that until then it speaks for the old ones.
        """
        old, new = credentials(5_000), replace(credentials(), session_token="x" * 5_000)
        write = keyring.set
        for writes in range(6):
            store.put("K", old, profile="p", kind="AssumeRole")
            head, parts = keyring.get("credhelper:K"), store.items()[0].parts
            left = iter([None] * writes)

            def limited(service: str, text: str, left: Iterator[None] = left) -> None:
                if next(left, "stop") == "stop":
                    raise NoKeyringError("stopped")
                write(service, text)

            with monkeypatch.context() as patch:
                patch.setattr(keyring, "set", limited)
                store.put("K", new, profile="p", kind="AssumeRole")
            assert (keyring.get("credhelper:K") == head) == (writes < parts)
            assert store.get("K") == (old if writes == 0 else new if writes == parts else None)


class TestCredentialManager(PartsContract):
    """Windows Credential Manager, by keyring's Windows backend."""

    @pytest.fixture
    def windows(self) -> Iterator[fake_keyrings.CredentialManager]:
        with fake_keyrings.windows() as manager:
            yield manager

    @pytest.fixture
    def keyring(self, windows: fake_keyrings.CredentialManager) -> OsKeyring:
        assert windows.credentials == {}
        return OsKeyring(WINDOWS, {})

    def test_items_stay_on_this_machine(
        self,
        keyring: OsKeyring,
        windows: fake_keyrings.CredentialManager,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """No item roams with the user's profile, whatever the environment says."""
        monkeypatch.setenv("KEYRING_PROPERTY_PERSIST", "enterprise")
        keyring.set("credhelper:A", "a")
        persistence = [item["Persist"] for item in windows.credentials.values()]
        assert persistence == [windows.CRED_PERSIST_LOCAL_MACHINE]

    def test_one_item_more_than_it_holds(self, keyring: OsKeyring) -> None:
        """The limit that parts keep to is the real one: 1,280 characters are taken, 1,281 are an error."""
        keyring.set("credhelper:A", "x" * 1280)
        with pytest.raises(NoKeyringError, match="The stub received bad data"):
            keyring.set("credhelper:A", "x" * 1281)
        assert keyring.gone is None

    def test_parts_fit(
        self, keyring: OsKeyring, store: Store, windows: fake_keyrings.CredentialManager
    ) -> None:
        """Every part of a long value is within the limit, the first with its header too."""
        store.put("K", credentials(200_000), profile="p", kind="AssumeRole")
        assert keyring.part_size == 1200
        assert max(len(item["CredentialBlob"]) for item in windows.credentials.values()) <= 2400

    def test_what_is_too_long_is_not_written(
        self, store: Store, windows: fake_keyrings.CredentialManager, tmp_path: Path
    ) -> None:
        """A value of more parts than are ever read is not stored, and the log says so."""
        store.put("K", credentials(1024 * 1200), profile="p", kind="AssumeRole")
        assert windows.credentials == {}
        assert "not cached: 1025 parts" in (tmp_path / "log").read_text()


class TestKeychain(KeyringContract):
    """The macOS keychain, by keyring's macOS backend."""

    @pytest.fixture
    def keychain(self) -> Iterator[fake_keyrings.Keychain]:
        with fake_keyrings.macos() as keychain:
            yield keychain

    @pytest.fixture
    def keyring(self, keychain: fake_keyrings.Keychain) -> OsKeyring:
        assert keychain.items == {}
        return OsKeyring(MACOS, {})

    def test_denied_is_asked_once(self, keyring: OsKeyring, keychain: fake_keyrings.Keychain) -> None:
        """After a person has clicked Deny, this process does not ask again."""
        keychain.refuses = fake_keyrings.KEYCHAIN_DENIED
        with pytest.raises(NoKeyringError, match="KeyringLocked"):
            keyring.get("credhelper:A")
        keychain.refuses = 0
        with pytest.raises(NoKeyringError, match="KeyringLocked"):
            keyring.set("credhelper:A", "a")
        assert keychain.items == {}

    def test_no_session_to_ask_in(self, keyring: OsKeyring, keychain: fake_keyrings.Keychain) -> None:
        """Over SSH the keychain may not show its dialog: an error that says so."""
        keychain.refuses = fake_keyrings.NO_INTERACTION
        with pytest.raises(NoKeyringError, match="-25308"):
            keyring.get("credhelper:A")

    def test_another_writer_was_quicker(self, keyring: OsKeyring, keychain: fake_keyrings.Keychain) -> None:
        """Setting is deleting and adding; where another process adds in between, its item stays."""
        keychain.another_was_quicker = True
        with pytest.raises(NoKeyringError, match="-25299"):
            keyring.set("credhelper:A", "mine")
        assert keyring.get("credhelper:A") == "another's"

    @pytest.mark.parametrize("refuses", [fake_keyrings.KEYCHAIN_DENIED, fake_keyrings.NO_INTERACTION])
    def test_an_item_that_is_not_let_go_stays_listed(
        self, store: Store, keychain: fake_keyrings.Keychain, refuses: int
    ) -> None:
        """keyring reports a refusal as it reports a missing item: we do not take one for the other."""
        store.put("K", credentials(), profile="p", kind="AssumeRole")
        items = store.items()
        keychain.refuses = refuses
        assert store.forget(items) == items
        assert store.items() == items


class Scripted:
    """A backend that does as it is told, and counts how often it is asked."""

    priority = 1

    def __init__(self, answer: Callable[[], str | None]) -> None:
        self.asked = 0
        self._answer = answer

    def get_password(self, service: str, username: str) -> str | None:
        self.asked += 1
        return self._answer()

    def set_password(self, service: str, username: str, password: str) -> None:
        self.get_password(service, username)

    def delete_password(self, service: str, username: str) -> None:
        self.get_password(service, username)


@pytest.fixture
def never() -> Iterator[Callable[[], str | None]]:
    """An answer that does not come before the test is over."""
    over = threading.Event()

    def wait() -> None:
        over.wait(60)

    yield wait
    over.set()


def scripted(answer: Callable[[], str | None], environ: dict[str, str]) -> tuple[OsKeyring, Scripted]:
    """A keyring with a deadline of 0.4 s whose Secret Service is made up."""
    keyring, backend = OsKeyring(SERVICE, environ, timeout=0.4), Scripted(answer)
    keyring._backend = backend
    return keyring, backend


def raises(error: Exception) -> Callable[[], str | None]:
    """An answer that is an error."""

    def answer() -> str | None:
        raise error

    return answer


def seconds(keyring: OsKeyring) -> float:
    """How long a call takes that ends without an answer."""
    started = time.monotonic()
    with pytest.raises(NoKeyringError):
        keyring.get("credhelper:A")
    return time.monotonic() - started


class TestDeadline:
    """A call has 2 s, and a person 25 s where they have been asked to unlock."""

    @pytest.mark.parametrize("environ", [{}, {"DISPLAY": ":0"}, {"WAYLAND_DISPLAY": "wayland-0"}])
    def test_silence_is_waited_for_once(
        self,
        never: Callable[[], str | None],
        environ: dict[str, str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """After the first call that does not come back, no other is made."""
        monkeypatch.setattr(cache_keyring, "_collection_is_locked", never)
        keyring, backend = scripted(never, environ)
        assert 0.35 < seconds(keyring) < 1.5
        assert seconds(keyring) < 0.1
        assert (backend.asked, keyring.gone) == (1, "the keyring did not answer within 0.4 s")

    def test_a_person_gets_time_to_unlock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the collection says that it is locked and there is a display, the answer may take longer."""
        monkeypatch.setattr(cache_keyring, "_collection_is_locked", lambda: True)
        keyring, _ = scripted(lambda: time.sleep(1.0) or "unlocked", {"DISPLAY": ":0"})
        assert keyring.get("credhelper:A") == "unlocked"
        assert cache_keyring.UNLOCK_SECONDS == 25

    def test_a_person_who_is_not_there(
        self, never: Callable[[], str | None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """That longer time ends too, and nobody is asked again."""
        monkeypatch.setattr(cache_keyring, "_collection_is_locked", lambda: True)
        monkeypatch.setattr(cache_keyring, "UNLOCK_SECONDS", 0.6)
        keyring, backend = scripted(never, {"DISPLAY": ":0"})
        assert 0.6 < seconds(keyring) < 2
        assert seconds(keyring) < 0.1
        assert backend.asked == 1

    @pytest.mark.parametrize("locked", [lambda: False, raises(OSError("no bus"))])
    def test_unlocked_or_unknown_gets_no_more(
        self,
        never: Callable[[], str | None],
        locked: Callable[[], bool],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Where the collection is not locked, or does not say, the usual time is all there is."""
        monkeypatch.setattr(cache_keyring, "_collection_is_locked", locked)
        keyring, _ = scripted(never, {"DISPLAY": ":0"})
        assert seconds(keyring) < 1.5

    def test_without_a_display_nobody_is_waited_for(
        self, never: Callable[[], str | None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A locked collection is not even asked about where nobody could see its dialog."""
        monkeypatch.setattr(cache_keyring, "_collection_is_locked", lambda: True)
        keyring, _ = scripted(never, {})
        assert seconds(keyring) < 1.5

    def test_the_collection_says_whether_it_is_locked(
        self, sandbox: Sandbox, secret_service: SecretService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """gnome-keyring is asked over a connection of our own, and says that it is not locked."""
        assert secret_service.daemon is not None
        name = "DBUS_SESSION_BUS_ADDRESS"
        monkeypatch.setenv(name, sandbox.environ[name])
        assert cache_keyring._collection_is_locked() is False


class TestErrors:
    """Backends raise errors of all kinds, and none of them is ours to pass on."""

    @pytest.mark.parametrize("error", [KeyringLocked("Failed to unlock"), InitError("Prompt dismissed")])
    def test_declined_is_asked_once(self, error: Exception) -> None:
        """Who has not unlocked the collection is not asked a second time by the same command."""
        keyring, backend = scripted(raises(error), {})
        assert seconds(keyring) + seconds(keyring) < 1
        assert (backend.asked, keyring.gone) == (1, f"the keyring said: {type(error).__name__}: {error}")

    @pytest.mark.parametrize(
        "error", [PasswordSetError("full"), ValueError("odd"), OSError(5, "Input/output error")]
    )
    def test_an_error_is_no_keyring_now(self, error: Exception) -> None:
        """Any error means that there is no keyring now; the next call may have more luck."""
        keyring, backend = scripted(raises(error), {})
        assert seconds(keyring) + seconds(keyring) < 1
        assert (backend.asked, keyring.gone) == (2, None)

    def test_no_secret_service_here(self) -> None:
        """A desktop without this service is asked for the next one; where none is left, it is said why."""
        exceptions = pytest.importorskip("secretstorage.exceptions")
        absent = exceptions.SecretServiceNotAvailableException("no bus")
        keyring, _ = scripted(raises(absent), {})
        assert seconds(keyring) < 1
        assert keyring.gone == "the keyring said: SecretServiceNotAvailableException: no bus"

    def test_deleting_what_is_refused(self) -> None:
        """A backend that says it cannot delete what it still has is not taken at its word."""
        backend = Scripted(lambda: "still here")
        cancelled = raises(PasswordDeleteError("cancelled"))
        backend.delete_password = lambda *_: cancelled()  # type: ignore[method-assign, assignment]
        keyring = OsKeyring(SERVICE, os.environ)
        keyring._backend = backend
        with pytest.raises(NoKeyringError, match="cancelled"):
            keyring.delete("credhelper:A")


class TestChoice:
    """Which keyring it is: pinned by class, never discovered."""

    @pytest.mark.parametrize(
        ("platform", "names"),
        [
            ("darwin", [MACOS]),
            ("win32", [WINDOWS]),
            (
                "linux",
                [SERVICE, "keyring.backends.libsecret.Keyring", "keyring.backends.kwallet.DBusKeyring"],
            ),
            ("freebsd14", []),
        ],
    )
    def test_automatic(self, platform: str, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Each system has its own list, and where there is none, no keyring is used."""
        with monkeypatch.context() as patch:
            patch.setattr(sys, "platform", platform)
            keyring = OsKeyring("auto", os.environ)
        assert [f"{one.module}.{one.name}" for one in keyring._candidates] == names
        assert (keyring.gone is None) == bool(names)

    def test_none(self) -> None:
        """`none` asks no keyring."""
        keyring = OsKeyring("none", {})
        assert seconds(keyring) < 0.1
        assert keyring.part_size is None

    @pytest.mark.parametrize(
        "choice", ["no.such.Module", "keyring.backends.Nothing", "os.path", "builtins.dict", "builtins.int"]
    )
    def test_what_is_no_keyring(self, choice: str) -> None:
        """A class that does not exist, or is no keyring backend, is an error of the configuration."""
        with pytest.raises(ConfigError, match=f"keyring backend '{choice}' cannot be loaded"):
            OsKeyring(choice, {}).get("credhelper:A")

    def test_a_pinned_one_that_cannot_work_here(self) -> None:
        """A pinned backend of another system is no keyring, and no error."""
        keyring = OsKeyring(WINDOWS, {})
        assert seconds(keyring) < 5
        assert keyring.gone is not None

    @pytest.mark.parametrize("choice", ["nonsense", "a b.c", ".Keyring", "__import__('os').x"])
    def test_nonsense_in_the_environment(self, sandbox: Sandbox, choice: str) -> None:
        """The program says what CREDHELPER_KEYRING may be, and does nothing."""
        said = sandbox.refuses(2, "get", "developer", CREDHELPER_KEYRING=choice)
        assert "CREDHELPER_KEYRING must be auto, none or module.Class" in said

    def test_no_such_class_in_the_environment(self, sandbox: Sandbox) -> None:
        """The program names the class that it could not load."""
        said = sandbox.refuses(2, "get", "developer", CREDHELPER_KEYRING="no.such.Keyring")
        assert "keyring backend 'no.such.Keyring' cannot be loaded" in said

    def test_a_class_by_name(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        """Another backend is used where its class is named."""
        with lend(str(sandbox.home / "lent")) as environ:
            sandbox.environ |= environ
            assert sandbox.get("developer") == sandbox.get("developer")
        assert sts.count() == 1

    @pytest.mark.parametrize("how", ["environment", "configuration"])
    def test_none_by_name(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service: SecretService, how: str
    ) -> None:
        """With `none` every call mints, although there is a keyring."""
        assert secret_service.daemon is not None
        if how == "environment":
            sandbox.environ["CREDHELPER_KEYRING"] = "none"
        else:
            sandbox.configure(PROFILES + '[keyring]\nbackend = "none"\n')
        sandbox.get("developer")
        sandbox.get("developer")
        assert sts.count() == 2


class TestFailures:
    """The program and the real Secret Service: whatever happens to it, an answer comes soon."""

    @pytest.mark.skipif(
        not HAS_SECRET_SERVICE and not os.environ.get("CI"), reason="gnome-keyring and dbus are not installed"
    )
    def test_locked_and_nobody_to_ask(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        """A locked collection on a machine without a display is no keyring."""
        with sandbox.secret_service(None):
            self.answers_by_minting(sandbox, sts)
        assert "KeyringLocked" in sandbox.log() or "InitError" in sandbox.log()

    @pytest.mark.parametrize("address", ["", "unix:path=/nonexistent/bus", "nonsense"])
    def test_no_bus(self, sandbox: Sandbox, sts: LoopbackSts, address: str) -> None:
        """Without a session bus there is no keyring."""
        sandbox.environ["DBUS_SESSION_BUS_ADDRESS"] = address
        self.answers_by_minting(sandbox, sts)
        assert ("the keyring said: " if address else "DBUS_SESSION_BUS_ADDRESS is not set") in sandbox.log()

    def test_bus_killed(self, sandbox: Sandbox, sts: LoopbackSts, secret_service: SecretService) -> None:
        """A bus that has gone away is no keyring."""
        sandbox.get("developer")
        secret_service.kill_bus()
        sts.reset()
        self.answers_by_minting(sandbox, sts)

    def test_daemon_killed(self, sandbox: Sandbox, sts: LoopbackSts, secret_service: SecretService) -> None:
        """A daemon that comes back locked is no keyring."""
        secret_service.signal(signal.SIGKILL)
        self.answers_by_minting(sandbox, sts)

    @pytest.mark.parametrize("display", [{}, {"DISPLAY": ":99"}], ids=["no display", "display"])
    def test_daemon_stopped(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service: SecretService, display: dict[str, str]
    ) -> None:
        """A daemon that never answers costs 2 s, once."""
        sandbox.environ |= display
        secret_service.signal(signal.SIGSTOP)
        self.answers_by_minting(sandbox, sts)
        assert sandbox.log().count("the keyring did not answer within 2 s") == 1

    def test_the_time_is_configurable(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service: SecretService
    ) -> None:
        """`[keyring] timeout` is how long a call may take."""
        sandbox.configure(PROFILES + "[keyring]\ntimeout = 1\n")
        secret_service.signal(signal.SIGSTOP)
        self.answers_by_minting(sandbox, sts)
        assert "the keyring did not answer within 1 s" in sandbox.log()

    @staticmethod
    def answers_by_minting(sandbox: Sandbox, sts: LoopbackSts) -> None:
        started = time.monotonic()
        sandbox.get("developer")
        assert time.monotonic() - started < 24  # a person would have had 25
        assert sts.count() == 1
        sandbox.check_modes()


class TestHushed:
    """A mint ahead of need disturbs nobody: a keyring that might ask for a password is left alone."""

    def test_an_open_collection_is_used(
        self, sandbox: Sandbox, secret_service: SecretService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """gnome-keyring says that it is not locked, so nothing can be asked."""
        assert secret_service.daemon is not None
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", sandbox.environ["DBUS_SESSION_BUS_ADDRESS"])
        keyring = OsKeyring("auto", os.environ, background=True)
        keyring.set("credhelper:A", "text")
        assert keyring.get("credhelper:A") == "text"

    @pytest.mark.parametrize("locked", [lambda: True, raises(OSError("no bus")), lambda: time.sleep(9)])
    def test_locked_or_unknown_is_left_alone(
        self, locked: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A collection that is locked, or does not say, is not asked for an item at all."""
        monkeypatch.setattr(cache_keyring, "_collection_is_locked", locked)
        monkeypatch.setattr(sys, "platform", "linux")
        loaded: list[cache_keyring.Pinned] = []
        monkeypatch.setattr(OsKeyring, "_load", lambda _, candidate: loaded.append(candidate))
        keyring = OsKeyring("auto", {"DBUS_SESSION_BUS_ADDRESS": "unix:"}, timeout=0.3, background=True)
        with pytest.raises(NoKeyringError, match="nobody is to be disturbed"):
            keyring.get("credhelper:A")
        assert loaded == []

    def test_a_backend_that_was_named_is_left_alone(self) -> None:
        """Nobody knows what it asks."""
        keyring = OsKeyring("memory_keyring.MemoryKeyring", {}, background=True)
        assert not keyring.is_there()

    @pytest.mark.parametrize("platform", ["darwin", "win32"])
    def test_macos_and_windows_do_not_ask_for_what_is_ours(
        self, platform: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Keychain and Credential Manager give a program its own items without a question."""
        monkeypatch.setattr(sys, "platform", platform)
        backend = Scripted(lambda: "text")
        monkeypatch.setattr(OsKeyring, "_load", lambda *_: backend)
        assert OsKeyring("auto", {}, background=True).get("credhelper:A") == "text"
