import os
import socket
import threading
from types import SimpleNamespace

import pytest

import azpg_bootstrap as azpg
from azpg_bootstrap import credentials
from azpg_bootstrap.auth import identify, token_provider
from azpg_bootstrap.claims import claims
from azpg_bootstrap.sandbox import Sandbox
from azpg_bootstrap.sandbox.variables import Auth, Compute


def enter(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)


def token_of(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, **scene: str) -> dict[str, str]:
    """Return the claims of the token that the library fetches in such a scene."""
    enter(monkeypatch, sandbox.environ(**scene))  # type: ignore[arg-type]
    return claims(azpg.Database.from_env().password())


@pytest.mark.parametrize(
    ("auth_method", "compute", "kind"),
    [
        ("system-assigned", "app-service", "system-assigned"),
        ("system-assigned", "container-apps", "system-assigned"),
        ("system-assigned", "vm", "system-assigned"),
        ("user-assigned", "functions", "user-assigned"),
        ("user-assigned", "vm", "user-assigned"),
        ("user-assigned", "aks", "user-assigned"),
        ("service-principal", None, "service-principal"),
    ],
)
def test_exactly_the_identity_named(
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    auth_method: Auth,
    compute: Compute,
    kind: str,
) -> None:
    # What a chain of credentials would take for a better identity.
    for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "AZURE_USERNAME"):
        monkeypatch.setenv(name, "11111111-1111-4111-8111-111111111111")
    found = token_of(sandbox, monkeypatch, auth=auth_method, compute=compute)
    assert found["oid"] == claims(sandbox.issue_token(kind))["oid"]
    assert found["aud"] == "https://ossrdbms-aad.database.windows.net"


@pytest.mark.parametrize(
    ("host", "audience"),
    [
        (
            "s.postgres.database.usgovcloudapi.net",
            "https://ossrdbms-aad.database.usgovcloudapi.net",
        ),
        ("s.postgres.database.chinacloudapi.cn", "https://ossrdbms-aad.database.chinacloudapi.cn"),
    ],
)
def test_the_hosts_cloud(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, host: str, audience: str
) -> None:
    assert token_of(sandbox, monkeypatch, host=host)["aud"] == audience


