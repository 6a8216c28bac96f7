"""kill -9 at any moment: the next caller works, with at most one mint more."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import crashing
from sandbox import PROFILES

if TYPE_CHECKING:
    from sandbox import Sandbox
    from sts import LoopbackSts

SCRIPT = str(Path(crashing.__file__))


def _crash(sandbox: Sandbox, when: str, step: str) -> None:
    command = [sys.executable, SCRIPT, when, step, "get", "developer"]
    done = subprocess.run(command, env=sandbox.environ, capture_output=True, timeout=60, check=False)
    assert done.returncode == -9, done


def _check_aftermath(sandbox: Sandbox) -> None:
    sandbox.check_modes()
    known = {"audit.jsonl", "items.jsonl", "credhelper.log"}
    assert {path.name for path in sandbox.state.iterdir()} <= known


@pytest.mark.parametrize("step", crashing.STEPS)
def test_a_crash_at_any_step_costs_at_most_one_mint(
    sandbox: Sandbox, sts: LoopbackSts, secret_service, step: str
) -> None:
    """Killed before or after the step on a cold cache: the next call works, and the one after is a hit."""
    sandbox.state.mkdir(mode=0o700, parents=True)
    for when, profile in (("before", "a"), ("after", "b")):
        sandbox.configure(PROFILES.replace("role/Developer", f"role/{profile}"))
        sts.calls.clear()
        _crash(sandbox, when, step)
        envelope = sandbox.get("developer")

        assert sts.count() <= 2
        assert sandbox.get("developer") == envelope
        assert sts.count() <= 2
        _check_aftermath(sandbox)


def test_an_older_session_survives_a_crash_of_its_refresh(sandbox, sts, secret_service) -> None:
    """Killed while minting anew: what was cached is still there and still serves."""
    cached = sandbox.get("developer")
    for when, step in (
        ("before", "credhelper.cache.keyring:OsKeyring.set"),
        ("after", "credhelper.aws.sts:Sts.mint"),
    ):
        command = [sys.executable, SCRIPT, when, step, "get", "developer", "--refresh"]
        subprocess.run(command, env=sandbox.environ, capture_output=True, timeout=60, check=False)

        assert sandbox.get("developer") == cached


def test_kills_at_random_moments_lose_nothing(sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
    """Thirty kills within the first 600 ms of cold calls, three after each other."""
    sandbox.state.mkdir(mode=0o700, parents=True)
    moments = random.Random(4711)
    for number in range(10):
        sandbox.configure(PROFILES.replace("role/Developer", f"role/R{number}"))
        sts.calls.clear()
        for _ in range(3):
            process = sandbox.start("get", "developer")
            time.sleep(moments.uniform(0, 0.6))
            process.kill()
            process.communicate()
        sandbox.get("developer")

        assert sts.count() <= 3 + 1
        _check_aftermath(sandbox)


def test_a_killed_minter_hands_over_to_the_next(sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
    """The lock of a dead process is free at once: those who wait mint once more between them."""
    import sts_faults as faults

    sts.script.append(faults.slow(5))
    minter = sandbox.start("get", "developer")
    while not sts.calls:
        time.sleep(0.02)
    waiting = [sandbox.start("get", "developer") for _ in range(6)]
    time.sleep(2)
    minter.kill()
    minter.communicate()
    keys = {sandbox.finish(caller).envelope["AccessKeyId"] for caller in waiting}

    assert (len(keys), sts.count()) == (1, 2)
