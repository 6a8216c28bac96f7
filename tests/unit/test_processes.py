"""Signals of this process, without another one."""

from __future__ import annotations

import os
import signal

from credhelper.processes import CaughtSignals


def test_signal_right_after_its_handler_is_set_is_caught(monkeypatch) -> None:
    install, sent = signal.signal, []

    def install_and_send(number: int, handler: object) -> object:
        before = install(number, handler)  # type: ignore[arg-type]
        if not sent:
            sent.append(number)
            os.kill(os.getpid(), number)
        return before

    monkeypatch.setattr(signal, "signal", install_and_send)
    with CaughtSignals([signal.SIGUSR1]) as signals:
        signals.setblocking(False)

        assert signals.recv(1) == bytes([signal.SIGUSR1])
