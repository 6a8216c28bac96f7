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
    from sandbox import Sandbox
    from sts import LoopbackSts

SECONDS = 20
"""For a handful of processes on a busy machine; whoever waited for a lock would take 38."""


def profile(name: str, source: str) -> str:
    """A role profile of ours."""
    return (
        f'[profiles.{name}]\nrole_arn = "arn:aws:iam::111122223333:role/{name.title()}"\n'
        f'source_profile = "{source}"\nregion = "eu-west-1"\n'
    )


def out(sandbox: Sandbox, name: str, target: str, *, script: bool = False) -> str:
    """An AWS profile whose credential_process gets one of ours; counts the processes in `started`."""
    wrapper = sandbox.home / f"{name}.sh"
    start = "" if script else "exec "
    wrapper.write_text(f"#!/bin/sh\necho {target} >> {sandbox.home}/started\n{start}{PROGRAM} get {target}\n")
    wrapper.chmod(0o700)
    return f"[profile {name}]\ncredential_process = {wrapper}\n"


def started(sandbox: Sandbox) -> list[str]:
    """The profiles that were asked for by the processes that were started, in order."""
    path = sandbox.home / "started"
    return path.read_text().split() if path.exists() else []


def ours(sandbox: Sandbox) -> list[int]:
    """The processes that run in this laptop's HOME."""
    marker = f"HOME={sandbox.home}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if marker in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return [pid for pid in found if pid != os.getpid()]


def refused(sandbox: Sandbox, sts: LoopbackSts, name: str, cycle: str, **environ: str) -> None:
    """The program ends with 2 in time, spells the cycle, asked nobody and left nothing behind."""
    began = time.monotonic()
    stderr = sandbox.refuses(2, "get", name, **environ)
    assert time.monotonic() - began < SECONDS
    assert f"profiles form a loop: {cycle}\n" in stderr
    assert "give one of them a source that does not come back here" in stderr
    assert sts.count("AssumeRole", "AssumeRoot", "GetSessionToken", "GetCallerIdentity") == 0
    assert ours(sandbox) == []


def test_itself(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """A profile that is its own source is a loop."""
    sandbox.configure(profile("a", "a"))
    refused(sandbox, sts, "a", "'a' -> 'a'")


def test_two_profiles(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """Two profiles that rest on each other are a loop, spelt from where it was entered."""
    sandbox.configure(profile("a", "b") + profile("b", "a") + profile("c", "a"))
    refused(sandbox, sts, "a", "'a' -> 'b' -> 'a'")
    refused(sandbox, sts, "b", "'b' -> 'a' -> 'b'")
    refused(sandbox, sts, "c", "'a' -> 'b' -> 'a'")


def test_aws_roles(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """A loop among role profiles of the AWS config is one, and names them as such."""
    role = "role_arn = arn:aws:iam::111122223333:role/R\n"
    sandbox.configure(profile("a", "x"))
    sandbox.aws_config(f"[profile x]\n{role}source_profile = y\n[profile y]\n{role}source_profile = x\n")
    refused(sandbox, sts, "a", "AWS profile 'x' -> AWS profile 'y' -> AWS profile 'x'")


@pytest.mark.parametrize("script", [False, True], ids=["exec", "script"])
def test_out_and_back(sandbox: Sandbox, sts: LoopbackSts, script: bool) -> None:
    """A loop out through credential_process and back ends in the second process, a script between or not."""
    sandbox.configure(profile("a", "x"))
    sandbox.aws_config(out(sandbox, "x", "a", script=script))
    refused(sandbox, sts, "a", "'a' -> 'a'")
    assert started(sandbox) == ["a"]


def test_through_a_role_of_the_aws_config(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """A loop through a role of the AWS config, out through a process and back, names both files' profiles."""
    sandbox.configure(profile("a", "role"))
    sandbox.aws_config(
        "[profile role]\nrole_arn = arn:aws:iam::111122223333:role/R\nsource_profile = x\n"
        + out(sandbox, "x", "a")
    )
    refused(sandbox, sts, "a", "'a' -> AWS profile 'role' -> 'a'")
    assert started(sandbox) == ["a"]


@pytest.mark.parametrize("script", [False, True], ids=["exec", "script"])
def test_two_processes(sandbox: Sandbox, sts: LoopbackSts, script: bool) -> None:
    """A loop through two processes ends in the third, which finds itself where the first began."""
    sandbox.configure(profile("a", "x") + profile("b", "y"))
    sandbox.aws_config(out(sandbox, "x", "b", script=script) + out(sandbox, "y", "a", script=script))
    refused(sandbox, sts, "a", "'a' -> 'b' -> 'a'")
    assert started(sandbox) == ["b", "a"]


def test_the_outer_holds_the_lock(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """Several who ask for one loop at once are all answered in time, though one holds the lock meanwhile."""
    sandbox.configure(profile("a", "x"))
    sandbox.aws_config(out(sandbox, "x", "a"))
    began = time.monotonic()
    processes = [sandbox.start("get", "a") for _ in range(3)]
    results = [sandbox.finish(process, SECONDS) for process in processes]
    assert time.monotonic() - began < SECONDS
    assert [result.status for result in results] == [2, 2, 2]
    assert sts.count() == 0
    assert ours(sandbox) == []


def test_a_process_that_is_no_loop(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """Processes that do not come back work, and each mints once."""
    sandbox.configure(profile("a", "x") + profile("b", "org-admin"))
    with open(sandbox.home / ".aws/config", "a", encoding="ascii") as file:
        file.write(out(sandbox, "x", "b"))
    sandbox.get("a")
    assert [call.parameters["RoleArn"][-1] for call in sts.calls] == ["B", "A"]
    assert started(sandbox) == ["b"]


@pytest.mark.parametrize("garbage", ["null", "[[1]]", "{", "[" * 5000, '["a", "b"]', "\x1b[31m"])
def test_garbage_in_the_variable(sandbox: Sandbox, garbage: str) -> None:
    """A value of CREDHELPER_CHAIN that is not ours is ignored."""
    sandbox.get("developer", CREDHELPER_CHAIN=garbage)


def test_a_nested_sentence(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """What the credhelper further down says is what the outer one says, with its status."""
    sandbox.configure(profile("a", "x"))
    sandbox.aws_config(out(sandbox, "x", "nobody"))
    stderr = sandbox.refuses(2, "get", "a")
    assert "no profile 'nobody' in" in stderr
    assert sts.count() == 0


def test_entered_at_both_ends_at_once(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """Each end waits for a lock that the other one holds; both find the loop, and neither hangs."""
    sandbox.configure(profile("a", "x") + profile("b", "y"))
    sandbox.aws_config(out(sandbox, "x", "b") + out(sandbox, "y", "a"))
    began = time.monotonic()
    results = [sandbox.finish(caller) for caller in [sandbox.start("get", name) for name in ("a", "b")]]

    assert time.monotonic() - began < 2 * SECONDS
    assert [result.status for result in results] == [2, 2]
    assert all("profiles form a loop" in result.stderr for result in results)
    assert sts.calls == []
    assert ours(sandbox) == []
