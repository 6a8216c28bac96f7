"""Profiles that come back to themselves end at once, in one process or through several."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import PROGRAM

if TYPE_CHECKING:
    from sandbox import Sandbox
    from sts import LoopbackSts

SECONDS = 20
"""For a handful of processes on a busy machine; whoever waited for a lock would take 38."""


def profile(name: str, source: str) -> str:
    return (
        f'[profiles.{name}]\nrole_arn = "arn:aws:iam::111122223333:role/{name.title()}"\n'
        f'source_profile = "{source}"\nregion = "eu-west-1"\n'
    )


def out(sandbox: Sandbox, name: str, target: str, *, script: bool = False) -> str:
    """An AWS profile whose credential_process runs `get`; counts the processes in `started`."""
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
    """The processes with this sandbox's HOME."""
    marker = f"HOME={sandbox.home}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if marker in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return [pid for pid in found if pid != os.getpid()]


def refused(sandbox: Sandbox, sts: LoopbackSts, name: str, cycle: str, **environ: str) -> None:
    """The program ends with 2 in time, names the cycle, makes no call and leaves nothing behind."""
    began = time.monotonic()
    stderr = sandbox.refuses(2, "get", name, **environ)
    assert time.monotonic() - began < SECONDS
    assert f"profiles form a loop: {cycle}\n" in stderr
    assert "give one of them a source that does not come back here" in stderr
    assert sts.count("AssumeRole", "AssumeRoot", "GetSessionToken", "GetCallerIdentity") == 0
    assert ours(sandbox) == []


AWS_ROLE = "role_arn = arn:aws:iam::111122223333:role/R\n"


@pytest.mark.parametrize(
    ("profiles", "cycles"),
    [
        ({"a": "a"}, {"a": "'a' -> 'a'"}),
        ({"a": "b", "b": "a", "c": "a"},
         {"a": "'a' -> 'b' -> 'a'", "b": "'b' -> 'a' -> 'b'", "c": "'a' -> 'b' -> 'a'"}),
        ({"a": "x"}, {"a": "AWS profile 'x' -> AWS profile 'y' -> AWS profile 'x'"}),
    ],
    ids=["itself", "two profiles", "AWS roles"],
)  # fmt: skip
def test_a_loop_in_the_files_is_named_from_where_it_closes(
    sandbox, sts, profiles: dict[str, str], cycles: dict[str, str]
) -> None:
    sandbox.configure("".join(profile(*each) for each in profiles.items()))
    if "x" in profiles.values():
        roles = f"[profile x]\n{AWS_ROLE}source_profile = y\n[profile y]\n{AWS_ROLE}source_profile = x\n"
        sandbox.aws_config(roles)
    for name, cycle in cycles.items():
        refused(sandbox, sts, name, cycle)


@pytest.mark.parametrize("script", [False, True], ids=["exec", "script"])
@pytest.mark.parametrize(
    ("profiles", "processes", "cycle"),
    [
        ({"a": "x"}, {"x": "a"}, "'a' -> 'a'"),
        ({"a": "x", "b": "y"}, {"x": "b", "y": "a"}, "'a' -> 'b' -> 'a'"),
    ],
    ids=["one process", "two processes"],
)
def test_a_loop_through_processes_ends_in_the_first_that_finds_itself(
    sandbox, sts, profiles: Any, processes: dict[str, str], cycle: str, script: bool
) -> None:
    sandbox.configure("".join(profile(*each) for each in profiles.items()))
    sandbox.aws_config("".join(out(sandbox, *each, script=script) for each in processes.items()))
    refused(sandbox, sts, "a", cycle)
    assert started(sandbox) == list(processes.values())


def test_a_loop_through_a_role_of_the_aws_config_names_the_profiles_of_both_files(sandbox, sts) -> None:
    sandbox.configure(profile("a", "role"))
    sandbox.aws_config(f"[profile role]\n{AWS_ROLE}source_profile = x\n{out(sandbox, 'x', 'a')}")
    refused(sandbox, sts, "a", "'a' -> AWS profile 'role' -> 'a'")
    assert started(sandbox) == ["a"]


@pytest.mark.parametrize(
    ("processes", "callers", "seconds"),
    [({"x": "a"}, "aaa", SECONDS), ({"x": "b", "y": "a"}, "ab", 2 * SECONDS)],
    ids=["one entry", "both ends"],
)
def test_several_callers_of_one_loop_all_end_in_time(
    sandbox, sts, processes: dict[str, str], callers: str, seconds: float
) -> None:
    sandbox.configure("".join(profile(*each) for each in zip("ab", processes, strict=False)))
    sandbox.aws_config("".join(out(sandbox, *each) for each in processes.items()))
    began = time.monotonic()
    results = [sandbox.finish(each) for each in [sandbox.start("get", name) for name in callers]]
    assert time.monotonic() - began < seconds
    assert {result.status for result in results} == {2}
    assert all("profiles form a loop" in result.stderr for result in results)
    assert sts.calls == []
    assert ours(sandbox) == []


def test_processes_without_a_loop_mint_once_each(sandbox, sts) -> None:
    sandbox.configure(profile("a", "x") + profile("b", "org-admin"))
    with open(sandbox.home / ".aws/config", "a", encoding="ascii") as file:
        file.write(out(sandbox, "x", "b"))
    sandbox.get("a")
    assert [call.parameters["RoleArn"][-1] for call in sts.calls] == ["B", "A"]
    assert started(sandbox) == ["b"]


@pytest.mark.parametrize("garbage", ["null", "[[1]]", "{", "[" * 5000, '["a", "b"]', "\x1b[31m"])
def test_an_invalid_chain_variable_is_ignored(sandbox, garbage: str) -> None:
    sandbox.get("developer", CREDHELPER_CHAIN=garbage)


def test_an_error_of_a_nested_credhelper_is_the_outer_one_s(sandbox, sts) -> None:
    sandbox.configure(profile("a", "x"))
    sandbox.aws_config(out(sandbox, "x", "nobody"))
    stderr = sandbox.refuses(2, "get", "a")
    assert "no profile 'nobody' in" in stderr
    assert sts.count() == 0
