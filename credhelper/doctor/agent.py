"""The agent: whether it can be there, is, answers, and is of this version."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from credhelper import wire
from credhelper.agent import admin
from credhelper.app import agent_directory
from credhelper.doctor.findings import fine, note, problem
from credhelper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credhelper.app import App
    from credhelper.doctor.findings import Finding
    from credhelper.doctor.runner import Visit

RESTART: Final = "run 'credhelper agent stop': the next caller starts the new one"


def state(visit: Visit) -> Iterator[Finding]:
    """Running or about to; off, nowhere to be, silent, or of another version."""
    if why := switched_off(visit.app):
        sentence = f"{why}: a cached answer takes longer, and nothing is minted ahead of need"
        yield note("agent", sentence, 'leave it to mode = "auto" in [agent], where nothing speaks against it')
        return
    directory = agent_directory(visit.app.environ)
    if directory is None:
        yield problem(
            "agent",
            "there is no place for the agent's socket: no runtime directory of ours that is closed to others",
            "let XDG_RUNTIME_DIR name a directory of yours with mode 700",
        )
        return
    found = admin.AgentAdmin(directory).status()
    if found is None:
        yield fine("agent", "not running; the next caller that needs it starts it")
    else:
        yield fine("agent", f"running, process {found[0]}, sessions: {len(found[1])}")
        yield from _age(directory, found[0])
    yield from _others(directory)


def switched_off(app: App) -> str:
    """Why there is to be no agent; empty where there may be one."""
    if sys.platform == "win32":
        return wire.NOT_HERE
    if chosen := app.environ.get("CREDHELPER_AGENT"):
        return "CREDHELPER_AGENT switches the agent off" if chosen == "off" else ""
    try:
        mode = app.config.option("agent", "mode")
    except ConfigError:
        return ""
    return "'mode' in [agent] switches the agent off" if mode == "off" else ""


def _age(directory: str, pid: int) -> Iterator[Finding]:
    """Whether it runs the program that is installed now."""
    ours = os.path.join(os.path.dirname(os.path.abspath(wire.__file__)), "__main__.py")
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = os.fsdecode(file.read(8192)).split("\0")
        began = os.stat(os.path.join(directory, wire.LOCK)).st_mtime  # it writes its process id into it
        installed = os.stat(wire.__file__).st_ctime
    except OSError:  # it has just left, or this system does not tell
        return
    theirs = next((word for word in words if word.endswith("__main__.py")), ours)
    if os.path.realpath(theirs) != os.path.realpath(ours):
        yield note("agent", f"it was started by another installation of credhelper: '{theirs}'", RESTART)
    elif installed > began:
        yield note("agent", "it is older than the program, which was upgraded since", RESTART)


def _others(directory: str) -> Iterator[Finding]:
    """Agents that speak another version of the wire live beside ours."""
    for name in sorted(os.listdir(directory)):
        if name.startswith("agent-") and name.endswith(".sock") and name != wire.SOCKET:
            path = os.path.join(directory, name)
            yield note(
                "agent",
                f"an agent of another version of credhelper is there, too, or was: '{path}'",
                "where that version is no longer installed, end its agent and remove the socket",
            )
