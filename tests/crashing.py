"""credhelper, killed with SIGKILL before or after a step: `python crashing.py WHEN STEP ARGUMENTS`."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from functools import wraps
from typing import Any

STEPS = (
    "credhelper.locks:Locks._take",
    "credhelper.aws:Aws.source_keys",
    "credhelper.aws:Aws.mint",
    "credhelper.audit:Audit.prepare",
    "credhelper.audit:Audit.write",
    "credhelper.locks:Locks.forget",
    "credhelper.index:Index.add",
    "credhelper.keyrings:OsKeyring.set",
    "credhelper.store:Store.put",
    "credhelper.store:Store.sweep",
    "credhelper.paths:append_line",
    "credhelper.verbs.get:emit",
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
    from credhelper import cli

    sys.exit(cli.main(arguments))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
