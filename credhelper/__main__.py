"""The program: `credhelper`, or `python -m credhelper`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; returns the exit status."""
    from credhelper import cli

    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
