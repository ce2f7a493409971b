"""`azpg role`: the SQL that makes a role for this identity."""

from __future__ import annotations

import argparse
import sys
from typing import Final, NamedTuple

from azpg_bootstrap.claims import claims, user_name
from azpg_bootstrap.commands.exits import Exit, Failure
from azpg_bootstrap.commands.quoting import literal
from azpg_bootstrap.database import Database
from azpg_bootstrap.methods import AuthMethod
from azpg_bootstrap.variables import prefix

FLEXIBLE: Final = """\
-- In database postgres, as an Entra administrator of the server:
{create}
"""

# The server quotes the name: the driver could only with a connection, which there is none yet.
SINGLE: Final = """\
-- Single server only, a product that has been retired. As its Entra administrator:
SET aad_validate_oids_in_tenant = off;
DO $$ BEGIN
  EXECUTE format('CREATE ROLE %I WITH LOGIN PASSWORD %L IN ROLE azure_ad_user', {role}, {client});
END $$;
"""


class Principal(NamedTuple):
    """Who a token is about, as the server's functions want to be told."""

    role: str
    object_id: str
    client_id: str
    kind: str

    def create(self) -> str:
        """Return the SQL that makes the role on a flexible server."""
        role, object_id, kind = (literal(word) for word in (self.role, self.object_id, self.kind))
        arguments = f"({role}, {object_id}, {kind}, false, false)"
        return f"SELECT * FROM pgaadauth_create_principal_with_oid{arguments};"  # noqa: S608, quoted

    def bind(self) -> str:
        """Return the SQL that gives an existing role to this identity, grants and all."""
        label = literal(f"aadauth,oid={self.object_id},type={self.kind}")
        return (
            "DO $$ BEGIN EXECUTE format('SECURITY LABEL FOR pgaadauth ON ROLE %I IS %L', "
            f"{literal(self.role)}, {label}); END $$;"
        )


def run(options: argparse.Namespace) -> int:
    """Print the SQL."""
    database = Database.from_env(options.connection)
    if database.auth_method is AuthMethod.SECRET:
        raise Failure(
            "auth method secret: a role with a password is made with CREATE ROLE ... PASSWORD, "
            "and belongs to no identity",
            code=Exit.CONFIG,
        )
    principal = principal_of(database.password(), database.profile.user)
    if principal is None:
        raise Failure(
            f"the token names neither a role nor an object id: set "
            f"{prefix(options.connection)}USER to the name that the role shall have",
            code=Exit.CONFIG,
        )
    sys.stdout.write(_single(principal) if options.single_server else _flexible(principal))
    return Exit.DONE


def principal_of(token: str, role: str | None) -> Principal | None:
    """Return whom a token is about; `role` wins over the name in the token. None: it says not."""
    found = claims(token)
    name = role or user_name(token)
    if not name or "oid" not in found:
        return None
    # `idtyp` says so outright, but is optional; only a person's token has a scope of delegation.
    kind = "user" if "scp" in found and found.get("idtyp") != "app" else "service"
    return Principal(name, str(found["oid"]), str(found.get("appid", "")), kind)


def _flexible(principal: Principal) -> str:
    return FLEXIBLE.format(create=principal.create())


def _single(principal: Principal) -> str:
    return SINGLE.format(role=literal(principal.role), client=literal(principal.client_id))
