"""A loopback AWS by moto, for what only AWS's own rules show."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from moto.organizations.models import organizations_backends
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def moto_aws() -> Iterator[str]:
    """Its URL. It has no organization yet: moto keeps one state for all servers of a process."""
    organizations_backends.reset()
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()
