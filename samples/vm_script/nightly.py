"""The nightly job of a virtual machine: sums up each day's sales into a report.

It may run for longer than its token lives. A token is asked for when a connection is opened, and
never again: the connection that reads goes on, and the one that writes is opened with a new token.
"""

import io
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import groupby

import azpg_bootstrap as azpg

BATCH = 10_000
"""Rows that one answer of the server's holds: memory stays the same however large the table."""

Sale = tuple[date, Decimal]


def read(database: azpg.Database) -> Iterator[Sale]:
    """Read all sales in order, by a server-side cursor."""
    connection = database.connect()
    try:
        with connection.cursor("sales") as cursor:  # a cursor with a name is kept by the server
            cursor.itersize = BATCH
            cursor.execute("SELECT day, amount FROM sales ORDER BY day")
            yield from cursor
    finally:
        connection.close()


def sum_up(sales: Iterator[Sale]) -> Iterator[str]:
    """Return a line in COPY's text format for each day."""
    for day, of_day in groupby(sales, key=lambda sale: sale[0]):
        total = sum(amount for _, amount in of_day)
        yield f"{day}\t{total}\n"


def write(database: azpg.Database, lines: str) -> None:
    """Replace the report; a job that fails leaves the old one."""
    connection = database.connect()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("DELETE FROM report")  # TRUNCATE is the owner's
            cursor.copy_expert("COPY report (day, total) FROM STDIN", io.StringIO(lines))
    finally:
        connection.close()


def main() -> None:
    database = azpg.Database.from_env()
    print(f"reading from {database}", flush=True)
    lines = list(sum_up(read(database)))
    write(database, "".join(lines))
    print(f"wrote {len(lines)} days", flush=True)


if __name__ == "__main__":
    main()
