"""What planning the STS calls of a profile loads."""

from __future__ import annotations

import subprocess
import sys


def test_a_key_is_known_without_botocore_boto3_or_keyring() -> None:
    program = (
        "import sys, credhelper.sessions.calls\n"
        "print(sorted({'botocore', 'boto3', 'keyring'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
