"""AWS calls that mint nothing: the owner and rotation of a key, an organization's accounts, doctor's checks.

An StsCall's endpoint and source give region, network settings and proxies. Every call has a deadline.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import botocore.exceptions as boto
import botocore.session

from credhelper.aws import errors, source_credentials, transport
from credhelper.deadline import within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from credhelper.credentials import AccessKey
    from credhelper.sessions.calls import Endpoint
    from credhelper.sessions.sources import CredentialSource

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Services:
    """AWS's services, as the StsCall with this endpoint and source reaches STS."""

    endpoint: Endpoint
    origin: CredentialSource

    def ask(
        self, access_key: AccessKey, service: str, operation: str, seconds: float, **parameters: Any
    ) -> dict[str, Any]:
        """botocore's answer to one call, such as ('iam', 'ListAccessKeys'), within `seconds`.

        Raises RefusedError with AWS's code, SourceError for keys that AWS does not know, UnreachableError,
        and ConfigError for a region that the service does not have.
        """
        client = self._client(access_key, service, seconds)
        method: Callable[..., dict[str, Any]] = getattr(client, botocore.xform_name(operation))
        return _call(client, operation, seconds, lambda: method(**parameters))

    def pages(
        self, access_key: AccessKey, service: str, operation: str, seconds: float, **parameters: Any
    ) -> list[dict[str, Any]]:
        """All pages of a call, within `seconds`. Raises what `ask` does."""
        client = self._client(access_key, service, seconds)
        paginate: Callable[..., Iterable[dict[str, Any]]] = client.get_paginator(
            botocore.xform_name(operation)
        ).paginate
        return _call(client, operation, seconds, lambda: list(paginate(**parameters)))

    def clock(self, seconds: float) -> float | None:
        """Seconds that STS's clock is ahead of this machine's; None where its answer has no date.

        The request is not signed: STS refuses it, and its refusal has the date. Raises UnreachableError.
        """
        client = self._client(None, "sts", seconds)

        def ask() -> dict[str, Any]:
            try:
                answer: dict[str, Any] = client.get_caller_identity()
            except boto.ClientError as error:
                return dict(error.response)
            return answer

        answered = transport.date(_call(client, "GetCallerIdentity", seconds, ask))
        return None if answered is None else answered - time.time()

    @cached_property
    def _session(self) -> botocore.session.Session:
        """One for all calls: it reads the model of a service once."""
        return source_credentials.open_session(self.origin)

    def _client(self, access_key: AccessKey | None, service: str, seconds: float) -> Any:
        return transport.create_client(self._session, service, self.endpoint, access_key, seconds=seconds)


def _call(client: Any, operation: str, seconds: float, call: Callable[[], Answer]) -> Answer:
    service = client.meta.service_model
    try:
        return within(seconds, transport.quiet(call))
    except Exception as error:  # noqa: BLE001 - what botocore raises on a bad answer is open-ended
        peer = f"{service.service_id} at '{client.meta.endpoint_url}'"
        name = f"{service.service_name}:{operation}"
        raise errors.translate(
            error, peer, seconds, lambda answer: errors.explain_other(name, answer.get("Error", {}))
        ) from None
