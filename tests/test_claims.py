import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azpg_bootstrap.claims import claims, user_name
from azpg_bootstrap.sandbox import Sandbox


def unsigned(payload: object) -> str:
    part = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")
    return f"e30.{part}."


IDENTITIES = (
    "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
)


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        ({"upn": "ada@contoso.example"}, "ada@contoso.example"),
        ({"preferred_username": "ada@x", "unique_name": "live.com#ada"}, "ada@x"),
        ({"unique_name": "live.com#ada"}, "live.com#ada"),
        ({"xms_mirid": f"{IDENTITIES}/my-id"}, "my-id"),
        ({"xms_mirid": f"{IDENTITIES.lower()}/my-id"}, "my-id"),
        ({"xms_mirid": "/subscriptions/s/providers/Microsoft.Web/sites/app"}, None),
        ({"appid": "a", "oid": "o"}, None),
        ([], None),
        ("upn", None),
    ],
)
def test_user_name(payload: object, name: str | None) -> None:
    assert user_name(unsigned(payload)) == name


def test_the_sandboxs_identities(sandbox: Sandbox) -> None:
    assert user_name(sandbox.issue_token("person")) == "user@contoso.example"
    assert user_name(sandbox.issue_token("user-assigned")) == "azpg-identity"
    assert user_name(sandbox.issue_token("system-assigned")) is None
    assert user_name(sandbox.issue_token("service-principal")) is None


@given(st.one_of(st.text(), st.text().map("a.{}.c".format), st.binary().map(
    lambda part: f"a.{base64.urlsafe_b64encode(part).decode()}.c"
)))  # fmt: skip
def test_what_is_no_token_has_no_claims(text: str) -> None:
    assert isinstance(claims(text), dict)
