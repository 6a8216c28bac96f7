"""`make demo`: what credhelper does, on a machine without an AWS account or a desktop.

Everything happens in a temporary home. STS is a loopback server that checks signatures and parameters as AWS
does; boto3, the AWS CLI, credhelper and the keyring protocol are real.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lent_keyring
import sts as loopback
import sts_faults as faults
from sandbox import AWS_CONFIG as SOURCE_PROFILE
from sandbox import HAS_SECRET_SERVICE, PROGRAM, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = """\
[accounts]
payments-prod = "111122223333"

[defaults]
source_profile = "org-admin"             # a profile of ~/.aws/config: the source credentials
region = "eu-west-1"

[profiles.unlock-bucket]                 # AssumeRoot: it has a task policy
target_principal = "payments-prod"
task_policy_arn = "S3UnlockBucketPolicy"

[profiles.developer]                     # AssumeRole: it has a role
role_arn = "arn:aws:iam::222233334444:role/Developer"

[profiles.auditor]
role_arn = "arn:aws:iam::222233334444:role/Auditor"

[profiles.stranger]                      # a role that does not trust this user
role_arn = "arn:aws:iam::555566667777:role/Stranger"
"""

AWS_CONFIG = f"{SOURCE_PROFILE}endpoint_url = ENDPOINT\n" + "".join(
    f"\n[profile {name}]\ncredential_process = credhelper get {name}\n"
    "region = eu-west-1\nendpoint_url = ENDPOINT\n"
    for name in ("unlock-bucket", "developer", "stranger")
)

HERD = 40

BOTO3 = """\
import boto3
print(boto3.Session(profile_name="{profile}").client("sts").get_caller_identity()["Arn"])
"""


class Story:
    """Explains each step, runs it, and checks the result."""

    def __init__(self, sandbox: Sandbox, sts: loopback.LoopbackSts) -> None:
        self._sandbox, self._sts = sandbox, sts
        self._steps = self.failures = 0

    def step(self, title: str, text: str) -> None:
        self._steps += 1
        bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
        print(f"\n{bold}{self._steps}. {title}{plain}")
        self.show(textwrap.fill(" ".join(text.split()), 96), "   ")

    def show(self, text: str, indent: str = "      ") -> None:
        print(textwrap.indent(text.rstrip(), indent))

    def check(self, condition: bool, problem: str) -> None:
        if not condition:
            self.failures += 1
            self.show(f"!! unexpected: {problem}")

    def run(self, shown: str, command: list[str], *, fails: bool = False) -> str:
        """Run a command; returns its output, or the error of botocore if the command is to fail."""
        print(f"\n    $ {shown}")
        pipes: Any = {"capture_output": True, "text": True, "timeout": 60}
        done = subprocess.run(command, env=self._sandbox.environ, check=False, **pipes)
        self.check((done.returncode != 0) is fails, f"'{shown}' ended with {done.returncode}: {done.stderr}")
        error = done.stderr[done.stderr.rfind("\nbotocore.exceptions.") + 1 :]
        output = "\n".join(textwrap.fill(line, 96) for line in error.splitlines()) if fails else done.stdout
        self.show(output)
        return error if fails else output.strip()

    def credhelper(self, *arguments: str) -> None:
        self.run(f"credhelper {' '.join(arguments)}", [PROGRAM, *arguments])

    def boto3(self, profile: str, *, fails: bool = False) -> str:
        program = BOTO3.format(profile=profile)
        return self.run(f"python program.py {profile}", [sys.executable, "-c", program], fails=fails)

    def aws_cli(self, profile: str) -> None:
        if (aws := shutil.which("aws")) is None:
            self.boto3(profile)
            return
        words = ["sts", "get-caller-identity", "--profile", profile, "--query", "Arn", "--output", "text"]
        # Old versions of the AWS CLI do not read endpoint_url from the profile.
        self.run(f"aws {' '.join(words)}", [aws, *words, "--endpoint-url", self._sts.url])

    def herd(self, name: str) -> None:
        """Start many callers at once."""
        print(f"\n    $ for i in $(seq {HERD}); do credhelper get {name} & done | sort | uniq -c")
        started = [self._sandbox.start("get", name) for _ in range(HERD)]
        answers = {process.communicate(timeout=60)[0] for process in started}
        self.check(len(answers) == 1, f"{len(answers)} different answers")
        self.show(f"{HERD} {answers.pop()[:60].decode()}...")

    def counted(self, roots: int, roles: int) -> None:
        """Print and check the calls to STS so far."""
        counts = {action: self._sts.count(action) for action in ("AssumeRoot", "AssumeRole")}
        self.show("-> calls to STS so far: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
        self.check([*counts.values()] == [roots, roles], f"expected {roots} and {roles} calls")


def main() -> int:
    """Run the demonstration; returns 1 if a step had an unexpected result."""
    with tempfile.TemporaryDirectory(prefix="credhelper-demo-") as place, loopback.LoopbackSts() as sts:
        sandbox = Sandbox(Path(place) / "home")
        sandbox.configure(CONFIG)
        sandbox.aws_config(AWS_CONFIG.replace("ENDPOINT", sts.url))
        with _keyring(sandbox) as keyring, sandbox.use_agent():
            story = Story(sandbox, sts)
            _tell(story, sts, keyring)
    print("\nThe temporary home is removed. Next: README.md, 'Configure'.")
    return min(story.failures, 1)


@contextlib.contextmanager
def _keyring(sandbox: Sandbox) -> Iterator[str]:
    """A Secret Service for this home, or a keyring in the memory of this process."""
    if HAS_SECRET_SERVICE:
        with sandbox.secret_service():
            yield "gnome-keyring, a Secret Service started for this home"
        return
    with lent_keyring.lend(str(sandbox.home / "keyring.sock")) as environ:
        sandbox.environ.update(environ)
        yield "a substitute in the memory of this program (gnome-keyring is not installed)"


def _tell(story: Story, sts: loopback.LoopbackSts, keyring: str) -> None:
    print("credhelper: AssumeRoot and AssumeRole as profiles for every AWS SDK.")
    story.step(
        "The configuration",
        f"""~/.config/credhelper/config.toml defines the sessions. The home is temporary, STS is a loopback
        server, and the OS keyring is {keyring}.""",
    )
    story.show(CONFIG)
    story.step(
        "One line for the SDKs",
        "~/.aws/config makes every SDK and the AWS CLI run credhelper when they need credentials.",
    )
    story.show("[profile unlock-bucket]\ncredential_process = credhelper get unlock-bucket")
    story.step(
        "A boto3 program as the root user of a member account",
        """The first call mints an AssumeRoot session: it allows one task, here unlocking a bucket policy, for
        at most 15 minutes.""",
    )
    arn = story.boto3("unlock-bucket")
    story.check(arn.endswith("111122223333:root"), arn)
    story.counted(1, 0)
    story.step(
        "The same program again",
        "The session comes from the agent, which the first call has started. It is also in the OS keyring.",
    )
    story.boto3("unlock-bucket")
    story.counted(1, 0)
    story.step("A role", "AssumeRole works in the same way, and so does every other client.")
    story.aws_cli("developer")
    story.counted(1, 1)
    story.step(f"{HERD} programs at once", "One of them mints a session, and the others wait for it.")
    story.herd("auditor")
    story.counted(1, 2)
    story.credhelper("agent", "status")
    story.step(
        "A failure in an SDK",
        "SDKs show the stderr of a credential process as their own error: what failed, and what to do.",
    )
    refusal = (
        "User: arn:aws:iam::999988887777:user/me is not authorized to perform: sts:AssumeRole on resource: "
    )
    sts.mode = faults.refuse("AccessDenied", f"{refusal}arn:aws:iam::555566667777:role/Stranger")
    error = story.boto3("stranger", fails=True)
    story.check("credhelper: error: not allowed: sts:AssumeRole" in error, error)
    story.step(
        "The audit log", "It has every session minted or refused, with the key ID that CloudTrail shows."
    )
    story.credhelper("log")
    story.step("Clear the cache", "This removes sessions from this machine; AWS cannot revoke them.")
    story.credhelper("clear", "--all")


if __name__ == "__main__":
    sys.exit(main())