def test_a_scope_by_name(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_POSTGRESQL_SCOPE", "https://token.postgres.cosmos.azure.com")
    assert token_of(sandbox, monkeypatch)["aud"] == "https://token.postgres.cosmos.azure.com"


def test_64_cold_threads_of_connect_make_one_request(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(monkeypatch, sandbox.environ())
    sandbox.faults(latency=0.2)
    roles: list[str] = []

    def run() -> None:
        connection = azpg.connect()
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
            roles.append(cursor.fetchone()[0])  # type: ignore[index]
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert roles == ["aad_system"] * 64
    assert sandbox.token_requests == 1


def test_one_provider_per_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    one, same, other = (
        azpg.Settings(host=host, database="d", user=user)
        for host, user in (("h", "u"), ("k", "v"), ("h.postgres.database.chinacloudapi.cn", "u"))
    )
    assert token_provider(one.profile) is token_provider(same.profile)
    assert token_provider(one.profile) is not token_provider(other.profile)
    before = token_provider(one.profile)
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:9/elsewhere")
    assert token_provider(one.profile) is not before


class Unhashable:
    """A caller's own credential, of the older of azure-core's two kinds."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, token: str) -> None:
        self.token = token
        self.asked: list[str] = []

    def __eq__(self, other: object) -> bool:
        return True

    def get_token(self, *scopes: str, **_: object) -> SimpleNamespace:
        self.asked += scopes
        return SimpleNamespace(token=self.token, expires_on=2**33)


def test_a_callers_own_credential(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(monkeypatch, sandbox.environ())
    mine, yours = (Unhashable(sandbox.issue_token()) for _ in range(2))
    for credential in (mine, mine, yours):
        azpg.connect(credential=credential).close()  # type: ignore[arg-type]
    assert mine.asked == yours.asked == ["https://ossrdbms-aad.database.windows.net/.default"]
    assert sandbox.token_requests == 0


def test_a_callers_own_credential_that_fails(sandbox: Sandbox) -> None:
    class Failing:
        def get_token(self, *_: str, **__: object) -> object:
            raise OSError(f"not today, {sandbox.issue_token()}")

    environ = {"AZURE_POSTGRESQL_CONNECTIONSTRING": "host=h dbname=d user=u"}
    database = azpg.Database.from_env(environ=environ, credential=Failing())  # type: ignore[arg-type]
    with pytest.raises(azpg.TokenError, match=r"^no token from Failing$") as caught:
        database.password()
    assert caught.value.__cause__ is None  # it has a token in it


def test_an_asynchronous_credential_is_refused() -> None:
    class Asynchronous:
        async def get_token(self, *_: str) -> object: ...

    environ = {"AZURE_POSTGRESQL_CONNECTIONSTRING": "host=h dbname=d user=u"}
    with pytest.raises(azpg.ConfigError, match=r"not azure\.identity\.aio's"):
        azpg.connect(environ=environ, credential=Asynchronous())  # type: ignore[arg-type]


def test_a_credential_beside_a_password_is_a_contradiction() -> None:
    environ = {"AZURE_POSTGRESQL_CONNECTIONSTRING": "host=h dbname=d user=u password=hunter2"}
    with pytest.raises(azpg.ConfigError, match="AZURE_POSTGRESQL_PASSWORD is set"):
        azpg.connect(environ=environ, credential=Unhashable(""))  # type: ignore[arg-type]


def test_a_laptop_falls_back_to_its_developer(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]
) -> None:
    """AZURE_TOKEN_CREDENTIALS is honoured, and keeps the metadata service from being looked for."""
    az = f"{os.fspath(tmp_path)}/az"
    with open(az, "w") as script:  # noqa: PTH123
        script.write(f"""#!/bin/sh
echo '{{"accessToken": "{sandbox.issue_token("person")}", "expires_on": {2**33},
"expiresOn": "2242-03-16 12:56:32.000000", "tokenType": "Bearer"}}'
""")
    os.chmod(az, 0o755)  # noqa: PTH101
    monkeypatch.setenv("PATH", f"{os.fspath(tmp_path)}:/usr/bin:/bin")
    environ = sandbox.environ()
    own = {name: value for name, value in environ.items() if name.startswith("AZURE_POSTGRESQL")}
    own["AZURE_POSTGRESQL_CONNECTIONSTRING"] = (
        f"host=localhost port={sandbox.port} dbname={sandbox.database}"
    )
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    database = azpg.Database.from_env(environ=own)
    assert database.auth_method is azpg.AuthMethod.SYSTEM_ASSIGNED
    assert database.params()["user"] == "user@contoso.example"
    database.connect().close()
    developer = azpg.Database.from_env(environ={**own, "AZURE_POSTGRESQL_AUTH": "developer"})
    developer.connect().close()
    assert sandbox.token_requests == 0


def test_the_metadata_service_is_looked_for_where_nothing_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(credentials, "IMDS", server.getsockname())
        assert credentials._has_metadata_service()
    assert not credentials._has_metadata_service()


def test_identities_hide_their_secret() -> None:
    settings = azpg.Settings(
        host="h", database="d", client_id="c0dec11e-0000-4000-8000-000000000002",
        tenant_id="t", client_secret="hunter2",
    )  # fmt: skip
    identity = identify(settings.profile)
    assert identity.client_secret == "hunter2"
    assert "hunter2" not in f"{identity} {identity!r} {token_provider(settings.profile).source}"


def test_a_refused_identity_says_who_and_where(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(monkeypatch, sandbox.environ("user-assigned", compute="vm"))
    unknown = "99999999-0000-4000-8000-000000000002"
    monkeypatch.setenv("AZURE_POSTGRESQL_CLIENTID", unknown)
    with pytest.raises(azpg.TokenError) as caught:
        azpg.connect()
    assert f"user-assigned {unknown}" in str(caught.value)
    assert os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] in str(caught.value)
    assert type(caught.value.__cause__).__module__.startswith("azure.")
