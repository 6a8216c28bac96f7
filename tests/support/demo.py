"""`make demo`: the main job on a machine without an AWS account or a desktop, told step by step.

Everything happens in a temporary home that is removed at the end. STS is a loopback server that checks
signatures and parameters as AWS does; boto3, the AWS CLI, credhelper and the keyring protocol are real.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import lent_keyring
import sts as loopback
import sts_faults as faults
from sandbox import HAS_SECRET_SERVICE, PROGRAM, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = """\
[accounts]
payments-prod = "111122223333"

[defaults]
source_profile = "org-admin"             # a profile of ~/.aws/config: whose credentials ask
region = "eu-west-1"

[profiles.unlock-bucket]                 # AssumeRoot: it has a root task
target_principal = "payments-prod"
task_policy_arn = "S3UnlockBucketPolicy"

[profiles.developer]                     # AssumeRole: it has a role
role_arn = "arn:aws:iam::222233334444:role/Developer"

[profiles.auditor]
role_arn = "arn:aws:iam::222233334444:role/Auditor"

[profiles.stranger]                      # a role that does not trust us
role_arn = "arn:aws:iam::555566667777:role/Stranger"
"""

HERD = 40

BOTO3 = """\
import boto3
print(boto3.Session(profile_name="{profile}").client("sts").get_caller_identity()["Arn"])
"""


class Story:
    """Says what happens, and lets it happen."""

    def __init__(self, sandbox: Sandbox, sts: loopback.LoopbackSts) -> None:
        self._sandbox = sandbox
        self._sts = sts
        self._step = 0
        self.as_told = True

    def step(self, title: str, text: str = "") -> None:
        self._step += 1
        print(f"\n\033[1m{self._step}. {title}\033[0m" if sys.stdout.isatty() else f"\n{self._step}. {title}")
        if text:
            print(textwrap.fill(" ".join(text.split()), 96, initial_indent="   ", subsequent_indent="   "))

    def show(self, text: str) -> None:
        print(textwrap.indent(text.rstrip(), "      "))

    def run(self, shown: str, command: list[str], *, fails: bool = False) -> str:
        """Run a command as a person would; returns what it printed."""
        print(f"\n    $ {shown}")
        done = subprocess.run(
            command, env=self._sandbox.environ, capture_output=True, text=True, timeout=60, check=False
        )
        said = done.stderr[done.stderr.rfind("\nbotocore.exceptions.") + 1 :] if fails else done.stdout
        self.show(
            said
            if not fails
            else "\n".join(line for part in said.splitlines() for line in textwrap.wrap(part, 96))
        )
        self.check((done.returncode != 0) is fails, f"'{shown}' ended with {done.returncode}: {done.stderr}")
        return said.strip()

    def boto3(self, profile: str, *, fails: bool = False) -> str:
        program = BOTO3.format(profile=profile)
        return self.run(f"python program.py {profile}", [sys.executable, "-c", program], fails=fails)

    def herd(self, name: str) -> None:
        """Ask many times at once."""
        print(f"\n    $ for i in $(seq {HERD}); do credhelper get {name} & done | sort | uniq -c")
        started = [self._sandbox.start("get", name) for _ in range(HERD)]
        answers = {process.communicate(timeout=60)[0] for process in started}
        self.check(len(answers) == 1, f"{len(answers)} different answers")
        self.show(f"{HERD} {answers.pop()[:60].decode()}...")

    def counted(self, expected: dict[str, int]) -> None:
        """Say how many calls STS has had, and check that it is what was told."""
        counts = {action: self._sts.count(action) for action in ("AssumeRoot", "AssumeRole")}
        print(
            "      -> STS has been asked: " + ", ".join(f"{name} {count}x" for name, count in counts.items())
        )
        self.check(counts == expected, f"STS was asked {counts}, expected {expected}")

    def check(self, condition: bool, complaint: str) -> None:
        if not condition:
            self.as_told = False
            print(f"      !! not as told: {complaint}")


def main() -> int:
    """Tell the story; returns 1 where something did not happen as told."""
    with tempfile.TemporaryDirectory(prefix="credhelper-demo-") as place, loopback.LoopbackSts() as sts:
        sandbox = Sandbox(Path(place) / "home")
        sandbox.configure(CONFIG)
        sandbox.aws_config(_aws_config(sts.url))
        with _keyring(sandbox) as keyring, sandbox.use_agent():
            story = Story(sandbox, sts)
            _tell(story, sts, keyring)
    print("\nEverything above happened in a temporary home, which is gone now. Next: README.md, 'Configure'.")
    return 0 if story.as_told else 1


def _aws_config(endpoint: str) -> str:
    processes = "".join(
        f"\n[profile {name}]\ncredential_process = credhelper get {name}\n"
        f"region = eu-west-1\nendpoint_url = {endpoint}\n"
        for name in ("unlock-bucket", "developer", "stranger")
    )
    return (
        "[profile org-admin]\n"
        f"aws_access_key_id = {loopback.SOURCE_KEY_ID}\n"
        f"aws_secret_access_key = {loopback.SOURCE_SECRET}\n"
        f"endpoint_url = {endpoint}\n{processes}"
    )


@contextlib.contextmanager
def _keyring(sandbox: Sandbox) -> Iterator[str]:
    """The machine's own Secret Service started for this home, or a keyring lent by this process."""
    if HAS_SECRET_SERVICE:
        with sandbox.secret_service():
            yield "gnome-keyring, a Secret Service started for this home"
        return
    with lent_keyring.lend(str(sandbox.home / "keyring.sock")) as environ:
        sandbox.environ.update(environ)
        yield "one that this demonstration lends from its memory (there is no gnome-keyring here)"


