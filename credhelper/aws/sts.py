"""STS, through botocore: one call, the time it has, and what of its answer is believed.

botocore bounds single reads, not calls, and trusts any answer. So every call here has one deadline, and the
credentials in an answer are checked before anything believes them.
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
"""Connections to STS that one client keeps open: as many as a sweep may have workers."""

CLIENTS: Final = 8
"""Clients that are kept; the keys of a session that is renewed again and again make a new one each time."""

_EXPIRATION_SLACK: Final = 300.0


class Sts:
    """The calls, made for one process, by as many threads as there are.

    botocore's clients may be shared by threads, its sessions may not. A client is kept for the keys that it
    signs with: a new one costs a TLS handshake, and 30 ms to read the CA certificates. `attempts` are those
    that botocore makes at one call.
    """

    def __init__(self, environ: Mapping[str, str], attempts: int = transport.ATTEMPTS) -> None:
        self._environ = environ
        self._attempts = attempts
        self._making = threading.RLock()
        self._sessions: dict[str | None, botocore.session.Session] = {}
        self._clients: dict[tuple[Any, ...], Any] = {}
        self._thread = threading.local()

    def source_key(self, origin: CredentialSource, path: tuple[Node, ...], deadline: Deadline) -> AccessKey:
        """The credentials that a chain begins with. Raises SourceError, ConfigError."""
        return source_credentials.resolve(self._session(origin), origin, path, self._environ, deadline)

    def mint(self, call: StsCall, access_key: AccessKey, code: str | None, deadline: Deadline) -> Minted:
        """Make the call. Raises RefusedError, SourceError, UnreachableError."""
        _check_key(call, access_key)
        seconds = deadline.left(STS_SECONDS)
        # A code works once: an attempt whose answer has been lost may have used it up.
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
        """The URL that the call goes to; nothing is sent. Raises ConfigError."""
        return str(self._client(call, AccessKey("nobody", "nobody")).meta.endpoint_url)

    def close(self) -> None:
        """Hang up, where the process goes on: clients are cyclic garbage, and their sockets with them."""
        with self._making:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _session(self, origin: CredentialSource) -> botocore.session.Session:
        """A session for the AWS profile that the chain begins with; its proxies and CA bundle apply too."""
        profile = origin.name if origin.place == "aws profile" else None
        with self._making:
            if profile not in self._sessions:
                self._sessions[profile] = source_credentials.open_session(origin)
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
        # An event handler that returns a response stands in for the transport: the one public place
        # where an answer can be bounded before all of it is in memory. It sends through the same session.
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
        facts["skew"] = errors.spell_skew(answered - expiry.read_clocks().wall)
    found = errors.explain(call.api, response.get("Error", {}), facts)
    hint = source_credentials.login_hint(call.source)
    if isinstance(found, SourceError) and hint and call.parent is None:
        return type(found)(found.sentence, hint, code=found.code)
    return found


def _is_sound(text: object) -> bool:
    return isinstance(text, str) and bool(text) and not validation.has_control_characters(text)


def _check_key(call: StsCall, access_key: AccessKey) -> None:
    """Raise SourceError where they cannot be sent: a file with Windows line ends leaves a CR on each."""
    parts = {
        "access key id": access_key.access_key_id,
        "secret access key": access_key.secret_access_key,
        "session token": access_key.session_token,
    }
    for name, text in parts.items():
        if text is not None and not _is_sound(text):
            raise SourceError(f"the {name} of {call.signer} is empty or has a control character")


def _checked(call: StsCall, answer: Mapping[str, Any], host: str) -> Minted:
    """The answer as credentials, if it can be one to this call. Raises UnreachableError."""
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
    if life <= 0 < longest:  # who asks AssumeRoot for 0 seconds gets them
        raise UnreachableError(f"STS at '{host}' answered with credentials that have expired already")
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
