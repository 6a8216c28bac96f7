"""Source credentials, resolved by botocore: static keys, SSO, credential processes, web identity.

Not roles: an AWS profile with a role_arn is an StsCall, cached like any other. A source that starts processes
has 20 s; then they are killed.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING, Any, Final

import botocore.credentials
import botocore.exceptions as boto
import botocore.session

from credhelper import __version__, processes
from credhelper.aws.transport import quiet
from credhelper.credentials import AccessKey
from credhelper.deadline import Deadline, LateError, within
from credhelper.errors import BY_STATUS, ConfigError, CredhelperError, SourceError
from credhelper.sessions.caller import write_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from credhelper.sessions.caller import Node
    from credhelper.sessions.sources import CredentialSource

SOURCE_SECONDS: Final = 20.0
MESSAGE_LIMIT: Final = 300
ERROR_PREFIX: Final = "credhelper: error: "
HINT_PREFIX: Final = "credhelper: hint: "

_PROVIDERS: Final = {
    "Environment": "env",
    "Ec2InstanceMetadata": "iam-role",
    "EcsContainer": "container-role",
}


@quiet
def open_session(source: CredentialSource | None = None) -> botocore.session.Session:
    """A session for the AWS profile of a source, with its proxies and CA bundle."""
    profile = source.name if source is not None and source.place == "aws profile" else None
    # AWS_PROFILE is ignored: it may name the profile that this process answers for.
    session = botocore.session.Session({"profile": (None, None, None, None)}, profile=profile)
    session.set_config_variable("sts_regional_endpoints", "regional")
    session.user_agent_extra = f"credhelper/{__version__}"
    return session


class Children:
    """The processes that botocore starts for a source."""

    def __init__(self, environ: Mapping[str, str], path: tuple[Node, ...]) -> None:
        self._environ = {**environ, "CREDHELPER_CHAIN": write_path(path)}
        self.started: list[subprocess.Popen[bytes]] = []

    def popen(self, arguments: list[str], **options: Any) -> subprocess.Popen[bytes]:
        """subprocess.Popen, as botocore's ProcessProvider calls it."""
        program = processes.find(arguments[0]) if arguments else None
        if program is None:
            name = arguments[0] if arguments else ""
            raise SourceError(f"credential_process: there is no program '{name}'")
        process = subprocess.Popen([program, *arguments[1:]], env=self._environ, **options)
        self.started.append(process)
        return process

    def kill(self) -> None:
        """Kill all, parents first: a shell whose child is killed would run its next line."""
        for process in self.started:
            if process.poll() is None:
                for pid in [process.pid, *_descendants(process.pid)]:
                    with contextlib.suppress(OSError):
                        os.kill(pid, processes.KILL)


def _descendants(pid: int) -> list[int]:
    """The descendants of a process, where the system has /proc; it lists children by thread."""
    children: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                children += map(int, file.read().split())
    return [each for child in children for each in (child, *_descendants(child))]


def resolve(
    session: botocore.session.Session,
    source: CredentialSource,
    path: tuple[Node, ...],
    environ: Mapping[str, str],
    deadline: Deadline,
) -> AccessKey:
    """The access key of a source. Raises SourceError, or the error of a credhelper that it started."""
    children = Children(environ, path)
    seconds = deadline.left(SOURCE_SECONDS)
    try:
        found = within(seconds, quiet(lambda: _load(session, source, children)))
    except LateError:
        raise SourceError(f"{source} gave no credentials within {seconds:.0f} s") from None
    except CredhelperError:
        raise
    except Exception as error:  # noqa: BLE001 - providers let their parsers' errors through
        raise _failure(error, source, children) from None
    finally:
        children.kill()
    if found is None:
        raise SourceError(f"no credentials found in {source}", *login_hints(source))
    return found


def _load(
    session: botocore.session.Session, source: CredentialSource, children: Children
) -> AccessKey | None:
    provider = session.get_component("credential_provider")
    provider.remove("assume-role")
    if "custom-process" in [provider.METHOD for provider in provider.providers]:
        ours = botocore.credentials.ProcessProvider(
            profile_name=session.get_config_variable("profile") or "default",
            load_config=lambda: session.full_config,
            popen=children.popen,
        )
        provider.insert_after("custom-process", ours)
        provider.remove("custom-process")
    if source.place in _PROVIDERS:
        loaded = provider.get_provider(_PROVIDERS[source.place]).load()
    else:
        loaded = session.get_credentials()
    if loaded is None:
        return None
    frozen = loaded.get_frozen_credentials()
    return AccessKey(frozen.access_key, frozen.secret_key, frozen.token or None)


def _failure(error: Exception, source: CredentialSource, children: Children) -> CredhelperError:
    """The error of a provider, without what the process of a source has printed to stdout."""
    status = next((process.returncode for process in children.started if process.returncode), None)
    hint: tuple[str, ...] = ()
    if isinstance(error, boto.ConfigParseError):
        return ConfigError(f"the AWS config cannot be parsed: {error}")
    if isinstance(error, boto.CredentialRetrievalError):
        message = str(error.kwargs.get("error_msg", ""))
        if ERROR_PREFIX in message:
            return _relayed(message, status)
        problem = next((f": {line.strip()}" for line in message.splitlines() if line.strip()), ": no message")
    elif isinstance(error, boto.MissingDependencyException):
        problem = " needs a part of botocore that is not installed"
        hint = ("install credhelper as 'credhelper[login]'",)
    elif isinstance(error, (boto.SSOError, boto.TokenRetrievalError)) or "Login" in type(error).__name__:
        return SourceError(f"the login of {source} has expired or was never made", *login_hints(source))
    elif status is not None:
        problem = f": its credential_process ended with status {status}"
    elif children.started and isinstance(error, (ValueError, TypeError, AttributeError)):
        problem = ": its credential_process did not print valid JSON"  # the error may quote what it printed
    elif isinstance(error, boto.ClientError):
        answer = error.response.get("Error", {})
        problem = f": {answer.get('Code')}: {answer.get('Message')}"
    elif isinstance(error, RuntimeError):  # as botocore reports it
        problem = ": its credentials have expired already"
    else:
        problem = f": {error if isinstance(error, boto.BotoCoreError) else type(error).__name__}"
    return SourceError(f"{source}{problem[:MESSAGE_LIMIT]}", *hint)


def _relayed(message: str, status: int | None) -> CredhelperError:
    """The error of a credhelper further down the chain, with its exit status."""
    lines = message.splitlines()
    sentence = next(line for line in lines if ERROR_PREFIX in line).partition(ERROR_PREFIX)[2]
    hints = [line.removeprefix(HINT_PREFIX) for line in lines if line.startswith(HINT_PREFIX)]
    return BY_STATUS.get(status or SourceError.status, SourceError)(sentence, *hints)


def login_hints(source: CredentialSource) -> tuple[str, ...]:
    """The command that renews a login, as a hint; none where the source has no login."""
    if not source.login:
        return ()
    profile = f" --profile {source.name}" if source.place == "aws profile" else ""
    return (f"run '{source.login}{profile}'",)
