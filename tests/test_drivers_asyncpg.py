"""asyncpg is told in its own words what libpq is told in libpq's."""

import asyncio
import ssl
from pathlib import Path

import certifi
import psycopg2
import pytest

import azpg_bootstrap as azpg
from azpg_bootstrap.drivers.asyncpg import from_libpq
from azpg_bootstrap.sandbox import Sandbox

asyncpg = pytest.importorskip("asyncpg")

AZURE = "srv.postgres.database.azure.com"
ELSEWHERE = "db.example.com"  # a name that the sandbox's certificate is not for
SETTINGS = azpg.Settings(host=AZURE, database="d", user="u")


@pytest.fixture
def database(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> azpg.Database:
    """Come without a root certificate: each test says which."""
    for name, value in sandbox.environ("system-assigned", "django").items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AZURE_POSTGRESQL_SSLROOTCERT")
    return azpg.Database.from_env()


def translate(database: azpg.Database, **libpq: object) -> dict[str, object]:
    return asyncio.run(from_libpq(database.params(**libpq)))


def outcome(open_and_close: object) -> str:
    try:
        asyncio.run(open_and_close)  # type: ignore[arg-type]
    except Exception as error:
        return type(error).__name__
    return "open"


@pytest.mark.parametrize("sslmode", ["require", "verify-ca", "verify-full"])
@pytest.mark.parametrize("roots", ["sandbox's", "others", "missing", "system", None])
@pytest.mark.parametrize("host", ["localhost", ELSEWHERE])
def test_an_sslmode_means_what_it_means_to_libpq(
    sandbox: Sandbox, database: azpg.Database, sslmode: str, roots: str | None, host: str
) -> None:
    files = {"sandbox's": sandbox.ca_file, "others": certifi.where(), "missing": "/nowhere.pem"}
    files["system"] = "system"
    libpq = {"sslmode": sslmode, "sslrootcert": files.get(roots or "")}
    libpq |= {"host": host, "hostaddr": "127.0.0.1"}

    async def by_asyncpg() -> None:
        await (await azpg.asyncpg_connect(database, **libpq)).close()

    try:
        azpg.psycopg2_connect(database, **libpq).close()
        expected = True
    except psycopg2.OperationalError:
        expected = False
    assert (outcome(by_asyncpg()) == "open") is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (True, "ConfigError"),  # verify-full, without the sandbox's own root
        ("require", "open"),
        ("verify-full", "SSLCertVerificationError"),
        (False, "ConfigError"),
        ("prefer", "ConfigError"),
        ("junk", "ConfigError"),
    ],
)
def test_asyncpgs_own_ssl_wins(database: azpg.Database, given: object, expected: str) -> None:
    async def connect() -> None:
        await (await azpg.asyncpg_connect(database, ssl=given)).close()

    found = outcome(connect())
    assert found == expected or (given is True and found == "SSLCertVerificationError")


def test_a_context_of_ones_own_is_used(sandbox: Sandbox, database: azpg.Database) -> None:
    import ssl

    for roots, expected in ((sandbox.ca_file, "open"), (None, "SSLCertVerificationError")):
        context = ssl.create_default_context(cafile=roots)

        async def connect(context: ssl.SSLContext = context) -> None:
            await (await azpg.asyncpg_connect(database, ssl=context)).close()

        assert outcome(connect()) == expected


def test_libpqs_keywords_in_asyncpgs_words() -> None:
    found = translate(azpg.Database(SETTINGS), options="-c x=y", connect_timeout=3)
    assert found.pop("ssl").check_hostname  # type: ignore[attr-defined]
    assert found == {
        "host": [AZURE],
        "port": [5432],
        "user": "u",
        "database": "d",
        "timeout": 3.0,
        "statement_cache_size": 100,
        "direct_tls": False,
        "server_settings": {"application_name": "azpg-bootstrap", "options": "-c x=y"},
    }


