"""``python -m colocation``."""

import sys

from colocation.cli import main

if __name__ == "__main__":
    sys.exit(main())
