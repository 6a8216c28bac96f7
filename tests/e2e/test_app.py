"""How App builds the parts that one command needs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from credhelper import app, wire

if TYPE_CHECKING:
    import pytest

    from sandbox import Sandbox


def test_without_a_runtime_directory_locks_are_kept_with_the_state(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(sandbox.home))
    monkeypatch.setattr(wire, "runtime_directory", lambda _: None)
    opened = app.open_app(sandbox.environ, app.Invocation(time.monotonic()))
    with opened.locks.hold("x", 0) as held, opened.locks.hold("x", 0) as again:
        assert (held, again) == (True, False)

    assert (sandbox.state / "locks/x.lock").exists()
    sandbox.check_modes()


def test_the_deadline_counts_from_the_start_of_the_program(sandbox: Sandbox) -> None:
    late, on_time = (
        app.open_app(sandbox.environ, app.Invocation(time.monotonic() - age)).caller for age in (20, 0)
    )

    assert 19 < on_time.deadline.left() - late.deadline.left() < 21
