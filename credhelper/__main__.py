"""The program: `credhelper`, or `python -m credhelper`."""

from __future__ import annotations

import gc
import sys


def main() -> int:
    """Run the command line; returns the exit status."""
    gc.disable()  # a short life of imports and one call: collecting costs a tenth of it and frees nothing
    from credhelper import cli

    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
