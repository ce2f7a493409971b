"""The variables a program finds: Service Connector's to the byte, and the platform's."""

from typing import Any

import pytest

from azpg_bootstrap.sandbox.site import Site
from azpg_bootstrap.sandbox.variables import Scene, variables

SITE = Site(
    port=6543,
    identity_port=8081,
    authority_port=8443,
    database="appdb",
    superuser_dsn={},
    ca_file="/sandbox/ca.pem",
    ca_bundle="/sandbox/bundle.pem",
    federated_token_file="/sandbox/federated",
    azure_cli_folder="/sandbox/azure-cli",
    identity_header="header",
    client_secret="s3cret",
    password="pa55",
)

USER_CLIENT = "c0dec11e-0000-4000-8000-000000000002"
APP_CLIENT = "a99cc11e-0000-4000-8000-000000000003"
TENANT = "7e4a4700-0000-4000-8000-000000000000"


def environ(auth: Any, client: Any = "python", **more: Any) -> dict[str, str]:
    scene = {"compute": None, "host": "localhost", "connection": None, **more}
    return variables(SITE, Scene(auth, client, **scene))


def own(environ: dict[str, str]) -> dict[str, str]:
    """Cut the prefix off and leave out what the sandbox adds about TLS."""
    prefix = "AZURE_POSTGRESQL_"
    names = {name.removeprefix(prefix): environ[name] for name in environ if prefix in name}
    return {
        name: value
        for name, value in names.items()
        if not name.startswith("SSL") or value == "true"
    }


@pytest.mark.parametrize(
    ("client", "identity", "secret"),
    [
        (
            "python",
            "dbname=appdb host=localhost port=6543 sslmode=require user={user}",
            " password=pa55",
        ),
        ("go", "host=localhost dbname=appdb sslmode=require user={user}", " password=pa55"),
        (
            "php",
            "host=localhost port=6543 dbname=appdb sslmode=require user={user}",
            " password=pa55",
        ),
        (
            "ruby",
            "host=localhost port=6543 dbname=appdb sslmode=require user={user}",
            " password=pa55",
        ),
        (
            "dotnet",
            "Server=localhost;Database=appdb;Port=6543;Ssl Mode=Require;User Id={user};",
            "Password=pa55;",
        ),
        (
            "java",
            "jdbc:postgresql://localhost:6543/appdb?sslmode=require&user={user}",
            "&password=pa55",
        ),
    ],
)
def test_connection_strings(client: str, identity: str, secret: str) -> None:
    port = {"PORT": "6543"} if client == "go" else {}
    expected = {"CONNECTIONSTRING": identity.format(user="aad_system"), **port}
    assert own(environ("system-assigned", client)) == expected
    expected["CONNECTIONSTRING"] = identity.format(user="app_password") + secret
    assert own(environ("secret", client)) == expected


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("django", {"NAME": "appdb", "HOST": "localhost", "USER": "{user}", "PORT": "6543"}),
        (
            "nodejs",
            {
                "HOST": "localhost",
                "USER": "{user}",
                "DATABASE": "appdb",
                "PORT": "6543",
                "SSL": "true",
            },
        ),
        (
            "none",
            {
                "HOST": "localhost",
                "USERNAME": "{user}",
                "DATABASE": "appdb",
                "PORT": "6543",
                "SSL": "true",
            },
        ),
    ],
)
def test_bare_values(client: str, expected: dict[str, str]) -> None:
    def filled(user: str) -> dict[str, str]:
        return {name: value.format(user=user) for name, value in expected.items()}

    assert own(environ("system-assigned", client)) == filled("aad_system")
    assert own(environ("secret", client)) == filled("app_password") | {"PASSWORD": "pa55"}


@pytest.mark.parametrize(
    ("auth", "user", "expected"),
    [
        ("system-assigned", "aad_system", {}),
        ("user-assigned", "aad_user", {"CLIENTID": USER_CLIENT}),
        ("workload-identity", "aad_user", {"CLIENTID": USER_CLIENT}),
        (
            "service-principal",
            "aad_sp",
            {"CLIENTID": APP_CLIENT, "CLIENTSECRET": "s3cret", "TENANTID": TENANT},
        ),
    ],
)
def test_names_of_the_identity(auth: str, user: str, expected: dict[str, str]) -> None:
    found = own(environ(auth, "none"))
    assert found["USERNAME"] == user
    assert {name: found[name] for name in found if name.endswith(("ID", "SECRET"))} == expected


def test_a_further_connection_has_an_infix() -> None:
    found = environ("user-assigned", "nodejs", connection="reporting")
    assert found["AZURE_POSTGRESQL_REPORTING_HOST"] == "localhost"
    assert found["AZURE_POSTGRESQL_REPORTING_CLIENTID"] == USER_CLIENT
    assert "AZURE_POSTGRESQL_HOST" not in found


def test_on_loopback_the_tls_policy_is_spelled_out() -> None:
    found = environ("system-assigned")
    assert found["AZURE_POSTGRESQL_SSLMODE"] == "verify-full"
    assert found["AZURE_POSTGRESQL_SSLROOTCERT"] == "/sandbox/ca.pem"
    assert "AZURE_POSTGRESQL_HOSTADDR" not in found


