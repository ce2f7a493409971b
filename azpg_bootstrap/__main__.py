"""`python -m azpg_bootstrap` is `azpg`."""

import sys

from azpg_bootstrap.cli import main

if __name__ == "__main__":
    sys.exit(main())
