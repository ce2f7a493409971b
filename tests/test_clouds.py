import pytest

from azpg_bootstrap.clouds import (
    cloud,
    default_sslmode,
    exposing_host,
    exposing_sslmode,
    server_name,
)

PUBLIC = "https://ossrdbms-aad.database.windows.net/.default"
COSMOS = "https://token.postgres.cosmos.azure.com/.default"


@pytest.mark.parametrize(
    ("host", "scope", "authority", "sslmode"),
    [
        ("s.postgres.database.azure.com", PUBLIC, "microsoftonline.com", "verify-full"),
        ("S.Postgres.Database.Azure.Com.", PUBLIC, "microsoftonline.com", "verify-full"),
        ("a.b.postgres.database.azure.com", PUBLIC, "microsoftonline.com", "require"),
        (
            "s.postgres.database.usgovcloudapi.net",
            "https://ossrdbms-aad.database.usgovcloudapi.net/.default",
            "microsoftonline.us",
            "verify-full",
        ),
        (
            "s.postgres.database.chinacloudapi.cn",
            "https://ossrdbms-aad.database.chinacloudapi.cn/.default",
            "chinacloudapi.cn",
            "require",
        ),
        ("c-s.abc.postgres.cosmos.azure.com", COSMOS, "microsoftonline.com", "require"),
        ("c-s.abc.postgres.cosmos.chinacloudapi.cn", COSMOS, "chinacloudapi.cn", "require"),
        ("db.internal", PUBLIC, "microsoftonline.com", "require"),
        ("postgres.database.azure.com", PUBLIC, "microsoftonline.com", "require"),
        (".postgres.database.azure.com", PUBLIC, "microsoftonline.com", "require"),
        ("evil-postgres.database.azure.com", PUBLIC, "microsoftonline.com", "require"),
    ],
)
def test_what_a_name_says(host: str, scope: str, authority: str, sslmode: str) -> None:
    assert cloud(host).scope == scope
    assert cloud(host).authority == f"https://login.{authority}"
    assert default_sslmode(host) == sslmode


def test_one_unverifiable_name_spoils_the_list() -> None:
    assert (
        default_sslmode("a.postgres.database.azure.com,b.postgres.database.azure.com")
        == "verify-full"
    )
    assert default_sslmode("a.postgres.database.azure.com,replica") == "require"


@pytest.mark.parametrize(
    ("host", "sslmode", "safe"),
    [
        ("h", "require", True),
        ("h", "verify-ca", True),
        ("h", "prefer", False),
        ("h", "disable", False),
        ("/run/postgresql", "require", False),
        ("h,/run/postgresql", "verify-full", False),
        ("@abstract", "require", False),
        ("", "require", False),
        ("h,", "require", False),
    ],
)
def test_where_a_token_may_go(host: str, sslmode: str, safe: bool) -> None:
    assert (exposing_host(host) is None and exposing_sslmode(sslmode) is None) is safe


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Shop.postgres.database.azure.com.", "shop"),
        ("shop.postgres.database.azure.com,two.postgres.database.azure.com", None),
        ("127.0.0.1", None),
    ],
)
def test_what_azure_calls_a_server(host: str, name: str | None) -> None:
    assert server_name(host) == name
