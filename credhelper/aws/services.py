"""AWS calls that mint nothing: whose a key is, its rotation, an organization's accounts, doctor's looks.

The keys that sign, the region and the network settings are those of a call of ours; everything is bounded by
a deadline, and a refusal is a sentence that names the operation.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

import botocore
import botocore.config
import botocore.exceptions as boto
import botocore.session

from credhelper.aws import source_credentials, transport
from credhelper.aws.quiet import quiet
from credhelper.deadline import LateError, within
from credhelper.errors import (
    ConfigError,
    CredhelperError,
    RefusedError,
    SourceError,
    UnreachableError,
    printable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from credhelper.credentials import AccessKey
    from credhelper.sessions.calls import Endpoint
    from credhelper.sessions.sources import CredentialSource

Answer = TypeVar("Answer")
ATTEMPTS: Final = 3
MESSAGE_LIMIT: Final = 300
_BAD_KEY: Final = ("InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId")
_EXPIRED: Final = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
_BUSY: Final = ("Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded")


@dataclass(frozen=True)
class Services:
    """AWS, as one call of ours reaches it: `endpoint` and `origin` are those of the call."""

    endpoint: Endpoint
    origin: CredentialSource

    def ask(
        self, access_key: AccessKey, service: str, operation: str, seconds: float, **parameters: Any
    ) -> dict[str, Any]:
        """botocore's answer to one call, such as ('iam', 'ListAccessKeys'), within so many seconds.

        Raises RefusedError with AWS's code, SourceError for keys that AWS does not know, UnreachableError,
        and ConfigError for a region that the service does not have.
        """
        client = self._client(access_key, service, seconds)
        method: Callable[..., dict[str, Any]] = getattr(client, botocore.xform_name(operation))
        return _bounded(f"{service}:{operation}", seconds, lambda: method(**parameters))

    def pages(
        self, access_key: AccessKey, service: str, operation: str, seconds: float, **parameters: Any
    ) -> list[dict[str, Any]]:
        """All pages of a call, within so many seconds. Raises what `ask` does."""
        paginator = self._client(access_key, service, seconds).get_paginator(botocore.xform_name(operation))
        found: Callable[..., Iterable[dict[str, Any]]] = paginator.paginate
        return _bounded(f"{service}:{operation}", seconds, lambda: list(found(**parameters)))

    def clock(self, seconds: float) -> float | None:
        """Seconds that STS's clock is ahead of ours; None where its answer has no date.

        The request is not signed: STS refuses it, and its refusal has the date. Raises UnreachableError.
        """
        client = self._client(None, "sts", seconds)

        def ask() -> dict[str, Any]:
            try:
                answer: dict[str, Any] = client.get_caller_identity()
            except boto.ClientError as error:
                return dict(error.response)
            except boto.BotoCoreError as error:
                raise transport.explain(error, client.meta.endpoint_url) from None
            return answer

        answered = transport.date(_bounded("sts:GetCallerIdentity", seconds, ask))
        return None if answered is None else answered - time.time()

    @cached_property
    def _session(self) -> botocore.session.Session:
        """One for all calls: it reads the model of a service once."""
        return source_credentials.open_session(self.origin)

    def _client(self, access_key: AccessKey | None, service: str, seconds: float) -> Any:
        endpoint = self.endpoint
        config = botocore.config.Config(
            connect_timeout=min(endpoint.connect_timeout, seconds),
            read_timeout=min(endpoint.read_timeout, seconds),
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            use_fips_endpoint=endpoint.fips,
            use_dualstack_endpoint=endpoint.dualstack,
            signature_version=None if access_key else botocore.UNSIGNED,
        )
        secrets = (
            (access_key.access_key_id, access_key.secret_access_key, access_key.session_token)
            if access_key
            else (None,) * 3
        )
        try:
            return self._session.create_client(
                service,
                region_name=endpoint.region,
                endpoint_url=endpoint.url if service == "sts" else None,
                verify=endpoint.ca_bundle,
                aws_access_key_id=secrets[0],
                aws_secret_access_key=secrets[1],
                aws_session_token=secrets[2],
                config=config,
            )
        except (boto.BotoCoreError, ValueError) as error:
            raise ConfigError(f"botocore does not accept the endpoint's configuration: {error}") from None


def _bounded(what: str, seconds: float, call: Callable[[], Answer]) -> Answer:
    try:
        return within(seconds, quiet(call))
    except LateError:
        raise UnreachableError(f"AWS did not answer '{what}' within {seconds:.0f} s") from None
    except CredhelperError:
        raise
    except boto.ClientError as error:
        raise _refusal(what, error.response.get("Error", {})) from None
    except boto.BotoCoreError as error:
        raise UnreachableError(f"no answer from AWS to '{what}': {type(error).__name__}") from None
    except Exception:  # noqa: BLE001 - what botocore raises on a bad answer is open-ended
        raise UnreachableError(
            f"what answers '{what}' is not AWS",
            "a captive portal or a proxy may be in the way, or an endpoint is wrong",
        ) from None


def _refusal(what: str, error: Mapping[str, Any]) -> CredhelperError:
    code = str(error.get("Code", "unknown"))
    if code in _BUSY:
        return UnreachableError(f"AWS is throttling '{what}'", code=code)
    if code in _BAD_KEY:
        return SourceError(f"AWS does not know the access key that signed '{what}'", code=code)
    if code in _EXPIRED:
        return SourceError(f"the session that signed '{what}' has expired", code=code)
    said = printable(str(error.get("Message", "")), MESSAGE_LIMIT)
    return RefusedError(f"AWS refused '{what}' ({code}): {said}", code=code)
