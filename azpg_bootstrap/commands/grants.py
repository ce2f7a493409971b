"""`azpg grants`: the rights an application needs, as SQL for the owner, or compared."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from azpg_bootstrap.commands.exits import Exit, Failure
from azpg_bootstrap.commands.sql import keywords, rows, session, statement
from azpg_bootstrap.database import Database

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Psycopg2Connection  # noqa: N812


class Needs(NamedTuple):
    """The privileges that an application needs, by what they are on."""

    schema: tuple[str, ...] = ("USAGE",)
    tables: tuple[str, ...] = ("SELECT", "INSERT", "UPDATE", "DELETE")
    sequences: tuple[str, ...] = ("USAGE", "SELECT", "UPDATE")


READ_ONLY: Final = Needs(tables=("SELECT",), sequences=("SELECT",))

MIGRATIONS: Final = Needs(
    schema=("USAGE", "CREATE"),
    # A new table's foreign key may point to a table of another owner.
    tables=(*Needs().tables, "REFERENCES"),
)

HEADING: Final = (
    "-- In this database, as the owner of the schema and its tables, or as a member of both.\n"
    "-- Default privileges hold for what the role after FOR ROLE, or else who runs this, creates."
)

# What is in the schema, and who else owns any of it. What belongs to an extension, such as PostGIS,
# is its own affair, and mostly Azure's property.
RELATIONS: Final = """
WITH schema AS (SELECT oid, nspname FROM pg_namespace WHERE nspname = %(schema)s),
relation AS (
    SELECT c.* FROM pg_class c JOIN schema ON c.relnamespace = schema.oid
    WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
),
owner AS (SELECT DISTINCT relowner AS oid FROM relation
          WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
          AND pg_get_userbyid(relowner) <> %(role)s)"""

OWNERS: Final = f"{RELATIONS} SELECT pg_get_userbyid(oid) FROM owner ORDER BY 1"  # noqa: S608, our own

# Each row: what it is, its name, and the privilege that is missing on it.
MISSING: Final = f"""
{RELATIONS},
future AS (
    SELECT 'r' AS kind, 'tables to come of' AS what, unnest(%(tables)s::text[]) AS privilege
    UNION ALL SELECT 'S', 'sequences to come of', unnest(%(sequences)s::text[])
),
granted AS (
    SELECT d.defaclrole AS owner, d.defaclobjtype::text AS kind, a.privilege_type AS privilege
    FROM pg_default_acl d, aclexplode(d.defaclacl) a
    WHERE (d.defaclnamespace = 0 OR d.defaclnamespace IN (SELECT oid FROM schema))
      AND CASE a.grantee WHEN 0 THEN true ELSE pg_has_role(%(role)s, a.grantee, 'USAGE') END
)
SELECT 'schema', nspname, privilege
FROM schema, unnest(%(on_schema)s::text[]) privilege
WHERE NOT has_schema_privilege(%(role)s, schema.oid, privilege)
UNION ALL
SELECT 'table', relname, privilege FROM relation, unnest(%(tables)s::text[]) privilege
WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT has_table_privilege(%(role)s, oid, privilege)
UNION ALL
SELECT 'sequence', relname, privilege FROM relation, unnest(%(sequences)s::text[]) privilege
WHERE relkind = 'S' AND NOT has_sequence_privilege(%(role)s, oid, privilege)
UNION ALL
SELECT what, pg_get_userbyid(owner.oid), privilege FROM owner, future
WHERE NOT EXISTS (
    SELECT FROM granted g WHERE g.owner = owner.oid AND g.kind = future.kind
    AND g.privilege = future.privilege
)
ORDER BY 1, 2, 3
"""  # noqa: S608


class Missing(NamedTuple):
    """Privileges that the role lacks on one object."""

    what: str
    name: str
    privileges: list[str]


def run(options: argparse.Namespace) -> int:
    """Print the SQL, or with --check what is missing; connects as the role itself, or another."""
    if options.json and not options.check:
        raise Failure("--json is for --check: SQL is text", code=Exit.USAGE)
    needs = READ_ONLY if options.read_only else MIGRATIONS if options.migrations else Needs()
    with session(Database.from_env(options.connection)) as connection:
        role = options.role or rows(connection, "SELECT current_user")[0][0]
        _require(connection, options.schema, role)
        if options.check:
            return _report(missing(connection, options.schema, role, needs), as_json=options.json)
        lines = script(connection, options.schema, role, needs)
        sys.stdout.writelines(f"{line}\n" for line in lines)
    return Exit.DONE


def script(connection: Psycopg2Connection, schema: str, role: str, needs: Needs) -> Iterator[str]:
    """Return the statements that give a role what it needs."""
    owners = [owner for (owner,) in rows(connection, OWNERS, schema=schema, role=role)]

    def filled(template: str, privileges: tuple[str, ...], **names: str) -> str:
        names |= {"schema": schema, "role": role}
        return statement(connection, template, privileges=keywords(privileges), **names)

    yield HEADING  # without the owners' names: one with a line break would end the comment
    yield filled("GRANT {privileges} ON SCHEMA {schema} TO {role};", needs.schema)
    for kind, privileges in (("TABLES", needs.tables), ("SEQUENCES", needs.sequences)):
        to_come = f"IN SCHEMA {{schema}} GRANT {{privileges}} ON {kind} TO {{role}};"
        yield filled(
            f"GRANT {{privileges}} ON ALL {kind} IN SCHEMA {{schema}} TO {{role}};", privileges
        )
        for owner in owners:
            future = f"ALTER DEFAULT PRIVILEGES FOR ROLE {{owner}} {to_come}"
            yield filled(future, privileges, owner=owner)
        if not owners:
            yield filled(f"ALTER DEFAULT PRIVILEGES {to_come}", privileges)


def missing(connection: Psycopg2Connection, schema: str, role: str, needs: Needs) -> list[Missing]:
    """Return what a role lacks, the tables to come included."""
    found: dict[tuple[str, str], list[str]] = {}
    values: dict[str, Any] = {"schema": schema, "role": role, "on_schema": list(needs.schema)}
    values |= {"tables": list(needs.tables), "sequences": list(needs.sequences)}
    for what, name, privilege in rows(connection, MISSING, **values):
        found.setdefault((what, name), []).append(privilege)
    return [Missing(*key, privileges) for key, privileges in found.items()]


def _report(lacking: list[Missing], *, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(json.dumps([each._asdict() for each in lacking], indent=2) + "\n")
    else:
        for what, name, privileges in lacking:
            sys.stdout.write(f"missing on {what} {name}: {', '.join(privileges)}\n")
    return Exit.FAILED if lacking else Exit.DONE


def _require(connection: Psycopg2Connection, schema: str, role: str) -> None:
    if not rows(connection, "SELECT 1 FROM pg_namespace WHERE nspname = %(schema)s", schema=schema):
        raise Failure("this database has no such schema; names are case-sensitive")
    if not rows(connection, "SELECT 1 FROM pg_roles WHERE rolname = %(role)s", role=role):
        raise Failure("the server has no such role; names are case-sensitive")
