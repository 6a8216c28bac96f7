"""Limits that AWS has raised since the table of keys was written."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from credhelper.config import sts_model, validation
from credhelper.config.keys import BY_NAME, ROLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RAISED = {
    "SourceIdentity": {"type": "string", "max": 300},
    "ExternalId": {"type": "string"},
    "DurationSeconds": {"type": "integer", "max": 86400},
    "Tags": {"type": "list", "max": 60, "member": {"shape": "Tag"}},
}


@pytest.fixture(params=["service-2.json", "service-2.json.gz"])
def model(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A botocore whose AssumeRole takes more than the table says."""
    directory = tmp_path / "data/sts/2011-06-15"
    directory.mkdir(parents=True)
    shapes: dict[str, Any] = {
        **RAISED,
        "Request": {"members": {name: {"shape": name} for name in RAISED}},
        "Tag": {"members": {"Key": {"shape": "Key"}, "Value": {"shape": "Value"}}},
        "Key": {"max": 130},
        "Value": {"max": 260},
    }
    document = {"operations": {"AssumeRole": {"input": {"shape": "Request"}}}, "shapes": shapes}
    content = json.dumps(document).encode()
    name = request.param
    (directory / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    monkeypatch.setattr(sts_model, "_directories", lambda: [str(tmp_path)])
    sts_model._model.cache_clear()
    yield
    sts_model._model.cache_clear()


@pytest.mark.parametrize(
    ("key", "fits", "too_long"),
    [
        ("source_identity", "x" * 300, "x" * 301),
        ("external_id", "x" * 2000, "x"),
        ("role_session_name", "x" * 64, "x" * 65),
        ("tags", dict.fromkeys(map(str, range(60)), ""), dict.fromkeys(map(str, range(61)), "")),
        ("tags", {"k" * 130: "v" * 260}, {"k" * 131: ""}),
        ("tags", {"k": "v" * 260}, {"k": "v" * 261}),
        ("minimum_session_token_size", 4096, 4097),
        ("read_timeout", 10, 11),
    ],
)
def test_value_is_checked_against_the_higher_limit(model, key: str, fits: object, too_long: object) -> None:
    assert validation.problem(BY_NAME[key], fits) is None
    assert validation.problem(BY_NAME[key], too_long) is not None


@pytest.mark.parametrize("one_off", [False, True])
def test_duration_is_checked_against_the_higher_limit(model, one_off: bool) -> None:
    problems = [validation.duration_problem(ROLE, each, one_off=one_off) for each in (86400, 86401, 899)]
    assert problems[0] is None
    assert None not in problems[1:]


def test_without_a_model_the_table_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sts_model, "_directories", lambda: [str(tmp_path)])
    sts_model._model.cache_clear()
    assert validation.problem(BY_NAME["source_identity"], "x" * 257) is not None
    sts_model._model.cache_clear()


def test_the_model_is_the_installed_one() -> None:
    assert sts_model.allows("AssumeRoot", "DurationSeconds", 900)
    assert not sts_model.allows("AssumeRoot", "DurationSeconds", 901)
    assert sts_model.allows("AssumeRole", "Tags", 128, "Key")
    assert not sts_model.allows("AssumeRole", "Tags", 129, "Key")
