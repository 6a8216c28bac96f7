"""`make bench`: every row can be measured, or says why not, and docs/speed.md has every row."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bench
import bench_home
import requirements
from bench import ROWS, Figures, Row
from bench_home import CannotMeasureError, Command, Home
from sandbox import HAS_SECRET_SERVICE, PROGRAM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAMS = Path(PROGRAM).parent
PAGE = Path(__file__).parents[2] / "docs/speed.md"
NEED_A_KEYRING = (bench.calls_of_a_herd, bench.herd, bench.cold_mint, bench.keyring_hit)


@pytest.fixture(name="home", scope="module")
def _home() -> Iterator[Home]:
    """A home with small numbers, for the credhelper that the tests use."""
    with bench_home.opened(PROGRAMS) as home:
        home.crowd, home.idle, home.calls = 4, 0.5, 2
        yield home


@pytest.mark.parametrize("row", [row for row in ROWS if not row.of_others], ids=lambda row: row.name)
def test_a_row_has_figures_and_a_count_keeps_its_limit(row: Row, home: Home) -> None:
    if row.measure in NEED_A_KEYRING and not HAS_SECRET_SERVICE:
        requirements.missing("gnome-keyring")
    figures = row.measure(home, 1)

    assert len(figures.commands) == (2 if figures.unit else 1)
    assert figures.measured > 0 if figures.unit else figures.measured == row.at_most


def test_a_command_that_asks_sts_is_not_measured_as_a_hit(home: Home) -> None:
    with pytest.raises(CannotMeasureError, match="asked STS"):
        bench.in_turn_with_a_hit(home, 1, home.get("developer", "--no-cache"), home.python("-c", "pass"))


def test_a_command_that_fails_is_not_measured(home: Home) -> None:
    with pytest.raises(CannotMeasureError, match="unknown' ends with 2"):
        bench._seconds(home, home.get("unknown"))


def test_a_helper_that_pip_cannot_install_is_not_measured(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise subprocess.CalledProcessError(1, "pip", stderr="trying\nERROR: no matching distribution\n")

    monkeypatch.setattr(bench_home, "VENVS", tmp_path)
    monkeypatch.setattr(bench_home, "_install", fail)
    with pytest.raises(CannotMeasureError, match="cannot be installed: ERROR: no matching distribution"):
        bench.elhaz(home, 1)


def test_a_command_is_shown_without_secrets_and_paths(home: Home) -> None:
    words = ["/somewhere/bin/python", "-IS", "/somewhere/site-packages/credhelper/__main__.py", "get", "x"]
    shown = str(Command(words, bench.exported(home)))

    assert shown.endswith(" python -IS .../credhelper/__main__.py get x")
    assert "AWS_SECRET_ACCESS_KEY=... " in shown
    assert home.sts.secret_marker not in shown


@pytest.fixture(name="printed")
def _printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """The lines that bench.py prints for three made-up rows."""

    def give_up(*_: object) -> Figures:
        raise CannotMeasureError("there is no moon")

    rows = (
        Row("sun", 1.0, lambda *_: Figures("ms", ("shine",), 30.0, 20.0, 1.5)),
        Row("moon", 1.0, give_up),
        Row("stars", 0, lambda *_: Figures("", ("count",), 0)),
    )
    monkeypatch.setattr(bench, "ROWS", rows)
    monkeypatch.setattr(bench_home, "from_a_wheel", lambda: PROGRAMS)

    def lines(*arguments: str) -> list[str]:
        monkeypatch.setattr("sys.argv", ["bench.py", *arguments])
        bench.main()
        return capsys.readouterr().out.splitlines()

    return lines


def test_a_time_above_its_limit_is_marked_and_does_not_fail(printed: Callable[..., list[str]]) -> None:
    lines = printed()

    assert re.fullmatch(r"\| sun +\| +30\.0 ms \| +20\.0 ms \| +1\.50 \| +1 \|  above", lines[2])
    assert lines[3] == "moon: not measured: there is no moon"
    assert re.fullmatch(r"\| stars +\| +0 \| +\| +\| +0 \|", lines[4])
    assert "  measured: shine" in lines


def test_rows_are_selected_by_a_pattern(printed: Callable[..., list[str]]) -> None:
    lines = printed("--only", "S.N")

    assert lines[2].split()[1] == "sun"
    assert not any("stars" in line or "moon" in line for line in lines)


def test_docs_speed_has_every_row_with_its_limit() -> None:
    table = [re.split(r" *\| *", line)[1:-1] for line in PAGE.read_text().splitlines() if line[:1] == "|"][2:]
    limits = [(row.name, "" if row.at_most is None else f"{row.at_most:g}") for row in ROWS]
    assert [(cells[0], cells[4]) for cells in table] == limits
