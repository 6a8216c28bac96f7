"""`python -m credhelper`, or this file as a script, as `credhelper-get` runs it (compiled at every start)."""

import sys

if not __package__:
    sys.path.append(__file__.rpartition("/")[0].rpartition("/")[0])  # after the standard library

from credhelper.start import main

if __name__ == "__main__":
    sys.exit(main())
