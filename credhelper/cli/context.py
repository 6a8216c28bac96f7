"""What a command starts with: how the program was invoked, and the parts that it works with."""

from __future__ import annotations

import os

import click

from credhelper import app
from credhelper.sessions.consent import Said


def started() -> app.Start:
    """How the program has started."""
    start: app.Start = click.get_current_context().find_object(app.Start) or app.Start(0.0)
    return start


def open_house(*, reason: str | None = None, yes: bool = False, login: bool = False) -> app.House:
    """The parts of the house, for this command."""
    return app.open_house(os.environ, started(), Said(reason, yes, login))
