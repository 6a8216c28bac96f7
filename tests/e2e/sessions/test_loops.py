"""Profiles that come back to themselves end at once, in one process or through several."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox import PROGRAM

if TYPE_CHECKING:
    from sandbox import Laptop
    from sts import LoopbackSts

SECONDS = 20
"""For a handful of processes on a busy machine; whoever waited for a lock would take 38."""


def profile(name: str, source: str) -> str:
    """A role profile of ours."""
    return (
        f'[profiles.{name}]\nrole_arn = "arn:aws:iam::111122223333:role/{name.title()}"\n'
        f'source_profile = "{source}"\nregion = "eu-west-1"\n'
    )


def out(laptop: Laptop, name: str, target: str, *, script: bool = False) -> str:
    """An AWS profile whose credential_process gets one of ours; counts the processes in `started`."""
    wrapper = laptop.home / f"{name}.sh"
    start = "" if script else "exec "
    wrapper.write_text(f"#!/bin/sh\necho {target} >> {laptop.home}/started\n{start}{PROGRAM} get {target}\n")
    wrapper.chmod(0o700)
    return f"[profile {name}]\ncredential_process = {wrapper}\n"


def started(laptop: Laptop) -> list[str]:
    """The profiles that were asked for by the processes that were started, in order."""
    path = laptop.home / "started"
    return path.read_text().split() if path.exists() else []


def ours(laptop: Laptop) -> list[int]:
    """The processes that run in this laptop's HOME."""
    marker = f"HOME={laptop.home}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if marker in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return [pid for pid in found if pid != os.getpid()]


def refused(laptop: Laptop, sts: LoopbackSts, name: str, cycle: str, **environ: str) -> None:
    """The program ends with 2 in time, spells the cycle, asked nobody and left nothing behind."""
    began = time.monotonic()
    stderr = laptop.refuses(2, "get", name, **environ)
    assert time.monotonic() - began < SECONDS
    assert f"profiles form a loop: {cycle}\n" in stderr
    assert "give one of them a source that does not come back here" in stderr
    assert sts.count("AssumeRole", "AssumeRoot", "GetSessionToken", "GetCallerIdentity") == 0
    assert ours(laptop) == []


def test_itself(laptop: Laptop, sts: LoopbackSts) -> None:
    """A profile that is its own source is a loop."""
    laptop.configure(profile("a", "a"))
    refused(laptop, sts, "a", "'a' -> 'a'")


def test_two_profiles(laptop: Laptop, sts: LoopbackSts) -> None:
    """Two profiles that rest on each other are a loop, spelt from where it was entered."""
    laptop.configure(profile("a", "b") + profile("b", "a") + profile("c", "a"))
    refused(laptop, sts, "a", "'a' -> 'b' -> 'a'")
    refused(laptop, sts, "b", "'b' -> 'a' -> 'b'")
    refused(laptop, sts, "c", "'a' -> 'b' -> 'a'")


def test_aws_roles(laptop: Laptop, sts: LoopbackSts) -> None:
    """A loop among role profiles of the AWS config is one, and names them as such."""
    role = "role_arn = arn:aws:iam::111122223333:role/R\n"
    laptop.configure(profile("a", "x"))
    laptop.aws_config(f"[profile x]\n{role}source_profile = y\n[profile y]\n{role}source_profile = x\n")
    refused(laptop, sts, "a", "AWS profile 'x' -> AWS profile 'y' -> AWS profile 'x'")


@pytest.mark.parametrize("script", [False, True], ids=["exec", "script"])
def test_out_and_back(laptop: Laptop, sts: LoopbackSts, script: bool) -> None:
    """A loop out through credential_process and back ends in the second process, a script between or not."""
    laptop.configure(profile("a", "x"))
    laptop.aws_config(out(laptop, "x", "a", script=script))
    refused(laptop, sts, "a", "'a' -> 'a'")
    assert started(laptop) == ["a"]


def test_through_a_role_of_the_aws_config(laptop: Laptop, sts: LoopbackSts) -> None:
    """A loop through a role of the AWS config, out through a process and back, names both files' profiles."""
    laptop.configure(profile("a", "role"))
    laptop.aws_config(
        "[profile role]\nrole_arn = arn:aws:iam::111122223333:role/R\nsource_profile = x\n"
        + out(laptop, "x", "a")
    )
    refused(laptop, sts, "a", "'a' -> AWS profile 'role' -> 'a'")
    assert started(laptop) == ["a"]


@pytest.mark.parametrize("script", [False, True], ids=["exec", "script"])
def test_two_processes(laptop: Laptop, sts: LoopbackSts, script: bool) -> None:
    """A loop through two processes ends in the third, which finds itself where the first began."""
    laptop.configure(profile("a", "x") + profile("b", "y"))
    laptop.aws_config(out(laptop, "x", "b", script=script) + out(laptop, "y", "a", script=script))
    refused(laptop, sts, "a", "'a' -> 'b' -> 'a'")
    assert started(laptop) == ["b", "a"]


def test_the_outer_holds_the_lock(laptop: Laptop, sts: LoopbackSts) -> None:
    """Several who ask for one loop at once are all answered in time, though one holds the lock meanwhile."""
    laptop.configure(profile("a", "x"))
    laptop.aws_config(out(laptop, "x", "a"))
    began = time.monotonic()
    processes = [laptop.start("get", "a") for _ in range(3)]
    results = [laptop.finish(process, SECONDS) for process in processes]
    assert time.monotonic() - began < SECONDS
    assert [result.status for result in results] == [2, 2, 2]
    assert sts.count() == 0
    assert ours(laptop) == []


def test_a_process_that_is_no_loop(laptop: Laptop, sts: LoopbackSts) -> None:
    """Processes that do not come back work, and each mints once."""
    laptop.configure(profile("a", "x") + profile("b", "org-admin"))
    with open(laptop.home / ".aws/config", "a", encoding="ascii") as file:
        file.write(out(laptop, "x", "b"))
    laptop.get("a")
    assert [call.parameters["RoleArn"][-1] for call in sts.calls] == ["B", "A"]
    assert started(laptop) == ["b"]


@pytest.mark.parametrize("garbage", ["null", "[[1]]", "{", "[" * 5000, '["a", "b"]', "\x1b[31m"])
def test_garbage_in_the_variable(laptop: Laptop, garbage: str) -> None:
    """A value of CREDHELPER_CHAIN that is not ours is ignored."""
    laptop.get("developer", CREDHELPER_CHAIN=garbage)


def test_a_nested_sentence(laptop: Laptop, sts: LoopbackSts) -> None:
    """What the credhelper further down says is what the outer one says, with its status."""
    laptop.configure(profile("a", "x"))
    laptop.aws_config(out(laptop, "x", "nobody"))
    stderr = laptop.refuses(2, "get", "a")
    assert "no profile 'nobody' in" in stderr
    assert sts.count() == 0


def test_entered_at_both_ends_at_once(laptop: Laptop, sts: LoopbackSts) -> None:
    """Each end waits for a lock that the other one holds; both find the loop, and neither hangs."""
    laptop.configure(profile("a", "x") + profile("b", "y"))
    laptop.aws_config(out(laptop, "x", "b") + out(laptop, "y", "a"))
    began = time.monotonic()
    results = [laptop.finish(caller) for caller in [laptop.start("get", name) for name in ("a", "b")]]

    assert time.monotonic() - began < 2 * SECONDS
    assert [result.status for result in results] == [2, 2]
    assert all("profiles form a loop" in result.stderr for result in results)
    assert sts.calls == []
    assert ours(laptop) == []
