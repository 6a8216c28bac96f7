"""Closes the memory of a process that holds secrets for long."""

import sys


def close_memory() -> None:
    """Allow no core file of this process, and no other process of its user to read its memory or environment.

    Programs that it starts are not affected.
    """
    if sys.platform == "win32":
        return
    import ctypes

    system = ctypes.CDLL(None)
    if sys.platform == "linux":
        system.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
    elif sys.platform == "darwin":
        system.ptrace(31, 0, None, 0)  # PT_DENY_ATTACH
