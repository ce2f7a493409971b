"""How long a person at a prompt waits for azpg, against what the prompt would do without it."""

import os
import sys
from collections.abc import Iterator

from azpg_bootstrap.sandbox import Sandbox

from .measure import Row, in_turn, program

ROUNDS = 15

AZPG = """
import os, sys
sys.stdout = open(os.devnull, "w")
sys.argv[1:] = {arguments!r}
from azpg_bootstrap.cli import main
try:
    code = main()
except SystemExit as done:  # argparse ends so after --help
    code = done.code
sys.exit(code)
"""

NOTHING = "pass"

ARGPARSE = "import argparse; argparse.ArgumentParser().format_help()"

BY_HAND = """
import os
from azure.identity import ManagedIdentityCredential
credential = ManagedIdentityCredential(client_id=os.getenv("AZURE_POSTGRESQL_CLIENTID"))
token = credential.get_token("https://ossrdbms-aad.database.windows.net/.default").token
open(os.devnull, "w").write(token)
"""


def rows() -> Iterator[Row]:
    """Measure `azpg --help` and `azpg token`, each a process of its own."""
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    helped = program(AZPG.format(arguments=["--help"]), kept)
    for what, theirs in (("Python alone", NOTHING), ("a parser alone", ARGPARSE)):
        yield in_turn(
            f"azpg --help, by {what}", helped, program(theirs, kept), rounds=ROUNDS, aim=""
        )
    with Sandbox() as sandbox:
        managed = kept | sandbox.environ("user-assigned")
        yield in_turn(
            "azpg token, by azure-identity in three lines",
            program(AZPG.format(arguments=["token"]), managed),
            program(BY_HAND, managed),
            rounds=ROUNDS,
            aim="1",
        )
