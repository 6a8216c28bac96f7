"""STS calls through botocore, each with one deadline, and with their answers checked.

botocore limits the time of single reads, not of calls, and trusts any answer.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import botocore.session

from credhelper import expiry
from credhelper.aws import errors, source_credentials, transport
from credhelper.config import aws_names, validation
from credhelper.config import keys as config_keys
from credhelper.credentials import AccessKey, Credentials, Minted
from credhelper.deadline import Deadline, within
from credhelper.errors import CredhelperError, SourceError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from credhelper.sessions.caller import Node
    from credhelper.sessions.calls import StsCall
    from credhelper.sessions.sources import CredentialSource

STS_SECONDS: Final = 10.0
CONNECTIONS: Final = 64
"""Connections to STS that one client keeps open: the most workers that a sweep may have."""

CLIENTS: Final = 8
"""Clients that are kept; each renewal of a source session makes a new one."""

_EXPIRATION_SLACK: Final = 300.0


class Sts:
    """STS for all threads of a process.

    Threads may share botocore's clients, not its sessions. A client is kept for each access key: a new one
    costs a TLS handshake, and 30 ms to read the CA certificates. botocore sends a call `attempts` times.
    """

    def __init__(self, environ: Mapping[str, str], attempts: int = transport.ATTEMPTS) -> None:
        self._environ = environ
        self._attempts = attempts
        self._making = threading.RLock()
        self._sessions: dict[str | None, botocore.session.Session] = {}
        self._clients: dict[tuple[Any, ...], Any] = {}
        self._thread = threading.local()

    def source_key(self, source: CredentialSource, path: tuple[Node, ...], deadline: Deadline) -> AccessKey:
        """The access key of a chain's source. Raises SourceError, ConfigError."""
        return source_credentials.resolve(self._session(source), source, path, self._environ, deadline)

    def mint(self, call: StsCall, access_key: AccessKey, code: str | None, deadline: Deadline) -> Minted:
        """Make the call. Raises RefusedError, SourceError, UnreachableError."""
        _check_key(call, access_key)
        seconds = deadline.left(STS_SECONDS)
        # A code works once: an attempt without an answer may have used it up.
        client = self._client(call, access_key, 1 if code else self._attempts)
        request = {**call.parameters, **({"TokenCode": code} if code else {})}
        operation: Callable[..., dict[str, Any]] = getattr(client, botocore.xform_name(call.api))
        host = client.meta.endpoint_url
        ends = Deadline(seconds)

        def ask() -> dict[str, Any]:
            self._thread.ends = ends
            return operation(**request)

        try:
            answer = within(seconds, transport.quiet(ask))
        except Exception as error:  # noqa: BLE001 - what botocore raises on a bad answer is open-ended
            raise errors.translate(
                error, f"STS at '{host}'", seconds, lambda response: _refusal(call, response)
            ) from None
        return _checked(call, answer, host)

    def address(self, call: StsCall) -> str:
        """The URL of a call, without sending it. Raises ConfigError."""
        return str(self._client(call, AccessKey("none", "none")).meta.endpoint_url)

    def close(self) -> None:
        """Close all connections; clients are cyclic garbage, which keeps sockets open."""
        with self._making:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _session(self, source: CredentialSource) -> botocore.session.Session:
        """The session for the AWS profile of a source, with its proxies and CA bundle."""
        profile = source.name if source.place == "aws profile" else None
        with self._making:
            if profile not in self._sessions:
                self._sessions[profile] = source_credentials.open_session(source)
            return self._sessions[profile]

    def _client(self, call: StsCall, access_key: AccessKey, attempts: int = transport.ATTEMPTS) -> Any:
        known = call.source.place, call.source.name, call.endpoint, access_key, attempts
        with self._making:
            if known not in self._clients:
                if len(self._clients) == CLIENTS:
                    del self._clients[next(iter(self._clients))]
                self._clients[known] = self._new_client(call, access_key, attempts)
            return self._clients[known]

    def _new_client(self, call: StsCall, access_key: AccessKey, attempts: int) -> Any:
        bundle = call.endpoint.ca_bundle
        if bundle is not None and not os.path.exists(bundle):
            raise call.profile.error_at("ca_bundle", f"names no file: '{bundle}'")
        client = transport.create_client(
            self._session(call.source),
            "sts",
            call.endpoint,
            access_key,
            attempts=attempts,
            connections=CONNECTIONS,
        )
        # A handler's return value replaces the response: the one public hook that can limit an answer
        # before all of it is in memory. It sends through the same session.
        sender = client._endpoint.http_session  # noqa: SLF001
        client.meta.events.register(
            "before-send.sts", lambda request, **_: transport.send(sender, request, self._thread.ends)
        )
        return client


