"""credhelper, killed with SIGKILL before or after a step: `python crashing.py WHEN STEP ARGUMENTS`."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from functools import wraps
from typing import Any

STEPS = (
    "credhelper.cache.locks:FileLocks._take",
    "credhelper.aws.sts:Sts.source_key",
    "credhelper.aws.sts:Sts.mint",
    "credhelper.audit:Audit.prepare",
    "credhelper.audit:Audit.write",
    "credhelper.cache.locks:StateFiles.forget",
    "credhelper.cache.index:Index.add",
    "credhelper.cache.keyring:OsKeyring.set",
    "credhelper.cache.store:Store.put",
    "credhelper.cache.store:Store.sweep",
    "credhelper.paths:append_line",
    "credhelper.cli.get:emit",
)


def main(when: str, step: str, arguments: list[str]) -> None:
    """Arm the step, then run the program."""
    module, _, path = step.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)

    @wraps(original)
    def dies(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        original(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, dies)
    from credhelper.cli import main as cli_main

    sys.exit(cli_main.main(arguments))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
