"""The server's roles: which of them belong to Entra, and whose token opens which."""

import secrets
from dataclasses import dataclass
from typing import Any, get_args

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812, the class is named so

from . import refusals
from .errors import SandboxError
from .identities import (
    ADMINISTRATOR,
    PERSON,
    SERVICE_PRINCIPAL,
    SYSTEM_ASSIGNED,
    USER_ASSIGNED,
    Kind,
)
from .pgaadauth import (
    ADMIN_GROUP,
    ENTRA_GROUP,
    INSTALL,
    LABEL_OF,
    TENANT,
    parse_label,
    tenant,
)
from .server import Server
from .tokens import Claims

DATABASE = "appdb"
PASSWORD_ROLE = "app_password"  # noqa: S105, a name

# What Service Connector grants, and two things more, as the sandbox is for rehearsals:
# CREATE on the schema for migrations, which on Azure an administrator has to grant by hand.
_GRANTS = (
    "GRANT ALL ON DATABASE {database} TO {role}",
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
    "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}",
    "GRANT CREATE ON SCHEMA public TO {role}",
)

# CREATEDB is the other one: `manage.py test` makes a database of its own.
_ALLOW_TESTS = "ALTER ROLE {role} CREATEDB"
_CREATE_PASSWORD = "CREATE ROLE {role} LOGIN CREATEDB PASSWORD {password}"  # noqa: S105, a template

_GROUPS = ("CREATE ROLE {group}", "CREATE ROLE {admins}")
_CREATE_ENTRA = "SELECT pgaadauth_create_principal_with_oid(%s, %s, %s, %s, false)"
_ROLE_EXISTS = "SELECT 1 FROM pg_roles WHERE rolname = %s"
_CREATE_OWNER = "CREATE ROLE {role} ROLE {admins}"
_CREATE_TABLE = (
    "CREATE TABLE public.{table} (id bigserial PRIMARY KEY)",
    "ALTER TABLE public.{table} OWNER TO {role}",
)


@dataclass(frozen=True)
class EntraRole:
    """A role that is opened by a token in place of a password."""

    name: str
    object_id: str
    kind: Kind

    def admit(self, claims: Claims) -> None:
        """Return if these claims open the role, else raise the refusal."""
        by_app = claims.get("idtyp") == "app"
        if self.kind == "service" and not by_app:
            raise refusals.user_as_app(self.name)
        if self.kind == "user" and by_app:
            raise refusals.app_as_user(self.name)
        if self.kind == "group":
            self._admit_member(claims)
        elif claims["oid"] != self.object_id:
            raise refusals.object_id_mismatch(
                self.object_id, claims.get("appid", ""), claims["oid"]
            )

    def _admit_member(self, claims: Claims) -> None:
        if self.object_id not in claims.get("groups", []):
            raise refusals.password_failed(self.name)


_ENTRA_ROLES = (
    EntraRole("aad_system", SYSTEM_ASSIGNED.object_id, "service"),
    EntraRole("aad_user", USER_ASSIGNED.object_id, "service"),
    # Named like the identity itself, for programs that take the role's name from the token.
    EntraRole("azpg-identity", USER_ASSIGNED.object_id, "service"),
    EntraRole("aad_sp", SERVICE_PRINCIPAL.object_id, "service"),
    EntraRole(PERSON.upn or "", PERSON.object_id, "user"),
)
_ADMINISTRATOR = EntraRole(ADMINISTRATOR.display_name, ADMINISTRATOR.object_id, "user")


class Roles:
    """The registry of roles, and the only place that makes them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._registry: Connection | None = None
        self._others: set[str] = set()

    def create_defaults(self) -> str:
        """Make the database and the usual roles; return the password role's password."""
        self._execute("postgres", "CREATE DATABASE {database}", *_GROUPS)
        self._registry = self._server.connect("postgres")
        self._ask(TENANT, *tenant())
        self._ask(INSTALL)
        self._execute(DATABASE, "ALTER SCHEMA public OWNER TO {admins}")
        for role in _ENTRA_ROLES:
            self.create(role)
        self.create(_ADMINISTRATOR, is_admin=True)
        password = secrets.token_urlsafe(24)
        statements = (_CREATE_PASSWORD, *_GRANTS)
        self._execute(DATABASE, *statements, role=PASSWORD_ROLE, password=password)
        return password

    def create(self, role: EntraRole, *, is_admin: bool = False) -> None:
        """Make an Entra role with the usual grants."""
        if role.kind not in get_args(Kind):
            raise SandboxError(f"A role is of the kind {', '.join(get_args(Kind))}.")
        self._ask(_CREATE_ENTRA, role.name, role.object_id, role.kind, is_admin)
        self._execute(DATABASE, _ALLOW_TESTS, *_GRANTS, role=role.name)

    def create_table(self, name: str, owner: str) -> None:
        """Make a table that belongs to a role of its own, which administrators can act for."""
        first = () if self._ask(_ROLE_EXISTS, owner) else (_CREATE_OWNER,)
        self._execute(DATABASE, *first, *_CREATE_TABLE, role=owner, table=name)

    def entra(self, name: str) -> EntraRole | None:
        """Return the Entra role of this name, as its label has it now."""
        if name in self._others:
            return None
        found = self._ask(LABEL_OF, name)
        if not found:
            return None
        label = parse_label(found[0][0])
        return EntraRole(name, label.object_id, label.kind)

    def exists(self, name: str) -> bool:
        """Whether the server has any role of this name; asks it only about names not yet seen."""
        if name not in self._others and self._ask(_ROLE_EXISTS, name):
            self._others.add(name)
        return name in self._others

    def _ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query in database postgres, whose connection is kept."""
        assert self._registry  # noqa: S101, create_defaults comes first
        with self._registry.cursor() as cursor:
            cursor.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    def _execute(
        self, database: str, *statements: str, role: str = "", password: str = "", table: str = ""
    ) -> None:
        names = {
            "database": sql.Identifier(DATABASE),
            "group": sql.Identifier(ENTRA_GROUP),
            "admins": sql.Identifier(ADMIN_GROUP),
            "role": sql.Identifier(role or ENTRA_GROUP),
            "password": sql.Literal(password),
            "table": sql.Identifier(table or DATABASE),
        }
        connection = self._server.connect(database)
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(sql.SQL(statement).format(**names))
        finally:
            connection.close()
