"""`make bench`: every row can be measured, says when it cannot, and stands on the page that reports it."""

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
from sandbox import HAS_SECRET_SERVICE

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs/speed.md"
OF_OTHERS = (bench.aws_export_credentials, bench.elhaz, bench.aws_cli)
NEED_A_KEYRING = (bench.calls_of_a_herd, bench.herd, bench.cold_mint, bench.keyring_hit)


@pytest.fixture(name="home", scope="module")
def _app() -> Iterator[Home]:
    """A house where everything is small, for credhelper as the tests have it."""
    with bench_home.opened(bench_home.from_this_environment()) as home:
        home.crowd, home.idle, home.calls = 4, 0.5, 2
        yield home


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.measure not in OF_OTHERS], ids=lambda row: row.name
)
def test_a_row_can_be_measured(row: Row, home: Home) -> None:
    """Its commands work and have figures; what is a count keeps its limit."""
    if row.measure in NEED_A_KEYRING and not HAS_SECRET_SERVICE:
        requirements.missing("gnome-keyring")
    figures = row.measure(home, 1)

    assert "measured" in figures.commands
    if figures.unit:
        assert figures.measured > 0
        assert set(figures.commands) == {"measured", "baseline"}
    else:
        assert figures.measured == row.at_most


def test_what_asks_sts_is_no_hit(home: Home) -> None:
    """A row of hits that are none has no figures."""
    with pytest.raises(CannotMeasureError, match="asked STS"):
        bench._hit(home, 1, home.get("developer", "--no-cache"), home.python("-c", "pass"))


def test_a_command_that_fails_is_not_measured(home: Home) -> None:
    """Its row says which one."""
    with pytest.raises(CannotMeasureError, match="nobody' ends with 2"):
        bench._seconds(home, home.get("nobody"))


def test_a_helper_that_pip_cannot_install_has_a_row_that_says_so(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With pip's own reason."""

    def fail(*_: object) -> None:
        raise subprocess.CalledProcessError(1, "pip", stderr="trying\nERROR: no matching distribution\n")

    monkeypatch.setattr(bench_home, "VENVS", tmp_path)
    monkeypatch.setattr(bench_home, "_install", fail)
    with pytest.raises(CannotMeasureError, match="cannot be installed: ERROR: no matching distribution"):
        bench.elhaz(home, 1)


def test_a_command_is_shown_without_secrets_and_places(home: Home) -> None:
    """What a person would type."""
    words = ["/somewhere/bin/python", "-IS", "/somewhere/site-packages/credhelper/__main__.py", "get", "x"]
    shown = str(Command(words, bench.exported(home)))

    assert shown.endswith(" python -IS .../credhelper/__main__.py get x")
    assert "AWS_SECRET_ACCESS_KEY=... " in shown
    assert home.sts.secret_marker not in shown


@pytest.fixture(name="no_wheel")
def _no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are quick, for a program that need not be built."""

    def give_up(*_: object) -> Figures:
        raise CannotMeasureError("there is no moon")

    rows = (
        Row("sun", 1.0, lambda *_: Figures("ms", 30.0, 20.0, 1.5, {"measured": "shine"})),
        Row("moon", 1.0, give_up),
        Row("stars", 0, lambda *_: Figures("", 0, None, None, {"measured": "count"})),
    )
    monkeypatch.setattr(bench, "ROWS", rows)
    monkeypatch.setattr(bench_home, "from_a_wheel", bench_home.from_this_environment)


def _printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr("sys.argv", ["bench.py", *arguments])
    bench.main()
    return capsys.readouterr().out


@pytest.mark.usefixtures("no_wheel")
def test_a_time_above_its_limit_is_marked_and_fails_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a row that cannot be measured; the others are printed, and their commands."""
    lines = _printed(capsys, monkeypatch).splitlines()

    assert re.fullmatch(r"sun +30\.0 ms +20\.0 ms +1\.50 +1  above", lines[1])
    assert lines[2] == "moon: not measured: there is no moon"
    assert re.fullmatch(r"stars +0 +0", lines[3])
    assert "  measured: shine" in lines


@pytest.mark.usefixtures("no_wheel")
def test_rows_can_be_chosen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """By a pattern in their names."""
    printed = _printed(capsys, monkeypatch, "--only", "S.N", "--markdown")

    assert printed.splitlines()[2:] == ["| sun | 30.0 ms | 20.0 ms | 1.50 | 1 |"]


def test_the_page_has_every_row_and_no_other() -> None:
    """In the order of the bench, each with its limit."""
    table = [re.split(r" *\| *", line)[1:-1] for line in PAGE.read_text().splitlines() if line[:1] == "|"][2:]

    limits = ["" if row.at_most is None else f"{row.at_most:g}" for row in ROWS]
    assert [(cells[0], cells[4]) for cells in table] == list(
        zip([row.name for row in ROWS], limits, strict=True)
    )
