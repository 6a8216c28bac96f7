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
import sts_faults
from sandbox import PROFILES

if TYPE_CHECKING:
    from sandbox import Sandbox
    from sts import LoopbackSts

SCRIPT = str(Path(crashing.__file__))


def _crash(sandbox: Sandbox, when: str, step: str, *flags: str) -> None:
    command = [sys.executable, SCRIPT, when, step, "get", "developer", *flags]
    done = subprocess.run(command, env=sandbox.environ, capture_output=True, timeout=60, check=False)
    assert done.returncode == -9, done


def _check_aftermath(sandbox: Sandbox) -> None:
    sandbox.check_modes()
    known = {"audit.jsonl", "items.jsonl", "credhelper.log"}
    assert {path.name for path in sandbox.state.iterdir()} <= known


@pytest.mark.parametrize("step", crashing.STEPS)
def test_kill_before_or_after_any_step_costs_at_most_one_more_mint(sandbox, sts, secret_service, step):
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


def test_kill_during_a_refresh_keeps_the_cached_session(sandbox, sts, secret_service) -> None:
    cached = sandbox.get("developer")
    steps = (("before", "credhelper.cache.keyring:OsKeyring.set"), ("after", "credhelper.aws.sts:Sts.mint"))
    for when, step in steps:
        _crash(sandbox, when, step, "--refresh")
        assert sandbox.get("developer") == cached


def test_kills_at_random_moments_cost_at_most_one_mint_each(sandbox, sts, secret_service) -> None:
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


def test_kill_of_the_minter_lets_one_waiter_mint(sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
    sts.script.append(sts_faults.slow(5))
    minter = sandbox.start("get", "developer")
    while not sts.calls:
        time.sleep(0.02)
    waiting = [sandbox.start("get", "developer") for _ in range(6)]
    time.sleep(2)
    minter.kill()
    minter.communicate()
    keys = {sandbox.finish(caller).envelope["AccessKeyId"] for caller in waiting}

    assert (len(keys), sts.count()) == (1, 2)