def _tell(story: Story, sts: loopback.LoopbackSts, keyring: str) -> None:
    print("credhelper: AssumeRoot and AssumeRole as profiles that every AWS SDK can use.")
    story.step(
        "The configuration",
        f"""~/.config/credhelper/config.toml names the sessions. The home is temporary, STS is a loopback
        server, and the OS keyring is {keyring}.""",
    )
    story.show(CONFIG)
    story.step(
        "One line for the SDKs",
        "~/.aws/config tells every SDK and the AWS CLI to run credhelper when they need credentials.",
    )
    story.show("[profile unlock-bucket]\ncredential_process = credhelper get unlock-bucket")
    story.step(
        "A boto3 program as the root user of a member account",
        """The first call mints: credhelper asks STS for an AssumeRoot session that can do one task, here
        unlocking a bucket policy, for at most 15 minutes.""",
    )
    said = story.boto3("unlock-bucket")
    story.check(said.endswith("111122223333:root"), said)
    story.counted({"AssumeRoot": 1, "AssumeRole": 0})
    story.step(
        "The same program again",
        """A new process, and the session comes from a small agent that the first call has started. It is in
        the OS keyring, too: STS is not asked.""",
    )
    story.boto3("unlock-bucket")
    story.counted({"AssumeRoot": 1, "AssumeRole": 0})
    story.step("A role beside it", "AssumeRole works the same way, and so does any other client.")
    _role(story, sts)
    story.counted({"AssumeRoot": 1, "AssumeRole": 1})
    story.step(
        f"{HERD} programs at once",
        "terraform and make start dozens. One of them mints, and the others wait for what it gets.",
    )
    story.herd("auditor")
    story.counted({"AssumeRoot": 1, "AssumeRole": 2})
    story.run("credhelper agent status", [PROGRAM, "agent", "status"])
    story.step(
        "A failure, as its user sees it",
        """SDKs show what a credential process says as their whole error. So it says what is wrong,
        and what to do.""",
    )
    sts.mode = faults.refuse(
        "AccessDenied",
        "User: arn:aws:iam::999988887777:user/me is not authorized to perform: sts:AssumeRole on resource: "
        "arn:aws:iam::555566667777:role/Stranger",
    )
    said = story.boto3("stranger", fails=True)
    story.check("credhelper: error: not allowed: sts:AssumeRole" in said, said)
    story.step(
        "The record", "Every session minted or refused is on record, with the key id that CloudTrail shows."
    )
    story.run("credhelper log", [PROGRAM, "log"])
    story.step("Forget it", "Cached sessions can be forgotten here; AWS itself cannot revoke them.")
    story.run("credhelper clear --all", [PROGRAM, "clear", "--all"])


def _role(story: Story, sts: loopback.LoopbackSts) -> None:
    aws = shutil.which("aws")
    if aws is None:
        story.boto3("developer")
        return
    ask = ["sts", "get-caller-identity", "--profile", "developer", "--query", "Arn", "--output", "text"]
    # Old versions of the AWS CLI do not read endpoint_url from the profile.
    story.run(f"aws {' '.join(ask)}", [aws, *ask, "--endpoint-url", sts.url])


if __name__ == "__main__":
    sys.exit(main())