def _facts(call: StsCall) -> dict[str, str]:
    """What the sentence of a refusal may quote."""
    profile, parameters, region = call.profile, call.parameters, call.endpoint.region
    task = parameters.get("TaskPolicyArn", {}).get("arn", "")
    facts = {
        "task": aws_names.short_task(task),
        "task_arn": task,
        "device": str(parameters.get("SerialNumber", "")),
        "duration": str(parameters.get("DurationSeconds", 3600)),
        "region": region,
        "source": call.signer,
        "skew": "off from",
    }
    if profile.kind == config_keys.ROOT:
        name = f" ({profile.account_name})" if profile.account_name else ""
        principal = f"arn:{aws_names.partition_of(region)}:iam::{profile.account_id}:root"
        return facts | {
            "resource": f"account '{profile.account_id}{name}'",
            "principal": principal,
            "target": f"'{principal}' with the task {facts['task']}",
        }
    role = f"'{parameters.get('RoleArn', '')}'"
    return facts | {"resource": role, "target": role}


def _refusal(call: StsCall, response: Mapping[str, Any]) -> CredhelperError:
    facts, answered = _facts(call), transport.date(response)
    if answered is not None:
        facts["skew"] = expiry.spell_skew(answered - expiry.read_clocks().wall)
    found = errors.explain(call.api, response.get("Error", {}), facts)
    hints = source_credentials.login_hints(call.source)
    if isinstance(found, SourceError) and hints and call.parent is None:
        return type(found)(found.sentence, *hints, code=found.code)
    return found


def _is_sound(text: object) -> bool:
    return isinstance(text, str) and bool(text) and not validation.has_control_characters(text)


def _check_key(call: StsCall, access_key: AccessKey) -> None:
    """Raise SourceError for a key that cannot be sent, such as one with a CR of a Windows file."""
    parts = {
        "access key id": access_key.access_key_id,
        "secret access key": access_key.secret_access_key,
        "session token": access_key.session_token,
    }
    for name, text in parts.items():
        if text is not None and not _is_sound(text):
            raise SourceError(f"the {name} of {call.signer} is empty or has a control character")


def _checked(call: StsCall, answer: Mapping[str, Any], host: str) -> Minted:
    """The credentials of an answer that is valid for this call. Raises UnreachableError."""
    given = answer.get("Credentials") or {}
    key_id, secret, token = (given.get(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"))
    if not all(_is_sound(text) for text in (key_id, secret, token)):
        raise UnreachableError(f"STS at '{host}' answered without credentials")
    clocks = expiry.read_clocks()
    answered = transport.date(answer) or clocks.wall
    try:
        expiration = int(given["Expiration"].timestamp())
    except (KeyError, AttributeError, ValueError, OverflowError):
        raise UnreachableError(f"STS at '{host}' answered without a valid expiration") from None
    life = expiration - answered
    longest = call.parameters.get("DurationSeconds", config_keys.DURATIONS[call.profile.kind][1])
    if life <= 0 < longest:  # AssumeRoot may be asked for 0 seconds
        raise UnreachableError(f"STS at '{host}' answered with expired credentials")
    if life > longest + _EXPIRATION_SLACK:
        raise UnreachableError(
            f"STS at '{host}' answered with an absurd expiration: "
            f"{life:.0f} s from now, where {longest} s at most were asked for"
        )
    credentials = Credentials(
        str(key_id),
        str(secret),
        str(token),
        expiration=expiration,
        life=life,
        skew=answered - clocks.wall,
        minted=clocks,
        account_id=call.profile.account_id,
        arn=answer.get("AssumedRoleUser", {}).get("Arn"),
        source_identity=answer.get("SourceIdentity"),
        answer={name: answer[name] for name in answer if name not in ("Credentials", "ResponseMetadata")},
    )
    return Minted(credentials, answer.get("ResponseMetadata", {}).get("RequestId"), urlsplit(host).netloc)
