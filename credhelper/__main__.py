"""The program: `credhelper`, `python -m credhelper`, or this file alone, as `credhelper-get` runs it.

Alone it is compiled at every start, so it is small, and what it imports waits until collecting is off.
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
    place = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not __package__:
        sys.path.append(place)  # behind the standard library
    try:
        from credhelper import wire

        ticket = None
        if sys.argv[1:2] != ["get"]:
            gc.enable()
        elif not os.isatty(1):
            answer = wire.ask(sys.argv[2:], os.environ)
            if isinstance(answer, wire.Ticket):
                ticket = answer
            elif wire.relay(answer):
                os._exit(answer.status)  # everything is said, and there is nothing to tidy up
        if sys.argv[1:3] == ["agent", "--in"]:
            from credhelper import daemon

            return daemon.main(sys.argv[3:])
        if sys.flags.no_site:
            _bring_site_in(place)
        from credhelper import cli

        return cli.main(sys.argv[1:], began, ticket)
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


def _bring_site_in(place: str) -> None:
    """Find the libraries: the launcher starts the interpreter without its `site`."""
    import site

    site.main()
    if place not in site.getsitepackages():  # `pip install --user`, or a prefix that is not the interpreter's
        site.addsitedir(place)


if __name__ == "__main__":
    sys.exit(main())
