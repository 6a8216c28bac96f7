"""The record has a line for every session minted or refused, and can be made a condition."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from credhelper.audit import Audit, Line
from credhelper.errors import CredhelperError
from credhelper.log import Log

if TYPE_CHECKING:
    from pathlib import Path


MINTED = Line("minted", "unlock", "AssumeRoot", account="111122223333", reason="ticket \N{KEY}\n4711")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the record is."""
    return tmp_path / "state" / "audit.jsonl"


def record(path: Path, *, required: bool = False) -> Audit:
    """The record, with a log beside its directory."""
    return Audit(str(path), Log(str(path.parent.parent / "log")), required=required)


def test_a_line(path: Path) -> None:
    """A line is one JSON object in ASCII, with the time and the process, in a file that is private."""
    audit = record(path)
    audit.prepare()
    assert not path.exists()
    audit.write(MINTED)
    audit.write(Line("refused", "unlock", "AssumeRoot", error="AccessDenied"))
    assert path.read_bytes().isascii()
    first, second = audit.lines()
    assert first["reason"] == "ticket \N{KEY}\n4711"
    assert (first["pid"], second["error"]) == (os.getpid(), "AccessDenied")
    assert str(first["time"]).endswith("Z")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_no_field_for_a_secret() -> None:
    """A line knows the access key id, which CloudTrail shows too, and no other part of a credential."""
    names = set(Line.__dataclass_fields__)
    assert "access_key_id" in names
    assert not [name for name in names if "secret" in name or "token" in name]


def test_lines_that_are_not_ours(path: Path) -> None:
    """What somebody else has written into it is passed over."""
    audit = record(path)
    audit.write(MINTED)
    with path.open("ab") as file:
        file.write(b'\n\xff\nno json\n[]\n5\n{}\n{"time": 5}\n' + b"[" * 100_000 + b"\ncut")
    audit.write(MINTED)
    assert [line["profile"] for line in audit.lines()] == ["unlock", "unlock"]


def test_no_record_yet(path: Path) -> None:
    """Before the first mint there are no lines, and asking for them makes no directory."""
    assert list(record(path).lines()) == []
    assert not path.parent.exists()


def test_not_required(path: Path, tmp_path: Path) -> None:
    """Where it cannot be written, the log says so and the mint goes on."""
    path.mkdir(parents=True)
    audit = record(path)
    audit.prepare()
    audit.write(MINTED)
    assert "the audit log cannot be written: is a directory" in (tmp_path / "log").read_text()


def test_required_before_the_mint(path: Path) -> None:
    """Where it is required and cannot be written, nothing is minted, and the path is named."""
    path.mkdir(parents=True)
    with pytest.raises(CredhelperError) as raised:
        record(path, required=True).prepare()
    assert raised.value.sentence == (
        f"nothing is minted: '[audit] required' is set, and '{path}' cannot be written (is a directory)"
    )


def test_required_after_the_mint(path: Path, tmp_path: Path) -> None:
    """Where the disk fills up between, the session is not handed out; a refusal is only logged."""
    audit = record(path, required=True)
    audit.prepare()
    assert path.read_bytes() == b""
    path.unlink()
    path.mkdir()
    with pytest.raises(CredhelperError, match="the new session is discarded: "):
        audit.write(MINTED)
    audit.write(Line("refused", "unlock", "AssumeRoot"))
    assert "the audit log cannot be written" in (tmp_path / "log").read_text()


def test_a_required_line_that_is_cut_short(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that the disk took only a part of counts as not written."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:20]))
    with pytest.raises(CredhelperError, match="no space left on device"):
        record(path, required=True).write(MINTED)


def test_every_field_is_written(path: Path) -> None:
    """Unknown fields are null, so that every line has the same columns."""
    record(path).write(MINTED)
    assert set(json.loads(path.read_text())) == set(Line.__dataclass_fields__)
