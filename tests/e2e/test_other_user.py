"""HOME of another user, as with `sudo -E`: nothing in it changes, and the answer still comes."""

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
    _give_away(sandbox.home)
    before = _snapshot(sandbox.home)
    sandbox.get("developer")

    assert _snapshot(sandbox.home) == before
    assert sts.count() == 1


def test_state_of_the_other_user_is_neither_changed_nor_used(
    sandbox: Sandbox, secret_service, sts: LoopbackSts
) -> None:
    sandbox.get("developer")
    _give_away(sandbox.home)
    before = _snapshot(sandbox.home)
    sandbox.get("developer")
    sandbox.refuses(2, "get", "unknown")

    assert _snapshot(sandbox.home) == before
    assert sts.count() == 2


def test_a_runtime_directory_of_another_user_is_not_used(sandbox: Sandbox) -> None:
    runtime = Path(sandbox.environ["XDG_RUNTIME_DIR"])
    os.chown(runtime, OTHER, OTHER)
    runtime.chmod(0o777)
    sandbox.get("developer")

    assert list(runtime.iterdir()) == []
