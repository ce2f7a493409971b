"""Tokens through the real azure-identity credentials, and the endpoints' own answers."""

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import jwt
import psycopg2
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    ClientSecretCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)

from azpg_bootstrap.sandbox import Sandbox

RESOURCE = "https://ossrdbms-aad.database.windows.net"
SCOPE = RESOURCE + "/.default"

SYSTEM_CLIENT = "5e1fc11e-0000-4000-8000-000000000001"
USER_CLIENT = "c0dec11e-0000-4000-8000-000000000002"
APP_CLIENT = "a99cc11e-0000-4000-8000-000000000003"


def apply(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> dict[str, str]:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return environ


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def opens(sandbox: Sandbox, role: str, token: str) -> bool:
    connection = psycopg2.connect(
        host=sandbox.host, port=sandbox.port, dbname=sandbox.database, user=role,
        password=token, sslmode="verify-full", sslrootcert=sandbox.ca_file,
    )  # fmt: skip
    connection.close()
    return True


@pytest.mark.parametrize(
    ("compute", "endpoint"),
    [
        ("app-service", "app-service"),
        ("functions", "app-service"),
        ("container-apps", "app-service"),
        ("vm", "imds"),
        ("aks", "imds"),
    ],
)
def test_system_assigned(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, compute: Any, endpoint: str
) -> None:
    apply(monkeypatch, sandbox.environ("system-assigned", compute=compute))
    with ManagedIdentityCredential() as credential:
        token = credential.get_token(SCOPE)
    claims = claims_of(token.token)
    assert claims["xms_mirid"].endswith("/providers/Microsoft.Web/sites/azpg-demo")
    assert (claims["aud"], claims["idtyp"], claims["appid"]) == (RESOURCE, "app", SYSTEM_CLIENT)
    assert token.expires_on == pytest.approx(time.time() + 86400, abs=5)
    assert sandbox.token_log == [{"endpoint": endpoint, "client_id": None}]
    assert opens(sandbox, "aad_system", token.token)


@pytest.mark.parametrize(
    ("compute", "endpoint"),
    [("app-service", "app-service"), ("vm", "imds"), ("aks", "entra")],
)
def test_user_assigned(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, compute: Any, endpoint: str
) -> None:
    environ = apply(monkeypatch, sandbox.environ("user-assigned", compute=compute))
    client_id = environ["AZURE_POSTGRESQL_CLIENTID"]
    with ManagedIdentityCredential(client_id=client_id) as credential:
        token = credential.get_token(SCOPE).token
    assert claims_of(token)["xms_mirid"].endswith("/userAssignedIdentities/azpg-identity")
    assert sandbox.token_log == [{"endpoint": endpoint, "client_id": USER_CLIENT}]
    assert opens(sandbox, "aad_user", token)


@pytest.mark.parametrize("by", ["object_id", "resource_id"])
@pytest.mark.parametrize("compute", ["app-service", "vm"])
def test_user_assigned_by_its_other_ids(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, by: str, compute: Any
) -> None:
    apply(monkeypatch, sandbox.environ("user-assigned", compute=compute))
    claims = claims_of(sandbox.issue_token("user-assigned"))
    chosen = {"object_id": claims["oid"], "resource_id": claims["xms_mirid"]}[by]
    with ManagedIdentityCredential(identity_config={by: chosen}) as credential:
        assert claims_of(credential.get_token(SCOPE).token)["appid"] == USER_CLIENT


@pytest.mark.parametrize(
    ("compute", "text"),
    [("app-service", "No User Assigned or Delegated Managed Identity"), ("vm", "not found")],
)
def test_an_unknown_identity(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, compute: Any, text: str
) -> None:
    apply(monkeypatch, sandbox.environ("user-assigned", compute=compute))
    stranger = "00000000-0000-4000-8000-000000000000"
    with (
        ManagedIdentityCredential(client_id=stranger) as credential,
        pytest.raises(ClientAuthenticationError, match=text),
    ):
        credential.get_token(SCOPE)
    assert sandbox.token_requests == 1


def test_workload_identity(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(monkeypatch, sandbox.environ("workload-identity"))
    with WorkloadIdentityCredential() as credential:
        token = credential.get_token(SCOPE).token
    assert claims_of(token)["appid"] == USER_CLIENT
    assert opens(sandbox, "aad_user", token)


@pytest.mark.parametrize(
    ("forgery", "code"),
    [
        (lambda _: "no token", "AADSTS50027"),
        (lambda assertion: assertion[:-9] + "AAAAAAAAA", "AADSTS50013"),
    ],
)
def test_a_forged_federated_token(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, forgery: Any, code: str
) -> None:
    environ = apply(monkeypatch, sandbox.environ("workload-identity"))
    assertion = Path(environ["AZURE_FEDERATED_TOKEN_FILE"]).read_text()
    forged = tmp_path / "token"
    forged.write_text(forgery(assertion))
    with (
        WorkloadIdentityCredential(token_file_path=str(forged)) as credential,
        pytest.raises(ClientAuthenticationError, match=code),
    ):
        credential.get_token(SCOPE)


def test_an_access_token_is_no_federated_token(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    apply(monkeypatch, sandbox.environ("workload-identity"))
    file = tmp_path / "token"
    file.write_text(sandbox.issue_token("user-assigned"))
    with (
        WorkloadIdentityCredential(token_file_path=str(file)) as credential,
        pytest.raises(ClientAuthenticationError, match="AADSTS700211"),
    ):
        credential.get_token(SCOPE)


def service_principal(environ: dict[str, str], **changes: str) -> ClientSecretCredential:
    words = {name: environ[f"AZURE_POSTGRESQL_{name}"] for name in ("TENANTID", "CLIENTID")}
    words |= {"CLIENTSECRET": environ["AZURE_POSTGRESQL_CLIENTSECRET"], **changes}
    return ClientSecretCredential(
        words["TENANTID"],
        words["CLIENTID"],
        words["CLIENTSECRET"],
        disable_instance_discovery=True,
    )


def test_service_principal(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = apply(monkeypatch, sandbox.environ("service-principal"))
    with service_principal(environ) as credential:
        token = credential.get_token(SCOPE)
    assert claims_of(token.token)["appidacr"] == "1"
    assert "xms_mirid" not in claims_of(token.token)
    assert token.expires_on == pytest.approx(time.time() + 3599, abs=5)
    assert sandbox.token_log == [{"endpoint": "entra", "client_id": APP_CLIENT}]
    assert opens(sandbox, "aad_sp", token.token)


@pytest.mark.parametrize(
    ("changes", "scope", "code"),
    [
        ({"CLIENTSECRET": "wrong"}, SCOPE, "AADSTS7000215: Invalid client secret provided."),
        ({"CLIENTID": "another"}, SCOPE, "AADSTS700016"),
        ({}, RESOURCE, "AADSTS1002012"),
    ],
)
def test_a_wrong_service_principal(
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    scope: str,
    code: str,
) -> None:
    environ = apply(monkeypatch, sandbox.environ("service-principal"))
    with (
        service_principal(environ, **changes) as credential,
        pytest.raises(ClientAuthenticationError, match=code),
    ):
        credential.get_token(scope)


def test_an_unknown_tenant(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = apply(monkeypatch, sandbox.environ("service-principal"))
    stranger = "00000000-0000-4000-8000-000000000000"
    with (
        service_principal(environ, TENANTID=stranger) as credential,
        pytest.raises((ClientAuthenticationError, ValueError), match="tenant"),
    ):
        credential.get_token(SCOPE)


def get(url: str, headers: dict[str, str] | None = None) -> tuple[int, Any, dict[str, str]]:
    request = urllib.request.Request(url, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), dict(error.headers)


def app_service(sandbox: Sandbox, query: str = f"&resource={RESOURCE}") -> tuple[str, str]:
    environ = sandbox.environ("system-assigned")
    url = f"{environ['IDENTITY_ENDPOINT']}?api-version=2019-08-01{query}"
    return url, environ["IDENTITY_HEADER"]


def test_app_service_answers_in_strings(sandbox: Sandbox) -> None:
    url, header = app_service(sandbox)
    status, answer, _ = get(url, {"X-IDENTITY-HEADER": header})
    assert status == 200
    assert answer.keys() == {
        "access_token", "client_id", "expires_on", "resource", "token_type",
    }  # fmt: skip
    assert int(answer["expires_on"]) == claims_of(answer["access_token"])["exp"]
    assert isinstance(answer["expires_on"], str)
    assert len(answer["access_token"]) > 1024


def test_app_service_wants_its_header_and_a_resource(sandbox: Sandbox) -> None:
    url, header = app_service(sandbox)
    assert get(url)[0] == 401
    assert get(url, {"X-IDENTITY-HEADER": "guess"})[0] == 401
    url, header = app_service(sandbox, query="")
    status, answer, _ = get(url, {"X-IDENTITY-HEADER": header})
    assert (status, answer["statusCode"]) == (400, 400)


def test_imds_answers_in_strings_and_wants_its_header(sandbox: Sandbox) -> None:
    base = sandbox.environ(compute="vm")["AZURE_POD_IDENTITY_AUTHORITY_HOST"]
    url = f"{base}/metadata/identity/oauth2/token?api-version=2018-02-01&resource={RESOURCE}"
    status, answer, _ = get(url, {"Metadata": "true"})
    assert status == 200
    assert all(isinstance(value, str) for value in answer.values())
    assert int(answer["expires_in"]) == 86400
    status, answer, _ = get(url)
    assert (status, answer["error"]) == (400, "invalid_request")
    stranger = get(url + "&client_id=stranger", {"Metadata": "true"})
    assert stranger[:2] == (
        400, {"error": "invalid_request", "error_description": "Identity not found"},
    )  # fmt: skip


def test_other_paths_are_not_found(sandbox: Sandbox) -> None:
    base = sandbox.environ(compute="vm")["AZURE_POD_IDENTITY_AUTHORITY_HOST"]
    assert get(base + "/metadata/instance")[0] == 404
    assert sandbox.token_requests == 0


def test_a_persons_token_reads_like_one(sandbox: Sandbox) -> None:
    claims = claims_of(sandbox.issue_token("person"))
    assert (claims["upn"], claims["scp"]) == ("user@contoso.example", "user_impersonation")
    assert "idtyp" not in claims


def test_claims_can_be_replaced_and_removed(sandbox: Sandbox) -> None:
    claims = claims_of(sandbox.issue_token(lifetime=0.5, claims={"tid": "x", "uti": None}))
    assert claims["tid"] == "x"
    assert "uti" not in claims
    assert claims["exp"] - time.time() <= 0.5


class TestFaults:
    def test_latency(self, sandbox: Sandbox) -> None:
        sandbox.faults(latency=0.2)
        started = time.monotonic()
        url, header = app_service(sandbox)
        assert get(url, {"X-IDENTITY-HEADER": header})[0] == 200
        assert time.monotonic() - started >= 0.2

    def test_status_for_the_next_requests(self, sandbox: Sandbox) -> None:
        sandbox.faults(status=503, retry_after=7, count=2)
        url, header = app_service(sandbox)
        answers = [get(url, {"X-IDENTITY-HEADER": header}) for _ in range(3)]
        assert [status for status, _, _ in answers] == [503, 503, 200]
        assert answers[0][2]["Retry-After"] == "7"
        assert sandbox.token_requests == 3
        sandbox.faults(status=410)
        assert [get(url)[0] for _ in range(3)] == [410, 410, 410]

    def test_junk(self, sandbox: Sandbox) -> None:
        sandbox.faults(junk=True)
        url, _ = app_service(sandbox)
        with pytest.raises(json.JSONDecodeError):
            get(url)

    def test_hang(self, sandbox: Sandbox) -> None:
        sandbox.faults(hang=True, count=1)
        url, header = app_service(sandbox)
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(url, timeout=0.3)
        assert get(url, {"X-IDENTITY-HEADER": header})[0] == 200

    def test_every_endpoint_fails(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        environ = apply(monkeypatch, sandbox.environ("service-principal"))
        sandbox.faults(status=400)
        with (
            service_principal(environ) as credential,
            pytest.raises(ClientAuthenticationError),
        ):
            credential.get_token(SCOPE)
        base = sandbox.environ(compute="vm")["AZURE_POD_IDENTITY_AUTHORITY_HOST"]
        assert get(f"{base}/metadata/identity/oauth2/token")[0] == 400

    def test_lifetime_and_reset(self, sandbox: Sandbox) -> None:
        sandbox.faults(token_lifetime=600)
        url, header = app_service(sandbox)
        for lifetime in (600, 86400):
            answer = get(url, {"X-IDENTITY-HEADER": header})[1]
            assert int(answer["expires_on"]) == pytest.approx(time.time() + lifetime, abs=5)
            sandbox.reset()
        assert sandbox.token_requests == 0

    def test_an_unknown_fault(self, sandbox: Sandbox) -> None:
        with pytest.raises(TypeError, match="lateness"):
            sandbox.faults(lateness=1)  # type: ignore[call-arg]
