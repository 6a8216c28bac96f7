"""items.jsonl lists whatever may be in the keyring, and survives what happens to files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from credhelper.cache.index import Index, Item, Rotation, SavedKey
from credhelper.cache.locks import FileLocks
from credhelper.log import Log

if TYPE_CHECKING:
    from pathlib import Path

ITEM = Item("K", "developer", "AssumeRole", 2_000_000_000, 1)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    (tmp_path / "run").mkdir(mode=0o700)
    log = Log(str(tmp_path / "log"))
    return Index(str(tmp_path / "items.jsonl"), FileLocks(str(tmp_path / "run"), log), log)


def test_items_are_listed_in_the_order_of_their_latest_lines(index: Index, tmp_path: Path) -> None:
    other = Item("L", "unlock@payments", "AssumeRoot", 5, 2)
    assert index.items() == []
    assert all(index.add(item) for item in (ITEM, other, ITEM))
    assert index.items() == [other, ITEM]
    assert (tmp_path / "items.jsonl").stat().st_mode & 0o777 == 0o600


def test_latest_line_counts_with_the_most_parts(index: Index) -> None:
    index.add(Item("K", "old", "AssumeRole", 1, 7))
    index.add(ITEM)
    assert index.items() == [Item("K", "developer", "AssumeRole", 2_000_000_000, 7)]


def test_saved_keys_and_rotations_are_no_items(index: Index) -> None:
    older, newer = (SavedKey("K", name, None, None, 5) for name in ("AKIAONE", "AKIATWO"))
    rotation = Rotation("K", "AKIAONE", 5)
    for entry in (older, rotation, ITEM, newer):
        index.add(entry)
    assert (index.items(), index.saved_keys(), index.rotations()) == ([ITEM], [newer], [rotation])
    index.remove(index.items())
    index.remove([older])
    assert (index.items(), index.saved_keys(), index.rotations()) == ([], [newer], [rotation])


def test_remove_keeps_an_item_added_anew(index: Index) -> None:
    older, other = Item("K", "developer", "AssumeRole", 5, 1), Item("L", "p", "AssumeRole", 5, 1)
    for item in (older, other):
        index.add(item)
    listed = index.items()
    index.add(ITEM)
    index.remove(listed)
    assert index.items() == [ITEM]
    index.remove([])
    index.remove([ITEM])
    assert index.items() == []


SESSION = {"key": "J", "profile": "p", "kind": "k", "expires": 5, "parts": 1}
SAVED = {"kind": "key", "name": "K", "access_key_id": "A", "account": None, "arn": None, "saved": 5}
BAD_VALUES: list[tuple[str, object]] = [
    *(("more", 1), ("key", 5), ("profile", "p\x1b[2J"), ("profile", "\ud800"), ("kind", ["key"])),
    *(("expires", "5"), ("expires", 1e9), ("expires", 99999999999999999999)),
    *(("parts", 0), ("parts", 1000000000), ("parts", True)),
]
BAD_KEY_VALUES = [("access_key_id", None), ("account", 5), ("arn", "\x9b"), ("saved", 5.5)]


@pytest.mark.parametrize(
    "line",
    [
        *("", "no json", "[]", "5", "null", "{}", "[" * 100_000),
        "Z\xfcrich",
        '{"key": "J"',
        json.dumps(SESSION)[: -len(', "parts": 1}')] + "}",
        *(json.dumps({**SESSION, name: value}) for name, value in BAD_VALUES),
        json.dumps(SAVED)[: -len(', "saved": 5}')] + "}",
        *(json.dumps({**SAVED, name: value}) for name, value in BAD_KEY_VALUES),
        '{"kind": "rotation", "name": "K\\n", "replaces": "A", "began": 5}',
        '{"kind": "rotation", "name": "K", "replaces": "A", "began": -5}',
    ],
)
def test_unreadable_line_is_skipped(index: Index, tmp_path: Path, line: str) -> None:
    (tmp_path / "items.jsonl").write_bytes(line.encode("latin-1"))  # with no newline, as after a crash
    index.add(ITEM)
    assert index.items() == [ITEM]
    assert (index.saved_keys(), index.rotations()) == ([], [])


def test_unwritable_file_is_reported_and_logged(index: Index, tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").mkdir()
    assert not index.add(ITEM)
    index.remove([ITEM])
    log = (tmp_path / "log").read_text()
    assert "the index of keyring items cannot be written: " in log
    assert "the index of keyring items cannot be rewritten: " in log


def test_lines_have_these_fields_only(index: Index, tmp_path: Path) -> None:
    index.add(ITEM)
    index.add(SavedKey("K", "AKIA", "123456789012", "arn:aws:iam::123456789012:user/me", 5))
    index.add(Rotation("K", "AKIA", 5))
    item, key, rotation = map(json.loads, (tmp_path / "items.jsonl").read_text().splitlines())
    assert sorted(item) == ["expires", "key", "kind", "parts", "profile"]
    assert sorted(key) == ["access_key_id", "account", "arn", "kind", "name", "saved"]
    assert sorted(rotation) == ["began", "kind", "name", "replaces"]


def test_replaced_lines_are_dropped_once_they_are_many(index: Index, tmp_path: Path) -> None:
    for number in range(104):
        index.add(Item("K", "developer", "AssumeRole", number, 1))
        index.compact()

    assert index.items() == [Item("K", "developer", "AssumeRole", 103, 1)]
    assert len((tmp_path / "items.jsonl").read_text().splitlines()) < 10
