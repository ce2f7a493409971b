"""The server's roles: which of them belong to Entra, and whose token opens which."""

import secrets
from dataclasses import dataclass
from typing import get_args

from psycopg2 import sql

from . import refusals
from .errors import SandboxError
from .identities import PERSON, SERVICE_PRINCIPAL, SYSTEM_ASSIGNED, USER_ASSIGNED, Kind
from .server import Server
from .tokens import Claims

DATABASE = "appdb"
PASSWORD_ROLE = "app_password"  # noqa: S105, a name

_ENTRA_GROUP = "azure_ad_user"

# What Service Connector grants, and two things more, as the sandbox is for rehearsals:
# CREATE on the schema for migrations, which on Azure an administrator has to grant by hand.
_GRANTS = (
    "GRANT ALL ON DATABASE {database} TO {role}",
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
    "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}",
    "GRANT CREATE ON SCHEMA public TO {role}",
)

# CREATEDB is the other one: `manage.py test` makes a database of its own.
_CREATE_ENTRA = "CREATE ROLE {role} LOGIN CREATEDB IN ROLE {group}"
_CREATE_PASSWORD = "CREATE ROLE {role} LOGIN CREATEDB PASSWORD {password}"  # noqa: S105, a template


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


class Roles:
    """The registry of roles, and the only place that makes them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._entra: dict[str, EntraRole] = {}
        self._others: set[str] = set()

    def create_defaults(self) -> str:
        """Make the database and the usual roles; return the password role's password."""
        self._execute("postgres", "CREATE DATABASE {database}", "CREATE ROLE {group}")
        for role in _ENTRA_ROLES:
            self.create(role)
        password = secrets.token_urlsafe(24)
        statements = (_CREATE_PASSWORD, *_GRANTS)
        self._execute(DATABASE, *statements, role=PASSWORD_ROLE, password=password)
        return password

    def create(self, role: EntraRole) -> None:
        """Make an Entra role with the usual grants."""
        if role.kind not in get_args(Kind):
            raise SandboxError(f"A role is of the kind {', '.join(get_args(Kind))}.")
        self._execute(DATABASE, _CREATE_ENTRA, *_GRANTS, role=role.name)
        self._entra[role.name] = role

    def entra(self, name: str) -> EntraRole | None:
        """Return the Entra role of this name."""
        return self._entra.get(name)

    def exists(self, name: str) -> bool:
        """Whether the server has any role of this name; asks it only about names not yet seen."""
        if name not in self._others and self._on_server(name):
            self._others.add(name)
        return name in self._others

    def _on_server(self, name: str) -> bool:
        connection = self._server.connect("postgres")
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [name])
                return cursor.rowcount > 0
        finally:
            connection.close()

    def _execute(self, database: str, *statements: str, role: str = "", password: str = "") -> None:
        names = {
            "database": sql.Identifier(DATABASE),
            "group": sql.Identifier(_ENTRA_GROUP),
            "role": sql.Identifier(role or _ENTRA_GROUP),
            "password": sql.Literal(password),
        }
        connection = self._server.connect(database)
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(sql.SQL(statement).format(**names))
        finally:
            connection.close()
