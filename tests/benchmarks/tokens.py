"""What tokens cost a running program: renewals, herds and memory."""

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

from azure.identity import ManagedIdentityCredential

import azpg_bootstrap as azpg
from azpg_bootstrap.sandbox import Sandbox

from .cold_start import OURS, PLAIN
from .measure import MILLISECONDS, Row, Run, seconds

THREADS = 64

LIFETIME = 40.0
"""Seconds: stale after 32, expired after 36, which leaves a slow endpoint its 2 seconds."""

SLOW = 2.0
"""Seconds that the endpoint takes."""

SCOPE = "https://ossrdbms-aad.database.windows.net/.default"

WORKERS = 8

PRE_FORKING_SERVER = f"""
import os
import azpg_bootstrap as azpg
azpg.Database.from_env().prefetch()
azpg.connect().close()
children = [os.fork() or (azpg.connect().close(), os._exit(0)) for _ in range({WORKERS})]
for child in children:
    os.waitpid(child, 0)
"""

RESIDENT = """
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS")))
"""


def rows() -> Iterator[Row]:
    """Count requests and megabytes, and look for the connection that waited for a renewal."""
    with Sandbox(token_lifetime=LIFETIME) as sandbox:
        os.environ.update(sandbox.environ())
        sandbox.faults(latency=SLOW)
        yield _renewal()
        os.environ["AZURE_CLIENT_SECRET"] = "tells this identity from the one that has a token"
        database, credential = azpg.Database.from_env(), ManagedIdentityCredential()
        ours = _herd(sandbox, database.password)
        theirs = _herd(sandbox, lambda: credential.get_token(SCOPE))
        yield Row(f"requests of {THREADS} cold threads, by azure-identity's", ours, theirs, "")
        sandbox.reset()
        kept = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
        managed = kept | sandbox.environ()
        subprocess.run([sys.executable, "-c", PRE_FORKING_SERVER], env=managed, check=True)
        yield Row(f"requests of {WORKERS} forked workers, by one", sandbox.token_requests, 1, "1")
        secret = kept | sandbox.environ("secret")
        plain = _megabytes(PLAIN, secret)
        yield Row("megabytes of a worker, by psycopg2 alone", _megabytes(OURS, managed), plain, "")
        yield Row("the same, secret auth", _megabytes(OURS, secret), plain, "")


def _renewal() -> Row:
    database = azpg.Database.from_env()
    database.connect().close()
    end = time.monotonic() + LIFETIME
    times = []
    while time.monotonic() < end:
        times.append(seconds(lambda: database.connect().close()) * MILLISECONDS)
    what = f"slowest connection while renewing in {SLOW:g} s, by the median"
    return Row(what, max(times), statistics.median(times), "")


def _herd(sandbox: Sandbox, ask: Run) -> int:
    sandbox.reset()
    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sandbox.token_requests


def _megabytes(code: str, environ: dict[str, str]) -> float:
    command = [sys.executable, "-c", code + RESIDENT]
    done = subprocess.run(command, env=environ, check=True, capture_output=True)
    return int(done.stdout) / 1024
