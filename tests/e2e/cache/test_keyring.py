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
from credhelper.cache.locks import FileLocks
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
    token = ("0123456789abcdef" * (token_size // 16 + 1))[:token_size]
    return Credentials("ASIAEXAMPLE", "SECRET", token, 2_000_000_000, 900.0, 0.5, Clocks(1.0, 2.0, "boot"))


@pytest.fixture
def session_bus(sandbox: Sandbox, secret_service: SecretService, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bus of an unlocked Secret Service, for code in this process."""
    assert secret_service.daemon is not None
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", sandbox.environ["DBUS_SESSION_BUS_ADDRESS"])


class KeyringContract:
    """What every keyring does."""

    @pytest.fixture
    def store(self, keyring: OsKeyring, tmp_path: Path) -> Store:
        log = Log(str(tmp_path / "log"))
        return Store(keyring, Index(str(tmp_path / "items.jsonl"), FileLocks(None, log), log), log)

    def test_item_is_created_replaced_and_deleted_by_itself(self, keyring: OsKeyring) -> None:
        keyring.set("credhelper:A", "one")
        assert keyring.get("credhelper:A") == "one"
        keyring.set("credhelper:B", "b")
        keyring.set("credhelper:A", "another")
        assert keyring.get("credhelper:A") == "another"
        keyring.delete("credhelper:A")
        assert (keyring.get("credhelper:A"), keyring.get("credhelper:B")) == (None, "b")

    def test_missing_item_is_none_and_can_be_deleted(self, keyring: OsKeyring) -> None:
        assert keyring.get("credhelper:none") is None
        keyring.delete("credhelper:none")
        assert keyring.gone is None

    def test_text_outside_ascii_and_of_the_stated_size_is_kept(self, keyring: OsKeyring) -> None:
        for text in ("Zürich 東京 \N{KEY}", "x" * (keyring.part_size or 200_000)):
            keyring.set("credhelper:A", text)
            assert keyring.get("credhelper:A") == text

    @pytest.mark.parametrize("size", [1_000, 200_000])
    def test_credentials_of_any_size_are_kept(self, store: Store, size: int) -> None:
        stored = credentials(size)
        store.put("K", stored, profile="p", kind="AssumeRole")
        assert store.get("K") == stored

    def test_forget_deletes_the_parts_of_longer_predecessors_too(self, keyring, store) -> None:
        store.put("K", credentials(5_000), profile="p", kind="AssumeRole")
        parts = store.items()[0].parts
        store.put("K", credentials(10), profile="p", kind="AssumeRole")
        assert store.get("K") == credentials(10)
        assert store.forget(store.items()) == []
        names = ["credhelper:K", *(f"credhelper:K.{number}" for number in range(1, parts))]
        assert [keyring.get(name) for name in names] == [None] * parts
        assert store.items() == []

    def test_one_changed_character_in_the_first_part_is_a_miss(self, keyring, store) -> None:
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
    def test_first_part_that_is_cut_foreign_or_of_another_format_is_a_miss(self, keyring, store, damage):
        store.put("K", credentials(), profile="p", kind="AssumeRole")
        keyring.set("credhelper:K", damage(keyring.get("credhelper:K") or ""))
        assert store.get("K") is None

    def test_items_that_change_places_are_misses(self, keyring: OsKeyring, store: Store) -> None:
        for key in ("K", "L"):  # the index has to list both
            store.put(key, credentials(), profile="p", kind="AssumeRole")
        for name in ("", ".1"):
            if (part := keyring.get(f"credhelper:K{name}")) is not None:
                keyring.set(f"credhelper:L{name}", part)
        assert (store.get("K"), store.get("L")) == (credentials(), None)

    def test_parts_of_an_older_longer_value_are_ignored(self, keyring: OsKeyring, store: Store) -> None:
        for part in (1, 2):
            keyring.set(f"credhelper:K.{part}", "left over")
        store.put("K", credentials(10), profile="p", kind="AssumeRole")
        assert store.get("K") == credentials(10)


class TestSecretService(KeyringContract):
    """The real gnome-keyring, by keyring's Secret Service backend."""

    @pytest.fixture
    def keyring(self, session_bus) -> OsKeyring:
        return OsKeyring("auto" if sys.platform == "linux" else SERVICE, os.environ)


class PartsContract(KeyringContract):
    """What a keyring does whose items are short."""

    def test_part_that_is_missing_older_or_damaged_is_a_miss(self, keyring: OsKeyring, store: Store) -> None:
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

    def test_a_write_that_stops_half_way_is_a_miss(self, keyring, store, monkeypatch) -> None:
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

    def test_items_stay_on_this_machine_whatever_the_environment_sets(self, keyring, windows, monkeypatch):
        monkeypatch.setenv("KEYRING_PROPERTY_PERSIST", "enterprise")
        keyring.set("credhelper:A", "a")
        persistence = [item["Persist"] for item in windows.credentials.values()]
        assert persistence == [windows.CRED_PERSIST_LOCAL_MACHINE]

    def test_item_over_the_real_limit_is_an_error(self, keyring: OsKeyring) -> None:
        keyring.set("credhelper:A", "x" * 1280)
        with pytest.raises(NoKeyringError, match="The stub received bad data"):
            keyring.set("credhelper:A", "x" * 1281)
        assert keyring.gone is None

    def test_every_part_is_within_the_limit(self, keyring, store, windows) -> None:
        store.put("K", credentials(200_000), profile="p", kind="AssumeRole")
        assert keyring.part_size == 1200
        assert max(len(item["CredentialBlob"]) for item in windows.credentials.values()) <= 2400

    def test_value_of_too_many_parts_is_not_stored_and_logged(self, store, windows, tmp_path) -> None:
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

    def test_denied_access_is_not_asked_for_again(self, keyring, keychain) -> None:
        keychain.refuses = fake_keyrings.KEYCHAIN_DENIED
        with pytest.raises(NoKeyringError, match="KeyringLocked"):
            keyring.get("credhelper:A")
        keychain.refuses = 0
        with pytest.raises(NoKeyringError, match="KeyringLocked"):
            keyring.set("credhelper:A", "a")
        assert keychain.items == {}

    def test_no_interaction_allowed_is_an_error_that_says_so(self, keyring, keychain) -> None:
        keychain.refuses = fake_keyrings.NO_INTERACTION
        with pytest.raises(NoKeyringError, match="-25308"):
            keyring.get("credhelper:A")

    def test_set_keeps_the_item_of_a_quicker_writer(self, keyring, keychain) -> None:
        keychain.another_was_quicker = True
        with pytest.raises(NoKeyringError, match="-25299"):
            keyring.set("credhelper:A", "mine")
        assert keyring.get("credhelper:A") == "another's"

    @pytest.mark.parametrize("refuses", [fake_keyrings.KEYCHAIN_DENIED, fake_keyrings.NO_INTERACTION])
    def test_item_that_cannot_be_deleted_stays_listed(self, store, keychain, refuses) -> None:
        store.put("K", credentials(), profile="p", kind="AssumeRole")
        items = store.items()
        keychain.refuses = refuses
        assert store.forget(items) == items
        assert store.items() == items


class Scripted:
    """A backend that answers as the test says, and counts how often it is asked."""

    priority = 1

    def __init__(self, answer: Callable[[], str | None]) -> None:
        self.asked = 0
        self._answer = answer

    def get_password(self, *_: str) -> str | None:
        self.asked += 1
        return self._answer()

    set_password = delete_password = get_password


@pytest.fixture
def never() -> Iterator[Callable[[], str | None]]:
    """An answer that does not come before the test is over."""
    over = threading.Event()
    yield lambda: over.wait(60) and None
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


@pytest.mark.parametrize(
    ("environ", "locked"),
    [
        ({}, None),
        ({}, lambda: True),
        ({"DISPLAY": ":0"}, None),
        ({"DISPLAY": ":0"}, lambda: False),
        ({"DISPLAY": ":0"}, raises(OSError("no bus"))),
        ({"WAYLAND_DISPLAY": "wayland-0"}, None),
    ],
)
def test_call_without_an_answer_is_the_last_one(never, environ, locked, monkeypatch) -> None:
    monkeypatch.setattr(cache_keyring, "_collection_is_locked", locked or never)
    keyring, backend = scripted(never, environ)
    assert 0.35 < seconds(keyring) < 1.5
    assert seconds(keyring) < 0.1
    assert (backend.asked, keyring.gone) == (1, "the keyring did not answer within 0.4 s")


def test_locked_collection_with_a_display_gets_more_time(never, monkeypatch) -> None:
    monkeypatch.setattr(cache_keyring, "_collection_is_locked", lambda: True)
    keyring, _ = scripted(lambda: time.sleep(1.0) or "unlocked", {"DISPLAY": ":0"})
    assert keyring.get("credhelper:A") == "unlocked"
    assert cache_keyring.UNLOCK_SECONDS == 25
    monkeypatch.setattr(cache_keyring, "UNLOCK_SECONDS", 0.6)
    keyring, backend = scripted(never, {"DISPLAY": ":0"})
    assert 0.6 < seconds(keyring) < 2
    assert seconds(keyring) < 0.1
    assert backend.asked == 1


@pytest.mark.parametrize("error", [KeyringLocked("Failed to unlock"), InitError("Prompt dismissed")])
def test_declined_unlock_is_not_asked_for_again(error: Exception) -> None:
    keyring, backend = scripted(raises(error), {})
    assert seconds(keyring) + seconds(keyring) < 1
    assert (backend.asked, keyring.gone) == (1, f"the keyring said: {type(error).__name__}: {error}")


@pytest.mark.parametrize("error", [PasswordSetError("full"), ValueError("odd"), OSError(5, "I/O error")])
def test_any_error_is_no_keyring_until_the_next_call(error: Exception) -> None:
    keyring, backend = scripted(raises(error), {})
    assert seconds(keyring) + seconds(keyring) < 1
    assert (backend.asked, keyring.gone) == (2, None)


def test_missing_secret_service_is_replaced_by_the_next_backend() -> None:
    exceptions = pytest.importorskip("secretstorage.exceptions")
    absent = exceptions.SecretServiceNotAvailableException("no bus")
    keyring, _ = scripted(raises(absent), {})
    assert seconds(keyring) < 1
    assert keyring.gone == "the keyring said: SecretServiceNotAvailableException: no bus"


def test_refused_deletion_is_an_error_while_the_item_exists() -> None:
    keyring, backend = scripted(lambda: "still here", {})
    cancelled = raises(PasswordDeleteError("cancelled"))
    backend.delete_password = lambda *_: cancelled()  # type: ignore[method-assign, assignment]
    with pytest.raises(NoKeyringError, match="cancelled"):
        keyring.delete("credhelper:A")


@pytest.mark.parametrize(
    ("platform", "names"),
    [
        ("darwin", [MACOS]),
        ("win32", [WINDOWS]),
        ("linux", [SERVICE, "keyring.backends.libsecret.Keyring", "keyring.backends.kwallet.DBusKeyring"]),
        ("freebsd14", []),
    ],
)
def test_auto_has_a_list_for_each_system(platform, names, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", platform)
        keyring = OsKeyring("auto", os.environ)
    assert [f"{one.module}.{one.name}" for one in keyring._candidates] == names
    assert (keyring.gone is None) == bool(names)


def test_none_uses_no_keyring() -> None:
    keyring = OsKeyring("none", {})
    assert seconds(keyring) < 0.1
    assert keyring.part_size is None


@pytest.mark.parametrize(
    "choice", ["no.such.Module", "keyring.backends.Nothing", "os.path", "builtins.dict", "builtins.int"]
)
def test_class_that_is_no_backend_is_a_config_error(choice: str) -> None:
    with pytest.raises(ConfigError, match=f"keyring backend '{choice}' cannot be loaded"):
        OsKeyring(choice, {}).get("credhelper:A")


def test_pinned_backend_of_another_system_is_no_keyring() -> None:
    keyring = OsKeyring(WINDOWS, {})
    assert seconds(keyring) < 5
    assert keyring.gone is not None


@pytest.mark.parametrize("choice", ["nonsense", "a b.c", ".Keyring", "__import__('os').x", "no.such.Keyring"])
def test_invalid_environment_value_is_refused(sandbox: Sandbox, choice: str) -> None:
    said = sandbox.refuses(2, "get", "developer", CREDHELPER_KEYRING=choice)
    missing = f"keyring backend '{choice}' cannot be loaded"
    invalid = "CREDHELPER_KEYRING must be auto, none or module.Class"
    assert (missing if choice == "no.such.Keyring" else invalid) in said


def test_class_by_name_is_used(sandbox: Sandbox, sts: LoopbackSts) -> None:
    with lend(str(sandbox.home / "lent")) as environ:
        sandbox.environ |= environ
        assert sandbox.get("developer") == sandbox.get("developer")
    assert sts.count() == 1


@pytest.mark.parametrize("how", ["environment", "configuration"])
@pytest.mark.usefixtures("secret_service")
def test_none_in_the_environment_or_configuration_mints_each_time(sandbox, sts, how) -> None:
    if how == "environment":
        sandbox.environ["CREDHELPER_KEYRING"] = "none"
    else:
        sandbox.configure(PROFILES + '[keyring]\nbackend = "none"\n')
    sandbox.get("developer")
    sandbox.get("developer")
    assert sts.count() == 2


def answers_by_minting(sandbox: Sandbox, sts: LoopbackSts) -> None:
    started = time.monotonic()
    sandbox.get("developer")
    assert time.monotonic() - started < 24  # an unlock dialog would have had 25
    assert sts.count() == 1
    sandbox.check_modes()


@pytest.mark.skipif(
    not HAS_SECRET_SERVICE and not os.environ.get("CI"), reason="gnome-keyring and dbus are not installed"
)
def test_locked_collection_without_a_display_is_no_keyring(sandbox, sts) -> None:
    with sandbox.secret_service(None):
        answers_by_minting(sandbox, sts)
    assert "KeyringLocked" in sandbox.log() or "InitError" in sandbox.log()


@pytest.mark.parametrize("address", ["", "unix:path=/nonexistent/bus", "nonsense"])
def test_missing_session_bus_is_no_keyring(sandbox, sts, address) -> None:
    sandbox.environ["DBUS_SESSION_BUS_ADDRESS"] = address
    answers_by_minting(sandbox, sts)
    assert ("the keyring said: " if address else "DBUS_SESSION_BUS_ADDRESS is not set") in sandbox.log()


def test_killed_bus_is_no_keyring(sandbox, sts, secret_service) -> None:
    sandbox.get("developer")
    secret_service.kill_bus()
    sts.reset()
    answers_by_minting(sandbox, sts)


def test_daemon_that_restarts_locked_is_no_keyring(sandbox, sts, secret_service) -> None:
    secret_service.signal(signal.SIGKILL)
    answers_by_minting(sandbox, sts)


@pytest.mark.parametrize(
    ("display", "timeout"), [({}, 2), ({"DISPLAY": ":99"}, 2), ({}, 1)], ids=["no display", "display", "1 s"]
)
def test_stopped_daemon_costs_one_timeout(sandbox, sts, secret_service, display, timeout) -> None:
    sandbox.environ |= display
    if timeout == 1:
        sandbox.configure(PROFILES + "[keyring]\ntimeout = 1\n")
    secret_service.signal(signal.SIGSTOP)
    answers_by_minting(sandbox, sts)
    assert sandbox.log().count(f"the keyring did not answer within {timeout} s") == 1


def test_open_collection_is_used_in_the_background(session_bus) -> None:
    assert cache_keyring._collection_is_locked() is False
    keyring = OsKeyring("auto", os.environ, background=True)
    keyring.set("credhelper:A", "text")
    assert keyring.get("credhelper:A") == "text"


@pytest.mark.parametrize("locked", [lambda: True, raises(OSError("no bus")), lambda: time.sleep(9)])
def test_locked_or_unknown_collection_is_not_used_in_the_background(locked, monkeypatch) -> None:
    monkeypatch.setattr(cache_keyring, "_collection_is_locked", locked)
    monkeypatch.setattr(sys, "platform", "linux")
    loaded: list[cache_keyring.Pinned] = []
    monkeypatch.setattr(OsKeyring, "_load", lambda _, candidate: loaded.append(candidate))
    keyring = OsKeyring("auto", {"DBUS_SESSION_BUS_ADDRESS": "unix:"}, timeout=0.3, background=True)
    with pytest.raises(NoKeyringError, match="runs in the background"):
        keyring.get("credhelper:A")
    assert loaded == []


def test_named_backend_is_not_used_in_the_background() -> None:
    assert not OsKeyring("memory_keyring.MemoryKeyring", {}, background=True).is_there()


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_macos_and_windows_are_used_in_the_background(platform, monkeypatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(OsKeyring, "_load", lambda *_: Scripted(lambda: "text"))
    assert OsKeyring("auto", {}, background=True).get("credhelper:A") == "text"
