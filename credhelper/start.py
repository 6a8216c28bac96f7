"""What the program does first: ask the agent, and only without an answer load the command line.

A hit costs what this room and `wire.py` cost, so neither imports anything that a bare interpreter lacks but
os and _socket, and that waits until collecting is off.
"""

import gc
import sys


def main() -> int:
    """Ask the agent, or run the command line; returns the exit status."""
    gc.disable()  # imports and one call: collecting costs a tenth of it and frees nothing
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
                os._exit(answer.status)  # everything is said, and there is nothing to tidy up
        if sys.argv[1:3] == ["agent", "--in"]:
            from credhelper.agent import daemon

            return daemon.main(sys.argv[3:])
        if sys.flags.no_site:
            _bring_site_in()
        from credhelper.cli import main as cli_main

        return cli_main.main(sys.argv[1:], began, pending)
    except KeyboardInterrupt:
        os.write(2, b"credhelper: error: interrupted\n")
    except ImportError as error:
        said = f"the installation is not complete: '{error.name}' is missing, or of another version"
        said = f"credhelper: error: {said}\ncredhelper: hint: install credhelper again\n"
        os.write(2, said.encode("ascii", "replace"))
    return 1


def _fill_standard_streams() -> None:
    """Put something into descriptors 0 to 2 that a caller has closed.

    Otherwise the next socket or file gets the number of stdout, and the answer would go there. What is put
    there can only be read, so that writing the answer still fails.
    """
    import os

    # A new descriptor gets the lowest free number: as long as that is one of the three, it was closed.
    while (descriptor := os.open(os.devnull, os.O_RDONLY)) < 3:
        pass
    os.close(descriptor)


def _bring_site_in() -> None:
    """Find the libraries: the launcher starts the interpreter without its `site`."""
    import os
    import site

    site.main()
    place = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if place not in site.getsitepackages():  # `pip install --user`, or a prefix that is not the interpreter's
        site.addsitedir(place)
