"""`python -m memscope`."""

import sys

from memscope.cli import main

if __name__ == "__main__":
    sys.exit(main())
