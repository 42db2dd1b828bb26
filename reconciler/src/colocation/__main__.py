"""``python -m colocation``."""

import faulthandler
import sys

from colocation.cli import main

if __name__ == "__main__":
    faulthandler.enable()  # should a library crash, its last lines are in the pod's log
    sys.exit(main())
