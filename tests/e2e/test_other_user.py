"""Another user's HOME, kept as `sudo -E` keeps it: nothing foreign is touched, the answer still comes."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sandbox import Sandbox
    from sts import LoopbackSts

OTHER = 65534

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be two users")


def _snapshot(root: Path) -> dict[str, tuple[int, int, int, int]]:
    found = {}
    for path in [root, *root.rglob("*")]:
        status = path.lstat()
        found[str(path)] = (status.st_uid, stat.S_IMODE(status.st_mode), status.st_mtime_ns, status.st_size)
    return found


def _give_away(root: Path) -> None:
    for path in [root, *root.rglob("*")]:
        os.lchown(path, OTHER, OTHER)


def test_root_in_a_users_home_leaves_no_trace(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """No state, no lock, no log where the directories are somebody else's, and the envelope comes."""
    _give_away(sandbox.home)
    before = _snapshot(sandbox.home)
    sandbox.get("developer")

    assert _snapshot(sandbox.home) == before
    assert sts.count() == 1


def test_files_of_the_user_are_left_as_they_are(sandbox: Sandbox, secret_service, sts: LoopbackSts) -> None:
    """State that the user's own runs have made is not added to, and an index of theirs is not believed."""
    sandbox.get("developer")
    _give_away(sandbox.home)
    before = _snapshot(sandbox.home)
    sandbox.get("developer")
    sandbox.refuses(2, "get", "nobody")

    assert _snapshot(sandbox.home) == before
    assert sts.count() == 2


def test_a_runtime_directory_of_somebody_else_is_not_used(sandbox: Sandbox) -> None:
    """XDG_RUNTIME_DIR kept from another user: locks go to a place of our own."""
    runtime = Path(sandbox.environ["XDG_RUNTIME_DIR"])
    os.chown(runtime, OTHER, OTHER)
    runtime.chmod(0o777)
    sandbox.get("developer")

    assert list(runtime.iterdir()) == []
