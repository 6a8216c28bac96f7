"""Secrets are only in the keyring, in memory and in the answer: a marker in each is found nowhere else."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING

import sts_faults as faults
from sandbox import AWS_CONFIG, PROFILES, PROGRAM
from secrets_scan import find_secret

if TYPE_CHECKING:
    from sandbox import Sandbox
    from sts import LoopbackSts

CHAIN = """
[profiles.auditor]
role_arn = "arn:aws:iam::333344445555:role/Auditor"
source_profile = "developer"
"""

BOTO3 = "import boto3; boto3.Session(profile_name='auditor').client('sts').get_caller_identity()"


def _places(sandbox: Sandbox) -> list[str]:
    return [str(sandbox.home), "/tmp", "/var/tmp", "/dev/shm"]


def test_a_secret_is_nowhere_else(sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
    sts.secret_marker, began = f"MARKER{uuid.uuid4().hex}", time.time() - 1
    sandbox.configure(PROFILES + CHAIN)
    line = f"\n[profile auditor]\ncredential_process = {PROGRAM} get auditor\nregion = eu-west-1\n"
    sandbox.aws_config(AWS_CONFIG + line)
    sandbox.environ["CREDHELPER_LOG"] = "debug"
    sts.script.append(faults.slow(1))
    callers = [sandbox.start("get", name) for name in ("unlock-bucket", "auditor") for _ in range(20)]
    while any(caller.poll() is None for caller in callers):
        assert find_secret([sandbox.state, sandbox.home / "run"], sts.secret_marker) == []
        time.sleep(0.2)
    for caller in callers:
        assert sts.secret_marker in sandbox.finish(caller).envelope["SecretAccessKey"]
    subprocess.run([sys.executable, "-c", BOTO3], env=sandbox.environ, check=True)
    sts.token_size = 200_000
    sandbox.get("developer", "--refresh")
    secret_service.signal(signal.SIGSTOP)
    sandbox.get("developer", "--refresh")
    secret_service.signal(signal.SIGCONT)
    sandbox.get("auditor", "--refresh")
    for mode, status in (
        (faults.CUT_XML, 6),
        (faults.MISSING_FIELDS, 6),
        (faults.refuse("AccessDenied", "no"), 4),
    ):
        sts.mode = mode
        assert sts.secret_marker not in sandbox.refuses(status, "get", "audit-root@111122223333")
    for verb in (["log"], ["log", "--json"], ["log", "--csv"], ["clear", "--all"]):
        assert sts.secret_marker.encode() not in sandbox.run(*verb).stdout

    assert find_secret(_places(sandbox), sts.secret_marker, began) == []
    sandbox.check_modes()


def test_without_a_keyring_a_secret_is_in_no_file(sandbox: Sandbox, sts: LoopbackSts) -> None:
    sts.secret_marker, began = f"MARKER{uuid.uuid4().hex}", time.time() - 1
    sandbox.get("developer", CREDHELPER_LOG="debug")

    assert find_secret(_places(sandbox), sts.secret_marker, began) == []
