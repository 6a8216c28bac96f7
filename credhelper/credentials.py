"""Access keys, clock readings and minted credentials. Their repr never shows a secret."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

LAST_SECOND: Final = 253402300799
"""9999-12-31T23:59:59Z, the last time that has a name of the usual form."""


@dataclass(frozen=True)
class AccessKey:
    """What signs a request; a temporary key has a session token."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    source_arn: str | None = None


@dataclass(frozen=True)
class Clocks:
    """One reading of this machine's clocks.

    `wall` is seconds since the epoch; it can be set. `boot` is seconds since `boot_id` began, time asleep
    included; it cannot be set, and is None where the system has no such clock.
    """

    wall: float
    boot: float | None = None
    boot_id: str = ""

    def to_list(self) -> list[float | str | None]:
        """As JSON holds it."""
        return [self.wall, self.boot, self.boot_id]

    @classmethod
    def from_list(cls, document: object) -> Clocks | None:
        """What `to_list` gave; None for anything else."""
        if not isinstance(document, list) or len(document) != 3:
            return None
        wall, boot, boot_id = document
        sound = _is_number(wall) and (boot is None or _is_number(boot)) and isinstance(boot_id, str)
        return cls(wall, boot, boot_id) if sound else None


@dataclass(frozen=True)
class Credentials:
    """A session that STS minted.

    `expiration` is STS's own, in seconds since the epoch. `life` is how many seconds it had when it was
    minted, on STS's clock, and `skew` how far STS's clock was ahead of this machine's then. `answer` is the
    rest of STS's response.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expiration: int
    life: float
    skew: float
    minted: Clocks
    account_id: str | None = None
    arn: str | None = None
    source_identity: str | None = None
    answer: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def access_key(self) -> AccessKey:
        """These credentials as the key that signs the next call of a chain."""
        return AccessKey(self.access_key_id, self.secret_access_key, self.session_token, self.arn)

    def envelope(self) -> bytes:
        """The JSON object that SDKs read from a credential process (version 1 of AWS's format).

        Expiration is exactly YYYY-MM-DDTHH:MM:SSZ: the one form that every SDK parses.
        """
        document = {
            "Version": 1,
            "AccessKeyId": self.access_key_id,
            "SecretAccessKey": self.secret_access_key,
            "SessionToken": self.session_token,
            "Expiration": utc(self.expiration),
        }
        if self.account_id is not None:
            document["AccountId"] = self.account_id
        return json.dumps(document).encode("ascii") + b"\n"

    def to_json(self) -> str:
        """Everything, secrets included, as the keyring holds it."""
        return json.dumps({**vars(self), "minted": self.minted.to_list()})

    @classmethod
    def from_json(cls, text: str) -> Credentials | None:
        """What `to_json` wrote; None for anything else."""
        try:
            document = json.loads(text)
            minted = Clocks.from_list(document.pop("minted"))
            credentials = None if minted is None else cls(**document, minted=minted)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            return None
        return credentials if credentials is not None and _is_sound(credentials) else None


def _is_sound(credentials: Credentials) -> bool:
    texts = (credentials.access_key_id, credentials.secret_access_key, credentials.session_token)
    optional = (credentials.account_id, credentials.arn, credentials.source_identity)
    return (
        all(isinstance(text, str) for text in texts)
        and all(text is None or isinstance(text, str) for text in optional)
        and isinstance(credentials.answer, dict)
        and _is_number(credentials.life)
        and _is_number(credentials.skew)
        and isinstance(credentials.expiration, int)
        and 0 <= credentials.expiration <= LAST_SECOND
    )


def _is_number(value: object) -> bool:
    """Whether it is a number of usual size: json also reads NaN, Infinity and integers of any length."""
    return isinstance(value, (int, float)) and -LAST_SECOND <= value <= LAST_SECOND


def utc(seconds: float) -> str:
    """A time as YYYY-MM-DDTHH:MM:SSZ, rounded down."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(seconds)))


@dataclass(frozen=True)
class Minted:
    """A new session, the id of its request in CloudTrail, and the host that answered."""

    credentials: Credentials
    request_id: str | None
    host: str = ""
