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
    return tmp_path / "state" / "audit.jsonl"


def record(path: Path, *, required: bool = False) -> Audit:
    return Audit(str(path), Log(str(path.parent.parent / "log")), required=required)


def test_a_line_is_ascii_json_in_a_private_file(path) -> None:
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


def test_a_line_has_every_field_and_none_for_a_secret(path) -> None:
    record(path).write(MINTED)
    names = set(Line.__dataclass_fields__)
    assert set(json.loads(path.read_text())) == names
    assert "access_key_id" in names
    assert not [name for name in names if "secret" in name or "token" in name]


def test_invalid_lines_are_skipped(path) -> None:
    audit = record(path)
    audit.write(MINTED)
    with path.open("ab") as file:
        file.write(b'\n\xff\nno json\n[]\n5\n{}\n{"time": 5}\n' + b"[" * 100_000 + b"\ncut")
    audit.write(MINTED)
    assert [line["profile"] for line in audit.lines()] == ["unlock", "unlock"]


def test_without_a_file_there_are_no_lines_and_no_directory_is_made(path) -> None:
    assert list(record(path).lines()) == []
    assert not path.parent.exists()


def test_a_log_that_cannot_be_written_is_a_warning_and_prevents_the_mint_if_it_is_required(
    path, tmp_path
) -> None:
    path.mkdir(parents=True)
    audit = record(path)
    audit.prepare()
    audit.write(MINTED)
    assert "the audit log cannot be written: is a directory" in (tmp_path / "log").read_text()
    with pytest.raises(CredhelperError) as raised:
        record(path, required=True).prepare()
    assert raised.value.sentence == (
        f"nothing is minted: '[audit] required' is set, and '{path}' cannot be written (is a directory)"
    )


def test_a_required_line_that_cannot_be_written_discards_the_session(path, tmp_path) -> None:
    audit = record(path, required=True)
    audit.prepare()
    assert path.read_bytes() == b""
    path.unlink()
    path.mkdir()
    with pytest.raises(CredhelperError, match="the new session is discarded: "):
        audit.write(MINTED)
    audit.write(Line("refused", "unlock", "AssumeRoot"))
    assert "the audit log cannot be written" in (tmp_path / "log").read_text()


def test_a_required_line_that_is_cut_short_counts_as_not_written(path, monkeypatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:20]))
    with pytest.raises(CredhelperError, match="no space left on device"):
        record(path, required=True).write(MINTED)
