"""Imports of a plan and of a hit in the keyring."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox import Sandbox


def test_a_key_is_known_without_botocore_boto3_or_keyring() -> None:
    program = (
        "import sys, credhelper.sessions.calls\n"
        "print(sorted({'botocore', 'boto3', 'keyring'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_keyring_hit_imports_nothing_that_only_a_mint_needs(sandbox: Sandbox, secret_service) -> None:
    sandbox.get("developer")
    script = (
        "import sys; from credhelper.cli import main as cli; "
        "status = cli.main(['get', 'developer']); "
        "sys.stderr.write(' '.join({name.split('.')[0] for name in sys.modules})); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=sandbox.environ, capture_output=True, text=True, check=True
    )

    assert not {"boto3", "botocore", "filelock", "glob", "gzip", "rich", "urllib3"} & set(done.stderr.split())
