"""Source credentials, as botocore resolves them: static keys, SSO, credential processes, web identity.

Roles are not left to botocore: an AWS profile with a role_arn is a call of ours, cached like any other.
What may start a process gets 20 s, and what it started is killed when they are over.
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
def open_session(origin: CredentialSource | None = None) -> botocore.session.Session:
    """A session for the AWS profile that a chain begins with; its proxies and CA bundle apply too."""
    profile = origin.name if origin is not None and origin.place == "aws profile" else None
    # AWS_PROFILE names the profile that we are answering for: following it would come back here.
    session = botocore.session.Session({"profile": (None, None, None, None)}, profile=profile)
    session.set_config_variable("sts_regional_endpoints", "regional")
    session.user_agent_extra = f"credhelper/{__version__}"
    return session


class Children:
    """The processes that botocore starts for a source, so that they can be killed."""

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
        """Kill what is left, parents first: a shell whose child is killed goes on to its next line."""
        for process in self.started:
            if process.poll() is None:
                for pid in [process.pid, *_descendants(process.pid)]:
                    with contextlib.suppress(OSError):
                        os.kill(pid, processes.KILL)


def _descendants(pid: int) -> list[int]:
    """The children of a process and theirs, where the system has /proc. Each thread has its own."""
    children: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                children += map(int, file.read().split())
    return [each for child in children for each in (child, *_descendants(child))]


def resolve(
    session: botocore.session.Session,
    origin: CredentialSource,
    path: tuple[Node, ...],
    environ: Mapping[str, str],
    deadline: Deadline,
) -> AccessKey:
    """The keys of an origin, now. Raises SourceError, or what a credhelper that it started said."""
    children = Children(environ, path)
    seconds = deadline.left(SOURCE_SECONDS)
    try:
        found = within(seconds, quiet(lambda: _load(session, origin, children)))
    except LateError:
        raise SourceError(f"{origin} gave no credentials within {seconds:.0f} s") from None
    except CredhelperError:
        raise
    except Exception as error:  # noqa: BLE001 - providers let their parsers' errors through
        raise _failure(error, origin, children) from None
    finally:
        children.kill()
    if found is None:
        raise SourceError(f"no credentials found in {origin}", *filter(None, [login_hint(origin)]))
    return found


def _load(
    session: botocore.session.Session, origin: CredentialSource, children: Children
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
    if origin.place in _PROVIDERS:
        loaded = provider.get_provider(_PROVIDERS[origin.place]).load()
    else:
        loaded = session.get_credentials()
    if loaded is None:
        return None
    frozen = loaded.get_frozen_credentials()
    return AccessKey(frozen.access_key, frozen.secret_key, frozen.token or None)


def _failure(error: Exception, origin: CredentialSource, children: Children) -> CredhelperError:
    nested = next((process.returncode for process in children.started if process.returncode), None)
    if isinstance(error, boto.CredentialRetrievalError):
        said = str(error.kwargs.get("error_msg", ""))
        if ERROR_PREFIX in said:
            return _relayed(said, nested)
        line = next((line.strip() for line in said.splitlines() if line.strip()), "it said nothing")
        return SourceError(f"{origin}: {line[:MESSAGE_LIMIT]}")
    if isinstance(error, boto.MissingDependencyException):
        return SourceError(
            f"{origin} needs a part of botocore that is not installed",
            "install credhelper as 'credhelper[login]'",
        )
    if isinstance(error, boto.ConfigParseError):
        return ConfigError(f"the AWS config cannot be parsed: {error}")
    if isinstance(error, (boto.SSOError, boto.TokenRetrievalError)) or "Login" in type(error).__name__:
        return SourceError(
            f"the login of {origin} has expired or was never made",
            *filter(None, [login_hint(origin)]),
        )
    if nested is not None:
        return SourceError(f"{origin}: its credential_process ended with status {nested}")
    if children.started and isinstance(error, (ValueError, TypeError, AttributeError)):
        # JSON that is none, or no object; its text would be the process's whole answer
        return SourceError(f"{origin}: its credential_process did not print valid JSON")
    if isinstance(error, boto.ClientError):
        answer = error.response.get("Error", {})
        return SourceError(f"{origin}: {answer.get('Code')}: {answer.get('Message')}"[:MESSAGE_LIMIT])
    if isinstance(error, RuntimeError):  # botocore's way of saying so
        return SourceError(f"{origin}: its credentials have expired already")
    return SourceError(
        f"{origin}: {error if isinstance(error, boto.BotoCoreError) else type(error).__name__}"
    )


def _relayed(said: str, status: int | None) -> CredhelperError:
    """What a credhelper further down the chain said, said again with its own exit status."""
    lines = said.splitlines()
    sentence = next(line for line in lines if ERROR_PREFIX in line).partition(ERROR_PREFIX)[2]
    hints = [line.removeprefix(HINT_PREFIX) for line in lines if line.startswith(HINT_PREFIX)]
    return BY_STATUS.get(status or SourceError.status, SourceError)(sentence, *hints)


def login_hint(origin: CredentialSource) -> str | None:
    """The command that renews a login; None where the origin has none."""
    if not origin.login:
        return None
    profile = f" --profile {origin.name}" if origin.place == "aws profile" else ""
    return f"run '{origin.login}{profile}'"
