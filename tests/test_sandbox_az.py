"""The stand-in for Azure CLI, as azure-identity and a person see it."""

import subprocess

import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import AzureCliCredential, CredentialUnavailableError

from azpg_bootstrap.sandbox import Sandbox, SandboxError

SCOPE = "https://ossrdbms-aad.database.windows.net/.default"


@pytest.fixture(autouse=True)
def own_machine(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in sandbox.environ("developer").items():
        monkeypatch.setenv(name, value)


def test_a_person_gets_a_token(sandbox: Sandbox) -> None:
    token = AzureCliCredential().get_token(SCOPE)
    claims = jwt.decode(token.token, options={"verify_signature": False})
    assert claims["upn"] == "user@contoso.example"
    assert claims["aud"] == SCOPE.removesuffix("/.default")
    assert 3500 < claims["exp"] - claims["iat"] <= 3600
    assert abs(token.expires_on - claims["exp"]) <= 1
    assert sandbox.token_log == [{"endpoint": "az", "client_id": None}]


@pytest.mark.parametrize(
    ("login", "kind", "text"),
    [
        ("not-logged-in", CredentialUnavailableError, "Please run 'az login'"),
        ("wrong-tenant", ClientAuthenticationError, "AADSTS50020"),
        ("login-expired", ClientAuthenticationError, "AADSTS700082"),
    ],
)
def test_what_can_be_the_matter_with_a_login(
    sandbox: Sandbox, login: str, kind: type[Exception], text: str
) -> None:
    sandbox.faults(login=login)
    with pytest.raises(kind, match=text):
        AzureCliCredential().get_token(SCOPE)


def test_a_foreign_tenants_token(sandbox: Sandbox) -> None:
    sandbox.faults(login="foreign-tenant")
    token = AzureCliCredential().get_token(SCOPE).token
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["tid"] == "0e4e1600-0000-4000-8000-000000000000"
    assert claims["iss"] == f"https://sts.windows.net/{claims['tid']}/"


def test_it_knows_one_command() -> None:
    done = subprocess.run(
        ["az", "group", "list"], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "'group list' is misspelled or not recognized" in done.stderr


def test_spring_boot_has_no_word_for_a_developer(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="no place for auth method developer"):
        sandbox.environ("developer", "springboot")