def test_under_azures_name_it_is_not() -> None:
    host = "azpg.postgres.database.azure.com"
    found = environ("system-assigned", "django", host=host)
    assert found["AZURE_POSTGRESQL_HOST"] == host
    assert found["AZURE_POSTGRESQL_HOSTADDR"] == "127.0.0.1"
    assert found["AZURE_POSTGRESQL_SSLROOTCERT"] == "/sandbox/ca.pem"
    assert "AZURE_POSTGRESQL_SSLMODE" not in found


ENDPOINT = {
    "IDENTITY_ENDPOINT": "http://127.0.0.1:8081/msi/token",
    "IDENTITY_HEADER": "header",
}
IMDS = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:8081"}
WEBHOOK = {
    "AZURE_CLIENT_ID": USER_CLIENT,
    "AZURE_TENANT_ID": TENANT,
    "AZURE_FEDERATED_TOKEN_FILE": "/sandbox/federated",
    "AZURE_AUTHORITY_HOST": "https://localhost:8443/",
    "REQUESTS_CA_BUNDLE": "/sandbox/bundle.pem",
}


@pytest.mark.parametrize(
    ("auth", "compute", "expected"),
    [
        ("system-assigned", None, ENDPOINT | {"WEBSITE_SITE_NAME": "azpg-demo"}),
        ("user-assigned", "app-service", ENDPOINT | {"WEBSITE_SITE_NAME": "azpg-demo"}),
        (
            "system-assigned",
            "functions",
            ENDPOINT | {"WEBSITE_SITE_NAME": "azpg-demo", "FUNCTIONS_WORKER_RUNTIME": "python"},
        ),
        ("system-assigned", "container-apps", ENDPOINT | {"CONTAINER_APP_NAME": "azpg-demo"}),
        ("user-assigned", "vm", IMDS),
        ("system-assigned", "aks", IMDS),
        ("user-assigned", "aks", WEBHOOK),
        ("workload-identity", None, WEBHOOK),
        (
            "service-principal",
            None,
            {
                "AZURE_AUTHORITY_HOST": "https://localhost:8443/",
                "REQUESTS_CA_BUNDLE": "/sandbox/bundle.pem",
            },
        ),
        ("secret", None, {}),
        ("secret", "container-apps", {"CONTAINER_APP_NAME": "azpg-demo"}),
    ],
)
def test_the_platforms_own(auth: str, compute: str | None, expected: dict[str, str]) -> None:
    found = environ(auth, compute=compute)
    proxies = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
    others = {name: found[name] for name in found if not name.startswith("AZURE_POSTGRESQL")}
    assert others == expected | proxies


SOURCE = "spring.datasource."
CREDENTIAL = "spring.cloud.azure.credential."
PASSWORDLESS = {SOURCE + "azure.passwordless-enabled": "true"}


@pytest.mark.parametrize(
    ("auth", "user", "expected"),
    [
        ("system-assigned", "aad_system", PASSWORDLESS),
        (
            "user-assigned",
            "aad_user",
            PASSWORDLESS
            | {
                CREDENTIAL + "client-id": USER_CLIENT,
                CREDENTIAL + "client-managed-identity-enabled": "true",
            },
        ),
        (
            "service-principal",
            "aad_sp",
            PASSWORDLESS
            | {
                CREDENTIAL + "client-id": APP_CLIENT,
                CREDENTIAL + "client-secret": "s3cret",
                CREDENTIAL + "tenant-id": TENANT,
            },
        ),
        ("secret", "app_password", {SOURCE + "password": "pa55"}),
    ],
)
def test_spring_has_names_of_its_own(auth: str, user: str, expected: dict[str, str]) -> None:
    found = environ(auth, "springboot")
    url = "jdbc:postgresql://localhost:6543/appdb?sslmode=verify-full&sslrootcert=/sandbox/ca.pem"
    place = {SOURCE + "url": url, SOURCE + "username": user}
    assert {name: found[name] for name in found if name.startswith("spring")} == place | expected
    assert not any(name.startswith("AZURE_POSTGRESQL") for name in found)


def test_springs_url_under_azures_name() -> None:
    found = environ("secret", "springboot", host="azpg.postgres.database.azure.com")
    assert found[SOURCE + "url"] == (
        "jdbc:postgresql://azpg.postgres.database.azure.com:6543/appdb"
        "?sslmode=require&hostaddr=127.0.0.1&sslrootcert=/sandbox/ca.pem"
    )


@pytest.mark.parametrize(("auth", "client"), [("kerberos", "python"), ("secret", "cobol")])
def test_what_does_not_exist_is_said(auth: str, client: str) -> None:
    with pytest.raises(ValueError, match="is none of"):
        environ(auth, client)


def test_no_repr_has_a_secret() -> None:
    assert not any(secret in repr(SITE) for secret in ("header'", "s3cret", "pa55"))
