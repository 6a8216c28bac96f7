"""How the parts of the house are put together for one command."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from credhelper import app, wire

if TYPE_CHECKING:
    import pytest

    from sandbox import Laptop


def test_without_a_runtime_directory_locks_are_kept_with_the_state(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine on which no runtime directory is safe still mints once."""
    monkeypatch.setenv("HOME", str(laptop.home))
    monkeypatch.setattr(wire, "runtime_directory", lambda _: None)
    opened = app.open_house(laptop.environ, app.Start(time.monotonic()))
    with opened.locks.hold("x", 0) as held, opened.locks.hold("x", 0) as again:
        assert (held, again) == (True, False)

    assert (laptop.state / "locks/x.lock").exists()
    laptop.check_modes()


def test_the_deadline_counts_from_the_start_of_the_program(laptop: Laptop) -> None:
    """What the imports took is not given twice: SDKs count too."""
    opened = app.open_house(laptop.environ, app.Start(time.monotonic() - 20))

    assert 29 < opened.deadline.left() <= 30
