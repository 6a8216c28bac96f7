"""`key rotate NAME`, killed with SIGKILL after one of its steps: `python rotating.py NAME`.

A step is a change of the keyring or of the index, or a call to AWS: between two of them there is nothing that
a crash could leave half done. The number of the step after which to die is read from stdin, a line each run;
what was done, and how it ended, is one line of JSON. Step 0 kills no run.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from functools import wraps
from typing import Any

import keyring.backends.SecretService  # noqa: F401 - each run begins where everything is imported

from credhelper.aws.services import Services
from credhelper.cache.index import Index
from credhelper.cache.keyring import OsKeyring
from credhelper.cli import key as cli_key  # noqa: F401 - the same
from credhelper.cli import main as cli_main

STEPS = (
    "ask ListAccessKeys",
    "add Rotation",
    "ask CreateAccessKey",
    "set :next",
    "ask GetCallerIdentity",
    "set",
    "add SavedKey",
    "ask UpdateAccessKey",
    "ask DeleteAccessKey",
    "delete :next",
    "remove Rotation",
)
"""What a rotation does, in order."""


def rotate(name: str, step: int, report: int) -> int:
    """Run the program, report each step once it is done, and die after that one."""
    numbers = itertools.count(1)

    def arm(owner: Any, verb: str, spell: Any) -> None:
        original = getattr(owner, verb)

        @wraps(original)
        def reported(self: Any, *args: Any, **kwargs: Any) -> Any:
            answer = original(self, *args, **kwargs)
            os.write(report, f"{verb} {spell(*args)}".rstrip().encode() + b"\n")
            if next(numbers) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        setattr(owner, verb, reported)

    def item(service: str, *_: object) -> str:
        return service.removeprefix(f"credhelper key:{name}")

    arm(Services, "ask", lambda *args: args[2])
    arm(Index, "add", lambda entry: type(entry).__name__)
    arm(Index, "remove", lambda gone: " ".join(type(each).__name__ for each in gone))
    arm(OsKeyring, "set", item)
    arm(OsKeyring, "delete", item)
    return cli_main.main(["key", "rotate", name, "--wait", "10"])


def main(name: str) -> None:
    """A run in a child for each line of stdin."""
    for line in sys.stdin:
        outlet, inlet = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            os._exit(rotate(name, int(line), inlet))
        os.close(inlet)
        with open(outlet, encoding="ascii") as report:
            steps = report.read().splitlines()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(json.dumps({"steps": steps, "status": status}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
