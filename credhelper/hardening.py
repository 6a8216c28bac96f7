"""A process that holds secrets for long: no core file of it, and no look into its memory."""

import sys


def close_memory() -> None:
    """Keep this process's memory and environment from core files, and from other processes of the same user.

    What it starts is not concerned: a program is as open as it has always been once it runs.
    """
    if sys.platform == "win32":
        return
    import ctypes

    system = ctypes.CDLL(None)
    if sys.platform == "linux":
        system.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
    elif sys.platform == "darwin":
        system.ptrace(31, 0, None, 0)  # PT_DENY_ATTACH
