"""`env`: the credentials of a profile as assignments of variables."""

from __future__ import annotations

import sys
from typing import Any, Final

import click

from credhelper.cli.options import complete_profile, session_flags, show_flag, wanted
from credhelper.cli.output import emit, refuse_terminal
from credhelper.run import environment, shell_formats

DEFAULT_FORMAT: Final = "powershell" if sys.platform == "win32" else "sh"


@click.command("env")
@click.argument("name", shell_complete=complete_profile)
@click.option(
    "--format",
    "form",
    type=click.Choice(shell_formats.FORMS),
    default=DEFAULT_FORMAT,
    help="The syntax (default sh; powershell on Windows).",
)
@show_flag
@session_flags
def env(name: str, *, form: str, show: bool, **flags: Any) -> None:
    """Print the credentials of profile NAME as assignments for a shell or an env file.

    The variables are AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_CREDENTIAL_EXPIRATION,
    CREDHELPER_PROFILE, CREDHELPER_ACCOUNT, and AWS_REGION and AWS_DEFAULT_REGION: as they are set, or else
    the profile's region. env unsets nothing: if AWS_PROFILE is set, some SDKs use it instead. 'credhelper
    exec' removes it.

    'sh' is for POSIX shells and zsh, 'docker' for 'docker run --env-file', 'dotenv' for .env files: it uses
    only what their parsers agree on. A value that a format cannot express safely is an error.

    \b
    Examples:
      eval "$(credhelper env developer)"
      credhelper env developer --format fish | source
      credhelper env developer --format powershell | Invoke-Expression
      docker run --env-file <(credhelper env developer --format docker) IMAGE
    """
    refuse_terminal(show=show, use=f'it is meant for eval "$(credhelper env {name})"')
    app, request = wanted(name, flags)
    emit(shell_formats.render(environment.exports(app, request), form).encode())
