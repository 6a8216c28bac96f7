"""`env`: a profile's credentials as assignments."""

from __future__ import annotations

import sys
from typing import Any, Final

import click

from credhelper.cli.options import EXIT_STATUSES, complete_profile, help_option, session_flags, wanted
from credhelper.cli.output import emit, refuse_terminal
from credhelper.run import environment, shell_formats

USUAL: Final = "powershell" if sys.platform == "win32" else "sh"


@click.command("env", epilog=EXIT_STATUSES)
@help_option
@click.argument("name", shell_complete=complete_profile)
@click.option(
    "--format",
    "form",
    type=click.Choice(shell_formats.FORMS),
    default=USUAL,
    help="What reads them; sh where nothing is said, powershell on Windows.",
)
@click.option("--show", is_flag=True, help="Print the secrets although stdout is a terminal.")
@session_flags
def env(name: str, *, form: str, show: bool, **flags: Any) -> None:
    """Print the credentials of profile NAME as assignments for a shell or an env file.

    They are AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_CREDENTIAL_EXPIRATION,
    CREDHELPER_PROFILE and CREDHELPER_ACCOUNT; and AWS_REGION and AWS_DEFAULT_REGION: those that are set
    already, else the profile's region. Nothing is unset: where AWS_PROFILE is set some SDKs follow it, and
    'credhelper exec' removes it.

    sh is for every POSIX shell and zsh; docker is for 'docker run --env-file', and dotenv what the readers of
    .env files agree on. A value that a format has no safe way to write is an error.

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
