"""items.jsonl: the list of credhelper's items in the keyring, because a keyring cannot be listed.

An item has a line, written before the item, so that no item is unlisted. The latest line of a key counts.
No line is secret. Saved keys have lines of another kind, which neither a sweep nor a clear reads.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from credhelper import paths
from credhelper.credentials import LAST_SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from credhelper.cache.locks import FileLocks
    from credhelper.log import Log

LOCK = "items"
LOCK_SECONDS = 5.0
SPARE_LINES = 100
MAXIMUM_PARTS = 1024
"""The most parts of an item that Store reads and writes."""


@dataclass(frozen=True)
class Item:
    """A session in the keyring: the KEY of its call, its profile, and its expiration (epoch)."""

    key: str
    profile: str
    kind: str
    expires: int
    parts: int


@dataclass(frozen=True)
class SavedKey:
    """An access key in the keyring: its name, its owner if AWS was asked, and when it was saved (epoch)."""

    name: str
    access_key_id: str
    account: str | None
    arn: str | None
    saved: int
    kind: Literal["key"] = "key"

    @property
    def key(self) -> str:
        """The key of its line."""
        return f"key:{self.name}"


@dataclass(frozen=True)
class Rotation:
    """A rotation of a saved key that has begun: the key it replaces, and AWS's clock then (epoch)."""

    name: str
    replaces: str
    began: int
    kind: Literal["rotation"] = "rotation"

    @property
    def key(self) -> str:
        """The key of its line."""
        return f"rotation:{self.name}"


Entry = Item | SavedKey | Rotation

_KINDS: Final[dict[object, type[SavedKey | Rotation]]] = {"key": SavedKey, "rotation": Rotation}


class Index:
    """The file, and the lock that its rewriting needs."""

    def __init__(self, path: str, locks: FileLocks, log: Log) -> None:
        self._path = path
        self._locks = locks
        self._log = log

    def items(self) -> list[Item]:
        """The sessions, one for a key, with the most parts that it ever had."""
        return [entry for entry in self._entries() if isinstance(entry, Item)]

    def saved_keys(self) -> list[SavedKey]:
        """The saved keys."""
        return [entry for entry in self._entries() if isinstance(entry, SavedKey)]

    def rotations(self) -> list[Rotation]:
        """The rotations that have not ended."""
        return [entry for entry in self._entries() if isinstance(entry, Rotation)]

    def _entries(self) -> list[Entry]:
        found: dict[str, Entry] = {}
        for line in paths.read_lines(self._path):
            entry = _parse(line)
            if entry is None:
                continue
            before = found.pop(entry.key, entry)
            if isinstance(entry, Item) and isinstance(before, Item):
                entry = replace(entry, parts=max(before.parts, entry.parts))
            found[entry.key] = entry
        return list(found.values())

    def mentions(self, key: str) -> bool:
        """Whether the keyring may have an item of this KEY; much faster than a call of the keyring."""
        return any(key in line for line in paths.read_lines(self._path))

    def add(self, entry: Entry) -> bool:
        """Add a line; False on failure, and then the item must not be stored."""
        try:
            with self._locks.hold(LOCK, LOCK_SECONDS):
                paths.append_line(self._path, json.dumps(asdict(entry)))
        except OSError as error:
            self._log.warning(f"the index of keyring items cannot be written: {error.strerror or error}")
            return False
        return True

    @contextlib.contextmanager
    def guard(self, item: Item) -> Iterator[bool]:
        """Hold the lock of this item's KEY; yields whether the item may be deleted."""
        with self._locks.hold(item.key, 0) as held:
            yield (held or not self._locks.usable) and item in self.items()

    def compact(self) -> None:
        """Drop replaced lines once they are many."""
        lines = len(paths.read_lines(self._path))
        if lines > SPARE_LINES + 2 * len(self._entries()):
            self._rewrite(set())

    def remove(self, gone: Iterable[Entry]) -> None:
        """Remove entries; one that was added again in the meantime stays."""
        if removed := set(gone):
            self._rewrite(removed)

    def _rewrite(self, removed: set[Entry]) -> None:
        try:
            with self._locks.hold(LOCK, LOCK_SECONDS):
                left = [entry for entry in self._entries() if entry not in removed]
                paths.replace_private(self._path, "".join(f"{json.dumps(asdict(entry))}\n" for entry in left))
        except OSError as error:
            self._log.warning(f"the index of keyring items cannot be rewritten: {error.strerror or error}")


def _parse(line: str) -> Entry | None:
    try:
        document = json.loads(line)
        kind = document.get("kind")
        entry: Entry = (_KINDS.get(kind, Item) if isinstance(kind, str) else Item)(**document)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return entry if _is_sound(entry) else None


def _is_sound(entry: Entry) -> bool:
    if isinstance(entry, Item):
        texts: tuple[object, ...] = (entry.key, entry.profile, entry.kind)
        return _are_texts(texts) and _is_moment(entry.expires) and _within(1, entry.parts, MAXIMUM_PARTS)
    if isinstance(entry, Rotation):
        return _are_texts((entry.name, entry.replaces)) and _is_moment(entry.began)
    texts = (entry.name, entry.access_key_id, entry.account or "", entry.arn or "")
    return _are_texts(texts) and _is_moment(entry.saved)


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) and value.isprintable() for value in values)


def _is_moment(value: object) -> bool:
    return _within(0, value, LAST_SECOND)


def _within(low: int, value: object, high: int) -> bool:
    return type(value) is int and low <= value <= high
