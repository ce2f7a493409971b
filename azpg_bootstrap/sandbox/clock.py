"""A server whose clock is off: SQL's own functions that tell the time are put behind others.

CURRENT_TIMESTAMP is no function to PostgreSQL and stays right; now() and clock_timestamp() do not.
"""

from .server import Server

_SET = """
CREATE SCHEMA IF NOT EXISTS sandbox_clock;
GRANT USAGE ON SCHEMA sandbox_clock TO PUBLIC;
CREATE OR REPLACE FUNCTION sandbox_clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql
AS $$ SELECT pg_catalog.clock_timestamp() + make_interval(secs => {seconds}) $$;
CREATE OR REPLACE FUNCTION sandbox_clock.now() RETURNS timestamptz LANGUAGE sql
AS $$ SELECT pg_catalog.now() + make_interval(secs => {seconds}) $$;
ALTER DATABASE {database} SET search_path = sandbox_clock, pg_catalog, "$user", public;
"""

_RESET = """
ALTER DATABASE {database} RESET search_path;
DROP SCHEMA IF EXISTS sandbox_clock CASCADE;
"""


def put_off(server: Server, database: str, seconds: float) -> None:
    """Let new sessions of a database see a clock that is ahead; 0 puts it right."""
    script = (_SET if seconds else _RESET).format(database=database, seconds=float(seconds))
    connection = server.connect(database)
    try:
        with connection.cursor() as cursor:
            cursor.execute(script)
    finally:
        connection.close()
