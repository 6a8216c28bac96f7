"""What a command starts with: how the program was invoked, and the parts that it works with."""

from __future__ import annotations

import os

import click

from credhelper import app
from credhelper.sessions.consent import UserInput


def started() -> app.Invocation:
    """How the program has started."""
    start: app.Invocation = click.get_current_context().find_object(app.Invocation) or app.Invocation(0.0)
    return start


def open_app(*, reason: str | None = None, yes: bool = False, login: bool = False) -> app.App:
    """The parts of the house, for this command."""
    return app.open_app(os.environ, started(), UserInput(reason, yes, login))
