"""`make bench`: print the table, whole or by the modules named."""

import platform
import sys
from importlib import import_module

from .measure import HEADING

MODULES = ("warm", "cold_start", "tokens", "startup")


def main() -> None:
    """Measure the modules named on the command line, or all."""
    print(f"{platform.machine()}, Python {platform.python_version()}, times in ms", flush=True)
    print(HEADING, flush=True)
    for name in sys.argv[1:] or MODULES:
        for row in import_module(f"tests.benchmarks.{name}").rows():
            print(row, flush=True)


if __name__ == "__main__":
    main()
