"""A unit test starts no process and no server, and waits for no clock: those that do belong to tests/e2e."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

FORBIDDEN = ("subprocess.", "os.fork", "os.posix_spawn", "os.exec", "os.system", "socket.bind", "time.sleep")

_running: list[str] = []


def _refuse(event: str, _: object) -> None:
    if _running and event.startswith(FORBIDDEN):
        pytest.fail(f"{event} in a unit test: move {_running[0]} to tests/e2e")


sys.addaudithook(_refuse)


@pytest.fixture(autouse=True)
def _alone_in_memory(request: pytest.FixtureRequest) -> Iterator[None]:
    """Refuse processes, servers and sleeping as long as the test runs."""
    _running.append(request.node.nodeid)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", lambda seconds: _refuse("time.sleep", seconds))  # no event before 3.13
        yield
    _running.clear()
