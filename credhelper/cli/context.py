"""What commands share: the app, the running agent, and prompts of their own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from credhelper import app
from credhelper.sessions.consent import UserInput

if TYPE_CHECKING:
    from credhelper.agent.admin import AgentAdmin
    from credhelper.prompts import Question


def started() -> app.Invocation:
    """The invocation that `main` has put into click's context."""
    found: app.Invocation = click.get_current_context().find_object(app.Invocation) or app.Invocation(0.0)
    return found


def open_app(*, reason: str | None = None, yes: bool = False, login: bool = False) -> app.App:
    """The app for this command, with its answers to prompts."""
    return app.open_app(os.environ, started(), UserInput(reason, yes, login))


def agent_admin(opened: app.App) -> AgentAdmin:
    """The running agent, if there is one; it is not started."""
    from credhelper.agent.admin import AgentAdmin

    return AgentAdmin(app.agent_directory(opened.environ))


def prompt(question: Question, seconds: float) -> str:
    """The answer to a question that is not part of a mint. Raises HumanNeededError."""
    from credhelper import prompts

    choice = os.environ.get("CREDHELPER_PROMPT") or "auto"
    return prompts.ask(question, command=None, choice=choice, environ=os.environ, seconds=seconds).text
