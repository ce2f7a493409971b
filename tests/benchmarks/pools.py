"""What pools cost a running program, beside the same pools with a password that never changes.

Rows are in milliseconds for a number of requests or checkouts, so that a ratio of 1.02 is 0.98 of
the requests a second.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import Any

import azpg_bootstrap as azpg
from azpg_bootstrap.sandbox import Sandbox

from .measure import Row, Run, in_turn

REQUESTS = 300
"""Requests or checkouts of a run: enough that a run takes a good part of a second."""

ROUNDS = 21

TOKEN_LIFETIME = 3.0
"""Seconds: tokens are renewed all the while."""

AIM = "1.02"


def rows() -> Iterator[Row]:
    """Compare Django's native pool, SQLAlchemy's and asyncpg's."""
    with Sandbox() as sandbox:
        os.environ.update(sandbox.environ(client="django"))
        # The same role by a token that outlives the measurement: a password like any other.
        plain = azpg.Database.from_env(given={"password": sandbox.issue_token()})
        sandbox.faults(token_lifetime=TOKEN_LIFETIME)
        yield django_row(plain)
        yield sqlalchemy_row(plain)
        yield asyncpg_row(plain)


def django_row(plain: azpg.Database) -> Row:
    """Compare a view's requests, each with a checkout of the native pool."""
    options = plain.params()
    settings = {"NAME": "dbname", "HOST": "host", "PORT": "port", "USER": "user"}
    parts = {setting: options.pop(keyword) for setting, keyword in settings.items()}
    stock = {"ENGINE": "django.db.backends.postgresql", "PASSWORD": plain.password(), **parts}
    configure(
        {
            "default": {"ENGINE": "django_backend", "OPTIONS": {"pool": True}},
            "stock": {**stock, "OPTIONS": {**options, "pool": True}},
        }
    )
    from django.db import connections
    from django.test import RequestFactory

    request = RequestFactory().get("/")
    row = in_turn(
        f"{REQUESTS} requests of a Django view, through the native pool",
        requests("default", request),
        requests("stock", request),
        rounds=ROUNDS,
        aim=AIM,
    )
    for wrapper in connections.all():
        wrapper.close_pool()  # type: ignore[attr-defined]
    return row


def configure(databases: dict[str, Any]) -> None:
    import django
    from django.conf import settings

    settings.configure(DATABASES=databases, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
    django.setup()


urlpatterns: list[Any] = []


def requests(alias: str, request: Any) -> Run:
    """Return a run of requests: a view that asks the database, with Django's signals around it."""
    from django.core.signals import request_finished, request_started
    from django.db import connections
    from django.http import JsonResponse

    def view(_request: Any) -> JsonResponse:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT 1")
            return JsonResponse({"one": cursor.fetchone()[0]})

    def run() -> None:
        for _ in range(REQUESTS):
            request_started.send(None)
            view(request)
            request_finished.send(None)

    return run


def sqlalchemy_row(plain: azpg.Database) -> Row:
    """Compare checkouts of an Engine's pool."""
    from sqlalchemy import URL, create_engine

    params = plain.params()
    url = URL.create("postgresql+psycopg2")
    theirs = create_engine(url, connect_args={**params, "password": plain.password()})
    ours = azpg.sqlalchemy_engine()

    def checkouts(engine: Any) -> Run:
        def run() -> None:
            for _ in range(REQUESTS):
                with engine.connect() as connection:
                    connection.exec_driver_sql("SELECT 1")

        return run

    row = in_turn(
        f"{REQUESTS} checkouts of a SQLAlchemy engine",
        checkouts(ours),
        checkouts(theirs),
        rounds=ROUNDS,
        aim=AIM,
    )
    ours.dispose()
    theirs.dispose()
    return row


def asyncpg_row(plain: azpg.Database) -> Row:
    """Compare checkouts of asyncpg's pool."""
    import asyncpg

    from azpg_bootstrap.drivers.asyncpg import from_libpq

    with asyncio.Runner() as runner:
        password = plain.password()
        keywords = runner.run(from_libpq({**plain.params(), "password": password}))

        async def make(create: Callable[..., Any], **more: Any) -> Any:
            return await create(min_size=1, max_size=4, **more)

        ours = runner.run(make(azpg.asyncpg_pool))
        theirs = runner.run(make(asyncpg.create_pool, **keywords))

        async def checkouts(pool: Any) -> None:
            for _ in range(REQUESTS):
                async with pool.acquire() as connection:
                    await connection.fetchval("SELECT 1")

        row = in_turn(
            f"{REQUESTS} checkouts of an asyncpg pool",
            lambda: runner.run(checkouts(ours)),
            lambda: runner.run(checkouts(theirs)),
            rounds=ROUNDS,
            aim=AIM,
        )
        for pool in (ours, theirs):
            runner.run(pool.close())
    return row
