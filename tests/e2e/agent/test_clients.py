"""Real clients whose credential process starts the agent: none of them waits for the end of the agent.

Each reads to the end of a pipe, which comes when all processes that inherited the pipe have closed it.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import requirements
from sandbox import AWS_CONFIG, PROGRAM, agents_in, is_alive

if TYPE_CHECKING:
    from sandbox import Sandbox
    from sts import LoopbackSts

SECONDS = 60
"""Far less than the agent stays."""

BOTO3 = """\
import boto3
print(boto3.Session(profile_name="developer").client("sts").get_caller_identity()["Arn"])
"""

NODE = f"""\
require("child_process").exec("{PROGRAM} get developer", (error, stdout, stderr) => {{
  if (error || stderr) throw new Error(stderr);
  console.log(JSON.parse(stdout).AccountId);
}});
"""

AWS_CLI_V1 = str(Path(__file__).parents[3] / ".venv-awscli/bin/aws")
AWS_CLI_V2 = "/usr/bin/aws"
CALLER_IDENTITY = ("sts", "get-caller-identity", "--profile", "developer", "--output", "text")

CLIENTS = {
    "boto3": (sys.executable, "-c", BOTO3),
    "AWS CLI v1": (AWS_CLI_V1, *CALLER_IDENTITY),
    "AWS CLI v2": (AWS_CLI_V2, *CALLER_IDENTITY),
    "Node": ("/usr/bin/node", "-e", NODE),
    "shell": ("/bin/sh", "-c", f"answer=$({PROGRAM} get developer 2>&1); echo $answer"),
}


@pytest.fixture(name="aws")
def _aws(sandbox: Sandbox):
    """A sandbox with a profile for the SDKs, without an agent yet."""
    profile = f"[profile developer]\ncredential_process = {PROGRAM} get developer\nregion = eu-west-1\n"
    sandbox.aws_config(f"{AWS_CONFIG}\n{profile}")
    with sandbox.use_agent():
        yield sandbox


def run(sandbox: Sandbox, command: tuple[str, ...], **options) -> str:
    """The output of a command, read until all processes have closed it."""
    requirements.program(command[0])
    done = subprocess.run(
        command, env=sandbox.environ, capture_output=True, text=True, timeout=SECONDS, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_that_starts_the_agent_ends_before_it(aws: Sandbox, sts: LoopbackSts, name: str) -> None:
    for _ in range(2):
        endpoint = ("--endpoint-url", sts.url) if name.startswith("AWS CLI") else ()
        assert "222233334444" in run(aws, (*CLIENTS[name], *endpoint))

    assert sts.count() == 1
    (agent,) = agents_in(aws.runtime)
    assert is_alive(agent)


def test_an_inherited_pipe_ends_with_the_caller(aws: Sandbox) -> None:
    reader, writer = os.pipe()
    run(aws, (PROGRAM, "get", "developer"), pass_fds=[writer])
    os.close(writer)
    with open(reader, "rb") as pipe:
        os.set_blocking(reader, False)

        assert pipe.read() == b""  # the end, not: nothing yet

    assert len(agents_in(aws.runtime)) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has access to the agent")
def test_the_agent_has_only_descriptors_of_its_own(aws: Sandbox, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    ours = {os.fstat(number).st_ino for number in (reader, writer)}
    with (tmp_path / "inherited").open("w") as file:
        run(aws, (PROGRAM, "get", "developer"), pass_fds=[reader, writer, file.fileno()])
    (agent,) = agents_in(aws.runtime)
    found = list(Path(f"/proc/{agent}/fd").iterdir())
    files = {str(path.readlink()) for path in found if stat.S_ISREG(path.stat().st_mode)}
    pipes = [path.stat().st_ino for path in found if stat.S_ISFIFO(path.stat().st_mode)]
    for number in (reader, writer):
        os.close(number)

    assert {path.name for path in found if str(path.readlink()) == os.devnull} == {"0", "1", "2"}
    assert files == {str(aws.runtime / "agent-1.lock")}
    assert len(pipes) == 2
    assert len(set(pipes) - ours) == 1
    others = [path for path in found if int(path.name) > 2 and path.readlink().name.startswith("/dev")]
    assert others == []
    assert Path(f"/proc/{agent}/cwd").readlink() == Path("/")
