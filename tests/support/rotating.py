"""`key rotate NAME`, killed with SIGKILL after one of its steps: `python rotating.py NAME`.

A step is a change of the keyring or of the index, or a call to AWS: between two of them there is nothing that
a crash could leave half done. The number of the step after which to die is read from stdin, a line each run;
what was done, and how it ended, is one line of JSON. Step 0 kills no run.
"""

from __future__ import annotations

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


def arm(owner: Any, verb: str, spell: Any, taken: Any) -> None:
    """Report each call of a method once it is done."""
    original = getattr(owner, verb)

    @wraps(original)
    def reported(self: Any, *args: Any, **kwargs: Any) -> Any:
        answer = original(self, *args, **kwargs)
        taken(f"{verb} {spell(args[-1] if owner is not Services else args[2])}".rstrip())
        return answer

    setattr(owner, verb, reported)


def rotate(name: str, step: int, report: int) -> int:
    """Run the program, and die after that step."""
    count = 0

    def taken(what: str) -> None:
        nonlocal count
        count += 1
        os.write(report, f"{what}\n".encode())
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def item(service: str) -> str:
        return service.removeprefix(f"credhelper key:{name}")

    arm(Services, "ask", str, taken)
    arm(Index, "add", lambda entry: type(entry).__name__, taken)
    arm(Index, "remove", lambda gone: " ".join(type(each).__name__ for each in gone), taken)
    arm(OsKeyring, "delete", item, taken)
    original = OsKeyring.set

    def put(self: OsKeyring, service: str, text: str) -> None:
        original(self, service, text)
        taken(f"set {item(service)}".rstrip())

    OsKeyring.set = put  # type: ignore[method-assign]
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
