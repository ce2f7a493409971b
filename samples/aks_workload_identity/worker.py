"""A worker in a cluster: takes jobs off a table, as many replicas of it as you like."""

import signal
import threading

import psycopg2

import azpg_bootstrap as azpg

PAUSE = 1.0
"""Seconds between two looks at an empty table."""

# SKIP LOCKED: a job that one replica is at is not there for the others.
TAKE = """
    DELETE FROM jobs WHERE id = (
        SELECT id FROM jobs ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
    ) RETURNING task
"""


def work(database: azpg.Database, stopping: threading.Event) -> None:
    """Do jobs on one connection until it is time to stop. Raises what the driver raises."""
    connection = database.connect()
    try:
        print(f"connected as {connection.info.user} by {database.auth_method}", flush=True)
        while not stopping.is_set():
            # The job is gone from the table when it is done; if it fails, it is still there.
            with connection, connection.cursor() as cursor:
                cursor.execute(TAKE)
                job = cursor.fetchone()
                if job:
                    print(f"did {job[0]}", flush=True)
            if not job:
                stopping.wait(PAUSE)
    finally:
        connection.close()


def main() -> None:
    stopping = threading.Event()
    # Kubernetes sends SIGTERM and waits: the job at hand is finished, no other begun.
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    database = azpg.Database.from_env()
    while not stopping.is_set():
        try:
            work(database, stopping)
        except (psycopg2.OperationalError, psycopg2.InterfaceError, azpg.TokenError) as error:
            # A server that is patched closes its connections; the next one gets a new token.
            print(f"connecting again: {str(error).splitlines()[0]}", flush=True)
            stopping.wait(PAUSE)
    print("stopped", flush=True)


if __name__ == "__main__":
    main()
