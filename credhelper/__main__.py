"""The program: `credhelper`, or `python -m credhelper`."""

from __future__ import annotations

import gc
import os
import sys
import time


def main() -> int:
    """Run the command line; returns the exit status."""
    began = time.monotonic()  # before the imports: in a herd they take seconds
    if sys.argv[1:2] == ["get"]:  # imports and one call: collecting costs a tenth of it and frees nothing
        gc.disable()
    _fill_standard_streams()
    try:
        from credhelper import cli

        return cli.main(sys.argv[1:], began)
    except KeyboardInterrupt:
        os.write(2, b"credhelper: error: interrupted\n")
        return 1


def _fill_standard_streams() -> None:
    """Put something into descriptors 0 to 2 that a caller has closed.

    Otherwise the next socket or file gets the number of stdout, and the answer would go there. What is put
    there can only be read, so that writing the answer still fails.
    """
    # A new descriptor gets the lowest free number: as long as that is one of the three, it was closed.
    while (descriptor := os.open(os.devnull, os.O_RDONLY)) < 3:
        pass
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
