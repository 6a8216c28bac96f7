"""`agent`: run, start, stop or show the process that remembers sessions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NoReturn

import click

from credhelper.agent import client
from credhelper.app import agent_directory
from credhelper.cli.context import agent_admin, open_app
from credhelper.cli.options import json_flag
from credhelper.cli.output import emit, emit_json
from credhelper.errors import ConfigError, CredhelperError, printable

if TYPE_CHECKING:
    from credhelper.app import App

NO_DIRECTORY: Final = "there is no place for the agent's socket: no private runtime directory of this user"


@click.group("agent")
def agent() -> None:
    """The agent: a process that remembers sessions, so that a cached answer takes milliseconds.

    The agent starts on demand and exits when it has had no sessions for a while ([agent] idle_exit); you do
    not have to start or stop it. [agent] mode = "off" or CREDHELPER_AGENT=off turns it off.

    \b
    Examples:
      credhelper agent status
      credhelper agent stop
    """


@agent.command("run")
def agent_run() -> None:
    """Run the agent in the foreground, for systemd and other supervisors.

    \b
    Examples:
      systemctl --user enable --now credhelper-agent.socket
      credhelper agent run
    """
    _run(open_app())


@agent.command("start")
def agent_start() -> None:
    """Start the agent in the background, unless it is running.

    \b
    Examples:
      credhelper agent start
    """
    app = open_app()
    directory = agent_directory(app.environ)
    running = agent_admin(app)
    if found := running.status():
        emit(f"running already, process {found[0]}\n".encode())
        return
    client.AgentClient(directory, app.caller.log, idle_seconds=app.idle_seconds).start()
    found = running.status()
    if found is None:
        raise CredhelperError("the agent did not start" if directory else NO_DIRECTORY)
    emit(f"started, process {found[0]}\n".encode())


@agent.command("stop")
def agent_stop() -> None:
    """Stop the agent; sessions that only it remembers are lost, and minted again on demand.

    \b
    Examples:
      credhelper agent stop
    """
    stopped = agent_admin(open_app()).stop()
    emit(b"stopped\n" if stopped else b"no agent is running\n")


@agent.command("status")
@json_flag
def agent_status(*, as_json: bool) -> None:
    """Show the sessions that the agent remembers, and how long they last. Never a secret.

    \b
    Examples:
      credhelper agent status
      credhelper agent status --json | jq .sessions
    """
    pid, sessions = agent_admin(open_app()).status() or (None, [])
    if as_json:
        listed = [{"profile": each.profile, "seconds_left": int(each.seconds)} for each in sessions]
        emit_json({"running": pid is not None, "pid": pid, "sessions": listed})
    elif pid is None:
        emit(b"no agent is running; the next caller that needs one starts it\n")
    else:
        lines = [f"{each.seconds:7.0f} s left  {printable(each.profile)}" for each in sessions]
        emit("".join(f"{line}\n" for line in (f"running, process {pid}", *lines)).encode())


def _run(app: App) -> NoReturn:
    """Replace this process by the agent, with the socket that a supervisor may have passed."""
    directory = agent_directory(app.environ)
    if directory is None:
        raise CredhelperError(NO_DIRECTORY)
    sockets = app.environ.get("LISTEN_FDS", "0")
    passed = app.environ.get("LISTEN_PID") == str(os.getpid()) and sockets != "0"
    if passed and sockets != "1":
        raise ConfigError(f"the agent listens at one socket, and was handed over {sockets}")
    command = client.command(directory, app.idle_seconds, *(["3"] if passed else []))  # SD_LISTEN_FDS_START
    os.execve(command[0], command, {})  # noqa: S606 - no shell
