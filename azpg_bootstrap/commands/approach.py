"""The steps of `azpg check` up to the token: what is configured, and who we are."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from azpg_bootstrap.auth import token_provider
from azpg_bootstrap.claims import claims
from azpg_bootstrap.commands.exits import Exit, Failure
from azpg_bootstrap.commands.finding import Finding, State
from azpg_bootstrap.commands.walk import Walk
from azpg_bootstrap.database import Database
from azpg_bootstrap.methods import PROOFS, AuthMethod
from azpg_bootstrap.reading import NOTHING, read
from azpg_bootstrap.variables import CONNECTION_STRING, Variable, prefix, select, unread

CLIENT_BY_STRING: Final = {"jdbc:": "Java", "server=": ".NET", "postgres": "a URI, by hand"}
"""Client types by how their connection string begins; the others' are libpq's."""

MANAGED: Final = (AuthMethod.SYSTEM_ASSIGNED, AuthMethod.USER_ASSIGNED)
"""The auth methods that need an identity endpoint."""


def variables(walk: Walk) -> Finding:
    """Say which variables there are; their values stay out of it."""
    found = select(walk.name, walk.environ)
    walk.settings = read(walk.name, walk.environ, NOTHING)
    client = client_type(found)
    names = [variable.name for variable in found]
    text = f"client type {client}: {', '.join(names)}"
    data = {"names": names, "client_type": client, "unread": unread(walk.environ)}
    if data["unread"]:
        text += f"\nnot read, misspelt perhaps: {', '.join(data['unread'])}"
    return Finding(text, State.NOTE if data["unread"] else State.OK, data)


def client_type(found: Iterable[Variable]) -> str:
    """Return the client type of Service Connector's that variables look like."""
    by_part = {variable.part: variable for variable in found}
    if any(variable.name.lower().startswith("spring") for variable in by_part.values()):
        return "Spring Boot"
    if CONNECTION_STRING in by_part:
        text = by_part[CONNECTION_STRING].value.lstrip().lower()
        marks = CLIENT_BY_STRING.items()
        return next(
            (name for mark, name in marks if text.startswith(mark)), "Python, Go, PHP, Ruby"
        )
    names = {variable.name.upper().rpartition("_")[2] for variable in by_part.values()}
    if "NAME" in names:
        return "Django"
    return "none" if "USERNAME" in names else "Node.js"


def method(walk: Walk) -> Finding:
    """Say how the identity is proven, and by what that was chosen."""
    settings = walk.settings
    walk.database = Database(settings)
    chosen = walk.database.auth_method
    why = because(chosen, prefix(settings.connection), is_named=settings.auth is not None)
    return Finding(f"{chosen}: {why}", data={"method": str(chosen), "because": why})


def because(chosen: AuthMethod, start: str, *, is_named: bool) -> str:
    """Say why an auth method was chosen."""
    if is_named:
        return f"{start}AUTH names it"
    proofs = [start + part for part in sorted(PROOFS[chosen])]
    if chosen is AuthMethod.SECRET:
        return "there is a password"
    if not proofs:
        return "there is neither a client id nor a password"
    return f"{' and '.join(proofs)} {'is' if len(proofs) == 1 else 'are'} set"


def compute(walk: Walk) -> Finding:
    """Say where this runs, and where its tokens come from."""
    here = walk.compute
    app = f" as {here.app}" if here.app else ""
    data = {"service": here.service, "app": here.app, "endpoint": here.endpoint}
    if here.is_hidden:
        if walk.database.auth_method in MANAGED:
            raise Failure(
                "this session hides the identity endpoint, as App Service's SSH console does",
                "Run the program where the app itself runs, such as in its startup command.",
                code=Exit.TOKEN,
            )
        return Finding(f"{here.service}{app}; this session hides the identity endpoint", data=data)
    asked = f", identity endpoint {here.endpoint}" if here.endpoint else ", no identity endpoint"
    return Finding(here.service + app + asked, data=data)


def token(walk: Walk) -> Finding:
    """Fetch a token and say what is in it."""
    if walk.database.auth_method is AuthMethod.SECRET:
        walk.params = walk.database.params()
        return Finding("none: this connection logs in with a password")
    source = token_provider(walk.settings).source
    began = time.perf_counter()
    walk.token = walk.database.password()
    took = time.perf_counter() - began
    walk.params = walk.database.params()  # where no user is configured the token has to name one
    found = claims(walk.token)
    left = found.get("exp", 0) - walk.clock()
    data = {"seconds": round(took, 3), "source": source, "expires_in": round(left)} | {
        name: found.get(name) for name in ("aud", "oid", "appid", "tid", "upn", "xms_mirid")
    }
    text = (
        f"after {took:.2f} s from {source}\n"
        f"identity {owner(found)}, object id {found.get('oid')}, tenant {found.get('tid')}\n"
        f"for {found.get('aud')}, expires in {span(left)}"
    )
    if not found:
        return Finding(f"after {took:.2f} s from {source}; it is no JWT", State.NOTE, data)
    return Finding(text, data=data)


def owner(found: dict[str, object]) -> str:
    """Return the best name a token has for its owner."""
    resource = str(found.get("xms_mirid") or "").rpartition("/")[2]
    return str(found.get("upn") or resource or f"of client id {found.get('appid')}")


def span(seconds: float) -> str:
    """Return a time in words."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
