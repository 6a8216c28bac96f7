"""The entry point: asks the agent, and loads the command line only if there is no answer.

A hit loads this module and `wire`. Neither imports anything that a bare interpreter lacks but `os` and
`_socket`, and those only once garbage collection is off.
"""

import gc
import sys


def main() -> int:
    """Ask the agent, or run the command line; returns the exit status."""
    gc.disable()  # it costs a tenth of a hit and frees nothing
    import os
    import time

    began = time.monotonic()  # before the other imports: in a herd they take seconds
    _fill_standard_streams()
    try:
        from credhelper import wire

        pending = None
        if sys.argv[1:2] != ["get"]:
            gc.enable()
        elif not os.isatty(1):
            answer = wire.ask(sys.argv[2:], os.environ)
            if isinstance(answer, wire.PendingRequest):
                pending = answer
            elif wire.relay(answer):
                os._exit(answer.status)  # nothing has to be cleaned up
        if sys.argv[1:3] == ["agent", "--in"]:
            from credhelper.agent import daemon

            return daemon.main(sys.argv[3:])
        if sys.flags.no_site:
            _add_site_packages()
        from credhelper.cli import main as cli_main

        return cli_main.main(sys.argv[1:], began, pending)
    except KeyboardInterrupt:
        os.write(2, b"credhelper: error: interrupted\n")
    except ImportError as error:
        problem = f"the installation is not complete: '{error.name}' is missing, or of another version"
        text = f"credhelper: error: {problem}\ncredhelper: hint: install credhelper again\n"
        os.write(2, text.encode("ascii", "replace"))
    return 1


def _fill_standard_streams() -> None:
    """Open the standard descriptors that the caller has closed.

    Otherwise the next socket or file gets the number of stdout, and the answer would go there. They are
    opened for reading, so that writing the answer still fails.
    """
    import os

    # A new descriptor gets the lowest free number.
    while (descriptor := os.open(os.devnull, os.O_RDONLY)) < 3:
        pass
    os.close(descriptor)


def _add_site_packages() -> None:
    """Make the libraries importable: the launcher starts the interpreter without `site`."""
    import os
    import site

    site.main()
    place = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if place not in site.getsitepackages():  # `pip install --user`, or a prefix that is not the interpreter's
        site.addsitedir(place)