def test_more_of_them() -> None:
    database = azpg.Database(SETTINGS)
    found = translate(database, host="a,b", sslnegotiation="direct", target_session_attrs="primary")
    assert (found["host"], found["port"]) == (["a", "b"], [5432, 5432])
    assert found["timeout"] == 20.0  # for two hosts
    assert (found["direct_tls"], found["target_session_attrs"]) == (True, "primary")
    found = translate(database, host="a,b", port="1,2", connect_timeout=0)
    assert (found["port"], found["timeout"]) == ([1, 2], None)
    found = translate(database, hostaddr="10.0.0.4")
    assert (found["host"], found["ssl"].server_name) == (["10.0.0.4"], AZURE)  # type: ignore[attr-defined]
    found = translate(database, ssl_min_protocol_version="TLSv1.3")
    assert found["ssl"].minimum_version.name == "TLSv1_3"  # type: ignore[attr-defined]
    assert translate(database, sslmode="verify-full", sslrootcert="system")["ssl"]
    assert translate(database, port=6432)["statement_cache_size"] == 0


@pytest.mark.parametrize(
    "libpq",
    [
        {"channel_binding": "require"},
        {"requirepeer": "postgres"},
        {"hostaddr": "10.0.0.4,10.0.0.5", "host": "a,b"},
        {"sslcert": "/nowhere.pem"},
        {"sslcrl": "/nowhere.pem"},
    ],
)
def test_what_asyncpg_cannot_do_is_not_left_out_in_silence(libpq: dict[str, str]) -> None:
    with pytest.raises(azpg.ConfigError):
        translate(azpg.Database(SETTINGS), **libpq)


def test_asyncpgs_own_arguments(sandbox: Sandbox, database: azpg.Database) -> None:
    class Own(asyncpg.Connection):  # type: ignore[misc]
        pass

    async def main() -> None:
        async with azpg.asyncpg_pool(
            database,
            ssl="require",
            host=["localhost"],
            port=[sandbox.port],
            database=sandbox.database,
            password=database.apassword,
            timeout=30,
            connection_class=Own,
            min_size=1,
            server_settings={"application_name": "till", "options": "-c statement_timeout=7s"},
        ) as pool:
            query = "SELECT current_setting('application_name'), current_setting($1)"
            assert tuple(await pool.fetchrow(query, "statement_timeout")) == ("till", "7s")
            async with pool.acquire() as connection:
                assert isinstance(connection._con, Own)

    asyncio.run(main())


def test_a_dsn_is_refused_where_it_would_be_overlooked(database: azpg.Database) -> None:
    async def connect() -> None:
        await azpg.asyncpg_connect(database, dsn="postgresql://elsewhere/x")

    with pytest.raises(azpg.ConfigError, match="dsn="):
        asyncio.run(connect())


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    pem = tmp_path / "client.pem"
    pem.write_text("no certificate")
    with pytest.raises(azpg.ConfigError, match="sslcert= names a file that cannot be used"):
        translate(azpg.Database(SETTINGS), sslcert=str(pem))


@pytest.mark.parametrize(
    "libpq", [{"ssl_min_protocol_version": "SSLv3"}, {"connect_timeout": "soon"}, {"port": "five"}]
)
def test_what_libpq_refuses_is_refused(database: azpg.Database, libpq: dict[str, str]) -> None:
    with pytest.raises(azpg.ConfigError, match=next(iter(libpq))):
        translate(database, sslmode="require", **libpq)


def test_the_case_of_a_tls_version_does_not_matter(database: azpg.Database) -> None:
    context = translate(database, sslmode="require", ssl_max_protocol_version="tlsv1.2")["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert context.maximum_version is ssl.TLSVersion.TLSv1_2


def test_libpqs_name_for_the_database(database: azpg.Database) -> None:
    assert translate(database, dbname="e", sslmode="require")["database"] == "e"
