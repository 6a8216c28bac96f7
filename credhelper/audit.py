"""audit.jsonl: one line for every session minted or refused. Evidence, not proof: its owner can edit it.

CloudTrail has the access key id in every event of the session, and the request id in the event of its mint. A
line never contains a secret.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

from credhelper import paths
from credhelper.credentials import utc
from credhelper.errors import CredhelperError, os_reason

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from credhelper.log import Log


FREE_BYTES: Final = 65536
"""Bytes that have to be free before a mint whose line must be written: many times a line."""


@dataclass(frozen=True)
class Line:
    """What is known about one mint or refusal; None is unknown or not applicable."""

    outcome: str  # 'minted', 'refused' by AWS, 'failed' without an answer of AWS, 'declined' by the user
    profile: str
    api: str
    key: str | None = None  # the KEY of the call, also in `explain` and in the index of keyring items
    account: str | None = None
    account_name: str | None = None
    target: str | None = None  # the role's ARN, or the principal whose root it is
    task_policy: str | None = None
    region: str | None = None
    certificate: str | None = None  # 'not verified' with --no-verify-ssl
    error: str | None = None
    sentence: str | None = None
    access_key_id: str | None = None
    request_id: str | None = None
    expires: str | None = None
    source_identity: str | None = None
    source_arn: str | None = None
    reason: str | None = None
    confirmed_by: str | None = None
    program: str | None = None
    program_pid: int | None = None
    pid: int = field(default_factory=os.getpid)
    time: str = field(default_factory=lambda: utc(time.time()))


class Audit:
    """The audit log. Where it is required, nothing is minted whose line cannot be written."""

    def __init__(self, path: str, log: Log, *, required: bool = False) -> None:
        self._path = path
        self._log = log
        self._required = required

    def prepare(self) -> None:
        """Before a mint: raise CredhelperError where the log is required and cannot be written."""
        if not self._required:
            return
        trial = f"{self._path}.{os.getpid()}"
        try:
            os.close(paths.open_private(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT))
            with open(paths.open_private(trial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
                file.write(bytes(FREE_BYTES))  # on a full disk, the line would fail after the mint
        except OSError as error:
            raise self._unwritable(error) from None
        finally:
            with contextlib.suppress(OSError):
                os.unlink(trial)

    def write(self, line: Line) -> None:
        """Add a line. Raises CredhelperError where the log is required and cannot be written."""
        try:
            paths.append_line(self._path, json.dumps(asdict(line)))
        except OSError as error:
            if self._required and line.outcome == "minted":
                raise self._unwritable(error, "the new session is discarded") from None
            self._log.warning(f"the audit log cannot be written: {os_reason(error)}")

    def _unwritable(self, error: OSError, outcome: str = "nothing is minted") -> CredhelperError:
        why = os_reason(error)
        return CredhelperError(
            f"{outcome}: '[audit] required' is set, and '{self._path}' cannot be written ({why})"
        )

    def lines(self, keys: Collection[str] | None = None) -> Iterator[dict[str, object]]:
        """The lines, oldest first, of all calls or of those with these KEYs. Invalid lines are skipped."""
        for text in paths.read_lines(self._path):
            if keys is not None and not _mentions(text, keys):  # much quicker than parsing every line
                continue
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(line, dict) and isinstance(line.get("time"), str):
                yield line


def _mentions(line: str, keys: Collection[str]) -> bool:
    return any(found in keys for found in re.findall(r'"key": "([0-9a-f]{32})"', line))
