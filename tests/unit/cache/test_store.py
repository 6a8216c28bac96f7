"""The store finds less where the keyring fails, and knows what it has put into it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from credhelper.cache.index import Index, Item
from credhelper.cache.keyring import NoKeyringError, OsKeyring
from credhelper.cache.locks import FileLocks
from credhelper.cache.store import SWEEP_AT_MOST, Store, _header
from credhelper.credentials import AccessKey, Clocks, Credentials
from credhelper.log import Log

if TYPE_CHECKING:
    from pathlib import Path

CREDENTIALS = Credentials("ASIA", "SECRET", "TOKEN", 2_000_000_000, 900.0, 0.0, Clocks(1.0))


class Memory(OsKeyring):
    """A keyring that keeps its items in a dictionary, and can be made to fail after some calls."""

    def __init__(self) -> None:
        super().__init__("keyring.backends.null.Keyring", {})
        self.items: dict[str, str] = {}
        self.calls_left = 1_000_000

    def _call(self) -> None:
        self.calls_left -= 1
        if self.calls_left < 0:
            raise NoKeyringError("the keyring is away")

    def get(self, service: str) -> str | None:
        self._call()
        return self.items.get(service)

    def set(self, service: str, text: str) -> None:
        self._call()
        self.items[service] = text

    def delete(self, service: str) -> None:
        self._call()
        self.items.pop(service, None)


@pytest.fixture
def keyring() -> Memory:
    return Memory()


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(str(tmp_path / "log"), debug=True)


@pytest.fixture
def index(tmp_path: Path, log: Log) -> Index:
    return Index(str(tmp_path / "items.jsonl"), FileLocks(None, log), log)


@pytest.fixture
def store(keyring: Memory, index: Index, log: Log) -> Store:
    return Store(keyring, index, log)


def put(store: Store, key: str) -> None:
    store.put(key, CREDENTIALS, profile=f"profile-{key}", kind="AssumeRole")


def test_unreachable_keyring_is_a_miss_and_logged(store: Store, keyring: Memory, tmp_path: Path) -> None:
    put(store, "K")
    keyring.calls_left = 0
    assert store.get("K") is None
    put(store, "L")
    assert store.saved_key("ci") is None
    assert set(keyring.items) == {"credhelper:K"}
    log = (tmp_path / "log").read_text()
    assert "debug: no keyring: the keyring is away" in log
    assert "warning: not cached: the keyring is away" in log


def test_unwritable_index_stores_nothing(store: Store, keyring: Memory, tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").mkdir()
    put(store, "K")
    assert keyring.items == {}


def test_listed_item_that_was_never_stored_is_a_miss_and_swept(store, index, keyring) -> None:
    index.add(Item("K", "p", "AssumeRole", 5, 3))
    assert store.get("K") is None
    store.sweep()
    assert (store.items(), keyring.items) == ([], {})


def test_sweep_deletes_at_most_ten_expired_items(store: Store, index: Index, keyring: Memory) -> None:
    put(store, "live")
    for number in range(SWEEP_AT_MOST + 3):
        index.add(Item(f"old-{number}", "p", "AssumeRole", int(time.time()), 1))
        keyring.items[f"credhelper:old-{number}"] = "old"
    store.sweep()
    assert len(keyring.items) == 4
    store.sweep()
    store.sweep()
    assert set(keyring.items) == {"credhelper:live"}
    assert [item.key for item in store.items()] == ["live"]


def test_items_that_cannot_be_deleted_stay_listed(store: Store, keyring: Memory) -> None:
    for key in ("A", "B", "C"):
        put(store, key)
    keyring.calls_left = 1
    left = store.forget(store.items())
    assert [item.key for item in left] == ["B", "C"]
    assert store.items() == left


def test_sweep_without_a_keyring_does_nothing(index: Index, log: Log, tmp_path: Path) -> None:
    index.add(Item("K", "p", "AssumeRole", 5, 1))
    store = Store(OsKeyring("none", {}), index, log)
    store.sweep()
    assert [item.key for item in store.items()] == ["K"]
    assert not (tmp_path / "log").exists()


def test_item_stored_anew_during_a_sweep_stays_listed(store, index, keyring, monkeypatch) -> None:
    index.add(Item("K", "p", "AssumeRole", 5, 1))
    delete = keyring.delete

    def delete_and_be_overtaken(service: str) -> None:
        delete(service)
        put(store, "K")

    monkeypatch.setattr(keyring, "delete", delete_and_be_overtaken)
    store.sweep()
    assert store.get("K") == CREDENTIALS
    assert [(item.key, item.expires) for item in store.items()] == [("K", CREDENTIALS.expiration)]


def save_key(keyring: Memory, text: str) -> None:
    service = "credhelper key:ci"
    keyring.items[service] = f"{_header(service, 1, text)}\n{text}"


def test_saved_key_is_read_by_name_and_its_repr_hides_the_secret(store: Store, keyring: Memory) -> None:
    save_key(keyring, '{"AccessKeyId": "AKIA", "SecretAccessKey": "SECRET"}')
    saved = store.saved_key("ci")
    assert saved == AccessKey("AKIA", "SECRET")
    assert "SECRET" not in repr(saved)
    assert store.saved_key("other") is None


@pytest.mark.parametrize("text", ["", "[]", "5", "{}", '{"AccessKeyId": "AKIA"}', "no json"])
def test_anything_else_is_no_saved_key(store: Store, keyring: Memory, text: str) -> None:
    save_key(keyring, text)
    assert store.saved_key("ci") is None
