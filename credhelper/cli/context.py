"""Opens the app for a command."""

from __future__ import annotations

import os

import click

from credhelper import app
from credhelper.sessions.consent import UserInput


def started() -> app.Invocation:
    """The invocation that `main` has put into click's context."""
    found: app.Invocation = click.get_current_context().find_object(app.Invocation) or app.Invocation(0.0)
    return found


def open_app(*, reason: str | None = None, yes: bool = False, login: bool = False) -> app.App:
    """The app for this command, with its answers to prompts."""
    return app.open_app(os.environ, started(), UserInput(reason, yes, login))
