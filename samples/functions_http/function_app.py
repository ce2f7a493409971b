"""Two functions, Python v2 model: visits are counted by HTTP, and forgotten by a timer."""

import logging
import threading

import azure.functions as func
import psycopg2
from psycopg2.extensions import connection as Connection

import azpg_bootstrap as azpg

app = func.FunctionApp()

# The connection is prepared at import: a worker imports this file when it has its environment,
# and the token is there by the time the first request is.
database = azpg.Database.from_env()
database.prefetch()

# The worker runs functions in threads; a connection is of one thread, and reused by it.
threads = threading.local()


def connected() -> Connection:
    """Return this thread's connection, a new one if there is none or it has died.

    An instance may have been frozen for hours: only an answer shows that a connection is alive.
    """
    connection: Connection | None = getattr(threads, "connection", None)
    try:
        if connection:
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            return connection
    except (psycopg2.OperationalError, psycopg2.InterfaceError):
        logging.info("the connection has died")
    threads.connection = connection = database.connect()
    return connection


@app.route(route="visits", auth_level=func.AuthLevel.ANONYMOUS)
def visit(req: func.HttpRequest) -> func.HttpResponse:
    with connected() as connection, connection.cursor() as cursor:
        if req.method == "POST":
            cursor.execute("INSERT INTO visits DEFAULT VALUES")
        cursor.execute("SELECT count(*), current_user, pg_backend_pid() FROM visits")
        visits, role, backend = cursor.fetchone()
    return func.HttpResponse(f"{visits} visits, says {role} by connection {backend}")


@app.timer_trigger(schedule="0 0 3 * * *", arg_name="timer")
def forget(timer: func.TimerRequest) -> None:
    with connected() as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM visits WHERE made < now() - interval '30 days'")
        logging.info(
            "%s forgot %d visits", "late" if timer.past_due else "on time", cursor.rowcount
        )
