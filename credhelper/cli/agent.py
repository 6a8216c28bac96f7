"""`agent`: the process that remembers sessions, for those who want to start, stop or see it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NoReturn

import click

from credhelper.agent import admin, client
from credhelper.app import agent_directory
from credhelper.cli import log_run
from credhelper.cli.context import open_app
from credhelper.cli.options import help_option
from credhelper.cli.output import emit
from credhelper.errors import ConfigError, CredhelperError

if TYPE_CHECKING:
    from credhelper.app import App

NO_PLACE: Final = (
    "there is no place for the agent's socket: no runtime directory of ours that is closed to others"
)


@click.group("agent")
@help_option
def agent() -> None:
    """The process that remembers sessions, so that an answer costs no more than starting an interpreter.

    It comes with the first caller that needs it and leaves when it has had nothing to remember for a while
    ([agent] idle_exit); nobody has to start or stop it. [agent] mode = "off" or CREDHELPER_AGENT=off does
    without it.

    \b
    Examples:
      credhelper agent status
      credhelper agent stop
    """


@agent.command("run")
@help_option
def agent_run() -> None:
    """Be the agent, in the foreground: for systemd and other supervisors.

    \b
    Examples:
      systemctl --user enable --now credhelper-agent.socket
      credhelper agent run
    """
    _become(open_app())


@agent.command("start")
@help_option
def agent_start() -> None:
    """Start the agent in the background, where none runs.

    \b
    Examples:
      credhelper agent start
    """
    emit(_start(open_app()).encode())


@agent.command("stop")
@help_option
def agent_stop() -> None:
    """End the agent; what only it remembers is minted anew when it is needed.

    \b
    Examples:
      credhelper agent stop
    """
    emit(_stop(open_app()).encode())


@agent.command("status")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: running, pid, sessions.")
@help_option
def agent_status(*, as_json: bool) -> None:
    """Show what the agent remembers: profiles, and how long their sessions last. Never a secret.

    \b
    Examples:
      credhelper agent status
      credhelper agent status --json | jq .sessions
    """
    app = open_app()
    found = admin.AgentAdmin(agent_directory(app.environ)).status()
    emit(log_run.agent(found, as_json=as_json).encode())


def _become(app: App) -> NoReturn:
    """Become the agent, with the socket that a supervisor has handed over where there is one."""
    directory = agent_directory(app.environ)
    if directory is None:
        raise CredhelperError(NO_PLACE)
    sockets = app.environ.get("LISTEN_FDS", "0")
    mine = app.environ.get("LISTEN_PID") == str(os.getpid()) and sockets != "0"
    if mine and sockets != "1":
        raise ConfigError(f"the agent listens at one socket, and was handed over {sockets}")
    command = client.command(directory, app.idle_seconds, *(["3"] if mine else []))  # SD_LISTEN_FDS_START
    os.execve(command[0], command, {})  # noqa: S606 - no shell


def _start(app: App) -> str:
    """Start the agent where none runs; returns what to tell the person."""
    directory = agent_directory(app.environ)
    there = admin.AgentAdmin(directory)
    found = there.status()
    if found is not None:
        return f"running already, process {found[0]}\n"
    client.AgentClient(directory, app.caller.log, idle_seconds=app.idle_seconds).start()
    found = there.status()
    if found is None:
        raise CredhelperError("the agent did not start" if directory else NO_PLACE)
    return f"started, process {found[0]}\n"


def _stop(app: App) -> str:
    """End the agent and all it remembers; returns what to tell the person."""
    return "stopped\n" if admin.AgentAdmin(agent_directory(app.environ)).stop() else "no agent is running\n"
