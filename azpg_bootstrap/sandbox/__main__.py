"""Run the supervisor; class Sandbox does so, and talks with it on standard input and output."""

import json
import sys

from .supervisor import main

if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
