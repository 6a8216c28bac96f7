"""The environment of a command: a profile's session as variables, or behind a credentials server."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from credhelper import app as apps
from credhelper import processes
from credhelper.awsconfig import profiles
from credhelper.config.settings import FLAG
from credhelper.credentials import utc
from credhelper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from credhelper.agent.client import CacheMode
    from credhelper.app import App
    from credhelper.awsconfig.profiles import AwsFiles
    from credhelper.credentials import Credentials
    from credhelper.sessions.calls import StsCall

REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")

REMOVED: Final = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SECURITY_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "CREDHELPER_PROFILE",  # of an `exec` around this one
    "CREDHELPER_ACCOUNT",
)
"""Variables that name another source of credentials, or send its token to the credentials server."""

KEY_VARIABLES: Final = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_ACCESS_KEY",  # these two are read by the SDKs for Go and Java
    "AWS_SECRET_KEY",
)
"""Keys in the environment, which every SDK prefers to a credentials server."""

DEFAULT_KEYS: Final = (
    "aws_access_key_id",
    "role_arn",
    "web_identity_token_file",
    "sso_session",
    "sso_start_url",
    "sso_account_id",
    "sso_role_name",
    "login_session",
    "credential_process",
)
"""The keys of [default] that an SDK follows before it asks a credentials server."""


@dataclass(frozen=True)
class SessionRequest:
    """The session that a command asks for; `flags` are keys of a profile, by their names in the TOML."""

    name: str
    flags: Mapping[str, Any] = field(default_factory=dict)
    mode: CacheMode = "get"
    cache: bool = True


@dataclass(frozen=True)
class Context:
    """What a command is told about its session besides the keys."""

    profile: str
    account_id: str | None
    region: str | None


def exports(app: App, request: SessionRequest) -> dict[str, str]:
    """The variables that `env` prints. Raises CredhelperError."""
    call = _call(app, request)
    credentials = _credentials(app, call, request)
    return exported(_environ(app, call), credentials, _context(call, credentials))


def environment(app: App, request: SessionRequest) -> dict[str, str]:
    """The environment of a command with the session in it. Raises CredhelperError."""
    call = _call(app, request)
    return environment_of(app, call, _credentials(app, call, request))


def environment_of(app: App, call: StsCall, credentials: Credentials) -> dict[str, str]:
    """The environment of a command with this session in it."""
    return with_session(_environ(app, call), credentials, _context(call, credentials))


@contextlib.contextmanager
def served(app: App, request: SessionRequest) -> Iterator[dict[str, str]]:
    """The environment of a command that asks a credentials server, which runs until the end of the block.

    The call is the one planned at the beginning: an edited profile counts for the next command. Renewals do
    not prompt, because the terminal is the command's. Raises CredhelperError.
    """
    from credhelper.run.credentials_server import CredentialsServer

    refuse_default_keys(profiles.read(app.environ))
    processes.close_memory()
    call = _call(app, request)
    min_remaining = app.provider().min_remaining(call)
    first = _credentials(app, call, request)

    def renew(mode: CacheMode) -> Credentials:
        """Get the session again, with a deadline that counts from now."""
        start = apps.Invocation(time.monotonic(), background=True)
        return _credentials(
            apps.open_app(app.environ, start, app.user_input), call, replace(request, mode=mode)
        )

    with CredentialsServer(first, renew, min_remaining=min_remaining) as server:
        yield with_server(_environ(app, call), server.environ, _context(call, first))


def _call(app: App, request: SessionRequest) -> StsCall:
    return app.call(app.config.profile(request.name, request.flags))


def _credentials(app: App, call: StsCall, request: SessionRequest) -> Credentials:
    with contextlib.closing(app.agent):  # a command may run for hours
        return app.provider().get(call, mode=request.mode, cache=request.cache)


def _environ(app: App, call: StsCall) -> Mapping[str, str]:
    """The caller's environment, in which a region from the command line replaces the variables."""
    region = call.profile.settings.get("region")
    if region is None or region.table != FLAG:
        return app.environ
    return {**app.environ, **dict.fromkeys(REGIONS, region.value)}


def _context(call: StsCall, credentials: Credentials) -> Context:
    profile = call.profile
    return Context(profile.name, credentials.account_id or profile.account_id, profile.get("region"))


def exported(environ: Mapping[str, str], credentials: Credentials, context: Context) -> dict[str, str]:
    """What `exec` and `env` export. A region in `environ`, the caller's, counts before that of `context`."""
    return {
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        "AWS_SESSION_TOKEN": credentials.session_token,
        "AWS_CREDENTIAL_EXPIRATION": utc(credentials.expiration),
        **_context_variables(environ, context),
    }


def with_session(environ: Mapping[str, str], credentials: Credentials, context: Context) -> dict[str, str]:
    """`environ` without other sources of credentials, and with what `exec` exports."""
    return {**_without(REMOVED, environ), **exported(environ, credentials, context)}


def with_server(environ: Mapping[str, str], server: Mapping[str, str], context: Context) -> dict[str, str]:
    """`environ` without keys and other sources of credentials, and with the variables of `server`."""
    kept = _without((*REMOVED, *KEY_VARIABLES), environ)
    return {**kept, **_context_variables(environ, context), **server}


def _without(names: tuple[str, ...], environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name not in names}


def _context_variables(environ: Mapping[str, str], context: Context) -> dict[str, str]:
    """Profile, account and region; of the two region variables a caller may have set only one."""
    region = next((environ[name] for name in REGIONS if environ.get(name)), context.region)
    found = {
        "CREDHELPER_PROFILE": context.profile,
        "CREDHELPER_ACCOUNT": context.account_id,
        **{name: environ.get(name) or region for name in REGIONS},
    }
    return {name: value for name, value in found.items() if value}


def refuse_default_keys(files: AwsFiles) -> None:
    """Raise ConfigError where a key of [default] in an AWS file would win over the credentials server."""
    default = files.profiles.get("default", {})
    for key in DEFAULT_KEYS:
        if key in default:
            raise ConfigError(
                f"'{_file_with(key, files)}': '{key}' in [default] takes precedence over --serve",
                "move it into a profile with a name, or run 'credhelper exec' without --serve",
            )


def _file_with(key: str, files: AwsFiles) -> str:
    """The file that has this key in [default]: the credentials file, which wins, else the config."""
    alone = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": files.credentials_path}
    found = key in profiles.read(alone).profiles.get("default", {})
    return files.credentials_path if found else files.config_path
