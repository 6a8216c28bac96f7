"""What the AWS libraries log while they work for us: nothing below INFO, since DEBUG prints whole answers.

Only while they work for us: in a program that is not ours, the levels of these loggers are that program's.
"""

from __future__ import annotations

import functools
import logging
import threading
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
LIBRARIES: Final = ("botocore", "boto3", "urllib3")

_thread = threading.local()


def quiet(call: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """The same call, quiet in whatever thread it is made."""

    @functools.wraps(call)
    def quietly(*arguments: Arguments.args, **named: Arguments.kwargs) -> Answer:
        _filter_loggers()
        before, _thread.is_ours = _is_ours(), True
        try:
            return call(*arguments, **named)
        finally:
            _thread.is_ours = before

    return quietly


def _is_ours() -> bool:
    return getattr(_thread, "is_ours", False)


def _passes(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.INFO or not _is_ours()


def _filter_loggers() -> None:
    """Each logger by itself, because a filter on a parent does not see what its children pass on."""
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.partition(".")[0] in LIBRARIES and isinstance(logger, logging.Logger):
            logger.addFilter(_passes)  # once: it is not added a second time
