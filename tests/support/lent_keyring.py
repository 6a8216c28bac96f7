"""A keyring for machines without one: it is in the memory of another process, behind a socket.

CREDHELPER_KEYRING names its class, the only way to use a keyring other than the system's.
"""

from __future__ import annotations

import json
import os
import socket
import socketserver
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "LENT_KEYRING"


class LentKeyring(KeyringBackend):
    """Asks the socket that the environment names."""

    priority = 0  # type: ignore[assignment]

    def get_password(self, service: str, username: str) -> str | None:
        answer = _ask("get", service, username)
        return None if answer is None else str(answer)

    def set_password(self, service: str, username: str, password: str) -> None:
        _ask("set", service, username, password)

    def delete_password(self, service: str, username: str) -> None:
        if not _ask("delete", service, username):
            raise PasswordDeleteError


def _ask(*question: str) -> object:
    with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rw", encoding="utf-8") as stream:
        connection.connect(os.environ[VARIABLE])
        stream.write(json.dumps(question) + "\n")
        stream.flush()
        return json.loads(stream.readline())


@contextmanager
def lend(path: str) -> Iterator[dict[str, str]]:
    """Keep such a keyring at a socket; yields the environment that makes credhelper use it."""
    items: dict[str, str] = {}

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            verb, service, username, *password = json.loads(self.rfile.readline())
            key = json.dumps([service, username])
            answer: object = items.get(key) if verb == "get" else None
            if verb == "set":
                items[key] = password[0]
            elif verb == "delete":
                answer = items.pop(key, None) is not None
            self.wfile.write(json.dumps(answer).encode() + b"\n")

    server = socketserver.ThreadingUnixStreamServer(path, Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {
            VARIABLE: path,
            "CREDHELPER_KEYRING": f"{__name__}.LentKeyring",
            "PYTHONPATH": os.path.dirname(os.path.abspath(__file__)),
        }
    finally:
        server.shutdown()
        server.server_close()
