"""`azpg demo`: each auth method, by connect() and by Django, against a real server.

Every line of the table is a program of its own, given what Service Connector sets and no more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any, Final, get_args

from azpg_bootstrap.commands.rehearsal import started
from azpg_bootstrap.sandbox import Sandbox
from azpg_bootstrap.sandbox.variables import Auth

BY_CONNECT: Final = """
import azpg_bootstrap as azpg
database = azpg.Database.from_env()
connection = database.connect()
"""

BY_DJANGO: Final = """
import azpg_bootstrap as azpg
from django.conf import settings
from django.db import connection as django
settings.configure(DATABASES={"default": {"ENGINE": "django_backend"}})
django.ensure_connection()
database = azpg.Database.from_env()
connection = django.connection
"""

REPORT: Final = """
import json
cursor = connection.cursor()
cursor.execute("SELECT current_user, current_setting('server_version')")
role, server = cursor.fetchone()
info = connection.info
attribute = getattr(info, "ssl_attribute", None)  # psycopg 3 has none
print(json.dumps({
    "role": role,
    "server": server.split()[0],
    "tls": attribute("protocol") if attribute else "TLS",
    "sslmode": info.dsn_parameters["sslmode"] if attribute else info.get_parameters()["sslmode"],
    "until": database.token_expires_on(),
}))
"""

PROGRAMS: Final = {"connect()": BY_CONNECT, "Django": BY_DJANGO}

METHODS: Final[tuple[Auth, ...]] = get_args(Auth)

LINE: Final = "{:<18} {:<10} {:<13} {:<7} {:<8} {:<12} {}\n"
HEADING: Final = LINE.format(
    "AUTH METHOD", "OPENED BY", "ROLE", "SERVER", "TLS", "SSLMODE", "TOKEN"
)


def run(_options: argparse.Namespace) -> int:
    """Print the table; return 1 if a connection did not open."""
    failed = 0
    with started(Sandbox()) as sandbox:
        sys.stdout.write(HEADING)
        for auth in METHODS:
            for by, program in PROGRAMS.items():
                answer = _run(program, sandbox.environ(auth))
                failed += "error" in answer
                sys.stdout.write(_line(auth, by, answer))
                sys.stdout.flush()
    return 1 if failed else 0


def _run(program: str, variables: dict[str, str]) -> dict[str, Any]:
    # Besides the variables, what Python itself needs to start as it did here.
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    python_path = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", program + REPORT],
        env=kept | python_path | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return {"error": done.stderr.strip().rpartition("\n")[2]}
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _line(auth: str, by: str, answer: dict[str, Any]) -> str:
    if "error" in answer:
        return f"{auth:<18} {by:<10} {answer['error']}\n"
    token = "none: a password" if answer["until"] is None else _left(answer["until"])
    found = (answer[column] for column in ("role", "server", "tls", "sslmode"))
    return LINE.format(auth, by, *found, token)


def _left(until: float) -> str:
    minutes = round((until - time.time()) / 60)
    return f"good for {minutes // 60} h {minutes % 60:02} min"
