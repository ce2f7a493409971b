"""What an access token says about its owner, read without checking: the server does that."""

import base64
import binascii
import json
from typing import Any


def claims(token: str) -> dict[str, Any]:
    """Return the claims of a JWT; of anything else, none."""
    try:
        payload = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return {}
    return found if isinstance(found, dict) else {}


def user_name(token: str) -> str | None:
    """Return the name a token's owner has as a role, if the token tells it.

    A person's is the user principal name. A user-assigned identity's is the last part of its
    resource id, claim `xms_mirid`. Tokens of other identities name no role.
    """
    found = claims(token)
    resource = str(found.get("xms_mirid", ""))
    kind, _, name = resource.rpartition("/")
    if kind.lower().endswith("/microsoft.managedidentity/userassignedidentities"):
        return name or None
    names = (found.get(claim) for claim in ("upn", "preferred_username", "unique_name"))
    return next((str(name) for name in names if name), None)
