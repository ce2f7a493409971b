"""The steps of `azpg check` from the login on: who we are to the server, and what we may do."""

from __future__ import annotations

import shlex
from typing import Any, Final

from azpg_bootstrap.commands.approach import span
from azpg_bootstrap.commands.exits import Failure
from azpg_bootstrap.commands.finding import Finding, State
from azpg_bootstrap.commands.sql import log_in, rows
from azpg_bootstrap.commands.walk import Walk

NOTABLE_SKEW: Final = 30.0
"""Seconds; less says nothing about the reasons of a refused token."""

POOLED: Final = (
    "Azure's pools by transaction: server-side cursors do not outlive one (Django has",
    "DISABLE_SERVER_SIDE_CURSORS), nor do settings of a session.",
)

# Roles of Entra carry a label (documentation "Manage Microsoft Entra roles"); on single servers,
# and on some flexible ones, they are members of azure_ad_user.
ROLE: Final = """
SELECT current_user, current_database(), current_setting('server_version'), r.rolsuper,
    EXISTS (SELECT FROM pg_shseclabel l WHERE l.classoid = 'pg_authid'::regclass
            AND l.objoid = r.oid AND l.provider LIKE 'pgaadauth%%')
    OR EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
               WHERE m.member = r.oid AND g.rolname = 'azure_ad_user'),
    to_regnamespace('public') IS NOT NULL
    AND has_schema_privilege(to_regnamespace('public'), 'CREATE')
FROM pg_roles r WHERE r.rolname = current_user
"""

TABLES: Final = """
SELECT count(*), count(*) FILTER (WHERE has_table_privilege(c.oid, 'SELECT')),
    count(*) FILTER (WHERE has_table_privilege(c.oid, 'INSERT')
                     AND has_table_privilege(c.oid, 'UPDATE')
                     AND has_table_privilege(c.oid, 'DELETE')),
    count(*) FILTER (WHERE pg_get_userbyid(c.relowner) = current_user)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    AND n.nspname NOT LIKE 'pg\\_toast%%' AND n.nspname NOT LIKE 'pg\\_temp%%'
"""


def login(walk: Walk) -> Finding:
    """Log in as the application would."""
    walk.connection = log_in(walk.database)
    _ask(walk, "SELECT 1")
    return Finding("the server let us in, and a query ran")


def role(walk: Walk) -> Finding:
    """Say who we are to the server, and what kind of role that is."""
    user, database, version, is_super, is_entra, may_create = _ask(walk, ROLE)
    data = {
        "role": user,
        "database": database,
        "server_version": version,
        "is_superuser": is_super,
        "is_entra": is_entra,
        "may_create_in_public": may_create,
    }
    kind = "an Entra role" if is_entra else "no Entra role"
    rank = ", SUPERUSER: too much for an application" if is_super else ", no superuser"
    create = "may" if may_create else "may not"
    text = f"{user} on {database}, PostgreSQL {version.partition(' ')[0]}"
    text += f"\n{kind}{rank}; {create} create tables in schema public"
    return Finding(text, State.NOTE if is_super else State.OK, data)


def tables(walk: Walk) -> Finding:
    """Say what the role may do with the tables that are there."""
    found, readable, writable, own = _ask(walk, TABLES)
    data = {"tables": found, "readable": readable, "writable": writable, "own": own}
    if not found:
        return Finding("there are none yet", data=data)
    text = f"{found}, of which it may read {readable} and write {writable}; {own} are its own"
    if readable == found:
        return Finding(text, data=data)
    advice = ("The owner can run what this prints, for each schema that is meant:",)
    return Finding(text, State.NOTE, data, (*advice, _grants(walk)))


def pooler(walk: Walk) -> Finding:
    """Tell a pooler by the process id: a pooler invents the one it tells its clients."""
    connection = walk.connection
    assert connection  # noqa: S101 - the login has been made
    told, (real,) = connection.info.backend_pid, _ask(walk, "SELECT pg_backend_pid()")
    port = str(walk.params["port"])
    data = {"is_pooled": told != real, "port": port}
    if told != real:
        text = "there is one, PgBouncer presumably: the process id it tells is not the server's"
        return Finding(text, State.NOTE, data, POOLED)
    if walk.database.behind_pgbouncer:
        return Finding("not noticed, though the port is PgBouncer's", data=data)
    return Finding("none noticed", data=data)


def clock(walk: Walk) -> Finding:
    """Compare the clocks, as well as a query's way there and back allows."""
    before = walk.clock()
    (server,) = _ask(walk, "SELECT extract(epoch FROM clock_timestamp())::float8")
    after = walk.clock()
    skew = server - (before + after) / 2
    data = {"skew": round(skew, 3), "uncertainty": round((after - before) / 2, 3)}
    if abs(skew) <= NOTABLE_SKEW:
        return Finding(f"the server's agrees with ours to {abs(skew):.1f} s", data=data)
    direction = "ahead of" if skew > 0 else "behind"
    return Finding(
        f"the server's is {span(abs(skew))} {direction} ours",
        State.NOTE,
        data,
        ("Set this machine's clock by NTP: a token may count as expired, or as not yet valid.",),
    )


def _ask(walk: Walk, query: str) -> tuple[Any, ...]:
    if walk.connection is None:
        raise Failure("there is no connection")
    return rows(walk.connection, query)[0]


def _grants(walk: Walk) -> str:
    return f"  azpg grants --connection {shlex.quote(walk.name)}" if walk.name else "  azpg grants"
