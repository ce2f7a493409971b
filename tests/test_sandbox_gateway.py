"""Logins through the gateway: who passes, who is refused in which words, and what is carried."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import StringIO
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection  # noqa: N812

from azpg_bootstrap.sandbox import Sandbox

Login = Callable[..., Connection]

VALIDATING = "An error occurred while validating the access token. Please acquire a new token"
FORMAT = (
    "The access token has invalid format. Please ensure the token is passed exactly as returned "
    "by the authentication endpoint and retry."
)
EXPIRED = "The access token has expired. Acquire a new token and try again."
AUDIENCE = (
    "The access token does not have a valid audience claim. Please acquire a new token for the "
    'resource "https://ossrdbms-aad.database.windows.net".'
)


@pytest.fixture
def login(sandbox: Sandbox) -> Iterator[Login]:
    """Return psycopg2.connect with the sandbox's place filled in."""
    opened: list[Connection] = []

    def connect(user: str, password: str, **more: Any) -> Connection:
        where = {"host": sandbox.host, "port": sandbox.port, "dbname": sandbox.database}
        tls = {"sslmode": "verify-full", "sslrootcert": sandbox.ca_file}
        connection: Connection = psycopg2.connect(
            **{**where, **tls, "user": user, "password": password, **more}
        )
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()


def one(connection: Connection, statement: str, *arguments: object) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        row = cursor.fetchone()
        assert row is not None
        return row[0]


def refusal(login: Login, user: str, password: str, **more: Any) -> str:
    with pytest.raises(psycopg2.OperationalError) as caught:
        login(user, password, **more)
    return str(caught.value)


def app_password(sandbox: Sandbox) -> str:
    return sandbox.environ("secret", "django")["AZURE_POSTGRESQL_PASSWORD"]


@pytest.mark.parametrize(
    ("role", "identity"),
    [
        ("aad_system", "system-assigned"),
        ("aad_user", "user-assigned"),
        ("azpg-identity", "user-assigned"),
        ("aad_sp", "service-principal"),
        ("user@contoso.example", "person"),
    ],
)
def test_a_token_opens_the_role_bound_to_its_identity(
    sandbox: Sandbox, login: Login, role: str, identity: str
) -> None:
    connection = login(role, sandbox.issue_token(identity))
    assert one(connection, "SELECT current_user") == role


@pytest.mark.parametrize(
    "audience",
    [
        "https://ossrdbms-aad.database.windows.net",
        "https://ossrdbms-aad.database.chinacloudapi.cn",
        "https://ossrdbms-aad.database.usgovcloudapi.net",
        "https://token.postgres.cosmos.azure.com",
    ],
)
def test_every_cloud_has_its_audience(sandbox: Sandbox, login: Login, audience: str) -> None:
    assert login("aad_system", sandbox.issue_token(audience=audience))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "azpg.postgres.database.azure.com"])
def test_the_certificate_covers_the_names(sandbox: Sandbox, login: Login, host: str) -> None:
    assert login("aad_system", sandbox.issue_token(), host=host, hostaddr="127.0.0.1")


def test_the_certificate_covers_no_other_name(sandbox: Sandbox, login: Login) -> None:
    text = refusal(login, "aad_system", "x", host="db.contoso.example", hostaddr="127.0.0.1")
    assert "does not match host name" in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"lifetime": -1}, EXPIRED),
        ({"audience": "https://management.azure.com"}, AUDIENCE),
        # Of two things wrong with a token, the server names the first.
        ({"lifetime": -1, "audience": "https://management.azure.com"}, EXPIRED),
        (
            {"identity": "user-assigned"},
            'Service principal oid mismatch for role "The oid in the security label '
            "[5e1f01d0-0000-4000-8000-000000000001] does not match the appid "
            "[c0dec11e-0000-4000-8000-000000000002] or oid [c0de01d0-0000-4000-8000-000000000002] "
            'in the token."',
        ),
        # An app's client id is not its object id, though many bind roles to it.
        (
            {"claims": {"oid": "00000000-0000-4000-8000-000000000000"}},
            "or oid [00000000-0000-4000-8000-000000000000] in the token.",
        ),
        (
            {"identity": "person"},
            "Service Principals cannot generate AAD_AUTH_TOKENTYPE_APP_USER tokens "
            'for role "aad_system"',
        ),
        ({"claims": {"iss": "https://sts.windows.net/another-tenant/"}}, VALIDATING),
        ({"claims": {"oid": None}}, VALIDATING),
    ],
)
def test_a_wrong_token_is_refused(
    sandbox: Sandbox, login: Login, arguments: dict[str, Any], text: str
) -> None:
    assert text in refusal(login, "aad_system", sandbox.issue_token(**arguments))


def flipped(token: str) -> str:
    """Change a token's signature, keeping its length."""
    head, _, signature = token.rpartition(".")
    return f"{head}.AAAA{signature[4:]}"


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda token: token[:4095], None),
        (lambda token: token[:1000], FORMAT),
        (lambda token: token[:-1], FORMAT),
        (lambda token: f'"{token}"', FORMAT),
        (lambda token: token + "\n", FORMAT),
        (lambda token: token[:700] + "\r\n" + token[700:], FORMAT),
        (lambda token: "Bearer " + token, FORMAT),
        (flipped, VALIDATING),
        (lambda _: "a-plain-password", VALIDATING),
        (lambda _: "eyJub3QgYSB0b2tlbg", FORMAT),
    ],
)
def test_a_damaged_token_is_refused(
    sandbox: Sandbox, login: Login, damage: Callable[[str], str], text: str | None
) -> None:
    token = damage(sandbox.issue_token())
    if text is None:
        assert login("aad_system", token)
    else:
        assert f"FATAL:  {text}" in refusal(login, "aad_system", token)


def test_an_app_cannot_be_a_person(sandbox: Sandbox, login: Login) -> None:
    text = refusal(login, "user@contoso.example", sandbox.issue_token())
    assert 'Microsoft Entra user token for role "user@contoso.example" is neither an' in text


def test_an_oversized_password_is_no_login(sandbox: Sandbox, login: Login) -> None:
    assert "closed" in refusal(login, "aad_system", "x" * 70_000)


def test_a_user_token_may_be_long(sandbox: Sandbox, login: Login) -> None:
    token = sandbox.issue_token("person", claims={"groups": ["x" * 36] * 1000})
    assert len(token) > 50_000
    assert login("user@contoso.example", token)


def test_without_tls_nobody_comes_in(sandbox: Sandbox, login: Login) -> None:
    text = refusal(login, "aad_system", "x", sslmode="disable", sslrootcert=None)
    assert (
        'FATAL:  no pg_hba.conf entry for host "127.0.0.1", user "aad_system", '
        'database "appdb", no encryption' in text
    )


def test_libpq_tries_again_without_tls_and_reports_both(sandbox: Sandbox, login: Login) -> None:
    text = refusal(login, "aad_system", "x", sslmode="prefer", sslrootcert=None)
    assert VALIDATING in text
    assert "no encryption" in text


def test_an_unknown_role_is_missing_for_a_token(sandbox: Sandbox, login: Login) -> None:
    assert 'FATAL:  role "nobody" does not exist' in refusal(login, "nobody", sandbox.issue_token())


def test_an_unknown_role_has_no_password(login: Login) -> None:
    assert 'password authentication failed for user "nobody"' in refusal(login, "nobody", "guess")


def test_a_dropped_role_is_missing(sandbox: Sandbox, login: Login) -> None:
    sandbox.create_role("short_lived")
    login("short_lived", sandbox.issue_token()).close()
    as_superuser(sandbox, "DROP OWNED BY short_lived; DROP ROLE short_lived")
    text = refusal(login, "short_lived", sandbox.issue_token())
    assert 'FATAL:  role "short_lived" does not exist' in text


def test_nobody_is_superuser_through_the_gateway(sandbox: Sandbox, login: Login) -> None:
    text = refusal(login, "azuresu", sandbox.issue_token())
    assert 'pg_hba.conf rejects connection for host "127.0.0.1", user "azuresu"' in text


def test_a_trusted_role_the_registry_does_not_know_stays_out(
    sandbox: Sandbox, login: Login
) -> None:
    as_superuser(sandbox, "CREATE ROLE stray LOGIN IN ROLE azure_ad_user")
    try:
        assert "pg_hba.conf rejects connection" in refusal(login, "stray", sandbox.issue_token())
    finally:
        as_superuser(sandbox, "DROP ROLE stray")


def as_superuser(sandbox: Sandbox, statement: str) -> None:
    connection = psycopg2.connect(**sandbox.superuser_dsn)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


def test_a_missing_database_is_the_servers_own_word(sandbox: Sandbox, login: Login) -> None:
    text = refusal(login, "aad_system", sandbox.issue_token(), dbname="nothing")
    assert 'FATAL:  database "nothing" does not exist' in text


def test_a_group_role_admits_its_members(sandbox: Sandbox, login: Login) -> None:
    group = "96009000-0000-4000-8000-000000000000"
    sandbox.create_role("writers", object_id=group, kind="group")
    assert login("writers", sandbox.issue_token("person", claims={"groups": [group]}))
    assert "password authentication failed" in refusal(
        login, "writers", sandbox.issue_token("person")
    )


def test_a_revoked_token_is_refused_and_a_later_one_accepted(
    sandbox: Sandbox, login: Login
) -> None:
    old = sandbox.issue_token()
    sandbox.revoke_tokens()
    assert VALIDATING in refusal(login, "aad_system", old)
    assert sandbox.refused_logins == 1
    assert login("aad_system", sandbox.issue_token())


def test_the_servers_clock_may_be_ahead_and_behind(sandbox: Sandbox, login: Login) -> None:
    token, expired = sandbox.issue_token(lifetime=60), sandbox.issue_token(lifetime=-60)
    sandbox.faults(clock_skew=90)
    assert EXPIRED in refusal(login, "aad_system", token)
    sandbox.faults(clock_skew=-90)
    assert login("aad_system", expired)


def test_a_password_goes_through_scram(sandbox: Sandbox, login: Login) -> None:
    connection = login("app_password", app_password(sandbox), channel_binding="prefer")
    assert one(connection, "SELECT current_user") == "app_password"
    assert "md5" not in one(connection, "SHOW password_encryption")


def test_a_wrong_password_is_the_servers_own_word(login: Login) -> None:
    text = refusal(login, "app_password", "wrong", require_auth="scram-sha-256")
    assert 'FATAL:  password authentication failed for user "app_password"' in text


def test_a_cancel_request_reaches_the_server(sandbox: Sandbox, login: Login) -> None:
    connection = login("aad_system", sandbox.issue_token())
    timer = threading.Timer(0.2, connection.cancel)
    timer.start()
    started = time.monotonic()
    with pytest.raises(psycopg2.extensions.QueryCanceledError):
        one(connection, "SELECT pg_sleep(30)")
    timer.join()
    assert time.monotonic() - started < 10


def through_psycopg(sandbox: Sandbox) -> Any:
    import psycopg

    return psycopg.connect(
        host=sandbox.host, port=sandbox.port, dbname=sandbox.database, user="aad_system",
        password=sandbox.issue_token(), sslmode="verify-full", sslrootcert=sandbox.ca_file,
    )  # fmt: skip


def test_a_cancel_request_inside_tls_reaches_the_server(sandbox: Sandbox) -> None:
    psycopg = pytest.importorskip("psycopg")
    if not psycopg.capabilities.has_cancel_safe():
        pytest.skip("libpq encrypts cancel requests from version 17 on")
    with through_psycopg(sandbox) as connection:
        timer = threading.Timer(0.2, connection.cancel_safe)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(30)")
        timer.join()


def test_a_large_result_comes_whole(sandbox: Sandbox, login: Login) -> None:
    connection = login("aad_system", sandbox.issue_token())
    assert len(one(connection, "SELECT repeat('x', 20000000)")) == 20_000_000


def test_a_large_copy_goes_whole(sandbox: Sandbox, login: Login) -> None:
    connection = login("aad_system", sandbox.issue_token())
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE sink (line text)")
        cursor.copy_expert("COPY sink FROM STDIN", StringIO(("y" * 99 + "\n") * 100_000))
    assert one(connection, "SELECT sum(length(line)) FROM sink") == 9_900_000


def test_fifty_at_once(sandbox: Sandbox, login: Login) -> None:
    token = sandbox.issue_token()
    with ThreadPoolExecutor(50) as threads:
        connections = list(threads.map(lambda _: login("aad_system", token), range(50)))
    assert len({one(connection, "SELECT pg_backend_pid()") for connection in connections}) == 50


def test_the_usual_roles_may_migrate_and_make_a_test_database(
    sandbox: Sandbox, login: Login
) -> None:
    connection = login("aad_user", sandbox.issue_token("user-assigned"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE migrated (id serial)")
        cursor.execute("DROP TABLE migrated")
        cursor.execute("CREATE DATABASE test_appdb")
        cursor.execute("DROP DATABASE test_appdb")


SSL_REQUEST = bytes.fromhex("0000000804d2162f")


@pytest.mark.parametrize(
    "opening",
    [
        b"",
        b"\0",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\4",
        b"\xff" * 100_000,
        SSL_REQUEST,
        SSL_REQUEST + b"this is no ClientHello",
        b"\0\0\0\x09\0\2\0\0\0",
    ],
)
def test_a_client_that_vanishes_or_talks_nonsense_harms_nobody(
    sandbox: Sandbox, login: Login, opening: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.port)) as raw:
        raw.settimeout(10)
        raw.sendall(opening)
        if len(opening) > 8:
            assert raw.recv(1) in (b"", b"S")
    assert login("aad_system", sandbox.issue_token())


def test_encryption_by_kerberos_is_declined(sandbox: Sandbox) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.port)) as raw:
        raw.sendall(bytes.fromhex("0000000804d21630"))
        assert raw.recv(1) == b"N"
        raw.sendall(SSL_REQUEST)
        assert raw.recv(1) == b"S"


def test_a_client_that_is_not_done_talking_reads_its_refusal(sandbox: Sandbox) -> None:
    startup = b"\0\3\0\0user\0talker\0\0"
    with socket.create_connection(("127.0.0.1", sandbox.port)) as raw:
        raw.sendall((len(startup) + 4).to_bytes(4) + startup + b"x" * 1_000_000)
        time.sleep(0.2)
        raw.shutdown(socket.SHUT_WR)
        assert b'user "talker", database "talker", no encryption' in raw.recv(1000)


def hang_up(connection: Connection) -> None:
    """Cut a connection as a crash would, without a word to the server."""
    raw = socket.socket(fileno=connection.fileno())
    with suppress(OSError):  # cut already: libpq goes on through the rows that it has
        raw.shutdown(socket.SHUT_RDWR)
    raw.detach()


def wait_until_freed(sandbox: Sandbox, backend: int) -> None:
    watcher = psycopg2.connect(**sandbox.superuser_dsn)
    watcher.autocommit = True
    count = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
    deadline = time.monotonic() + 10
    while one(watcher, count, backend) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert one(watcher, count, backend) == 0
    watcher.close()


def test_a_client_that_leaves_frees_its_backend(sandbox: Sandbox, login: Login) -> None:
    leaver = login("aad_system", sandbox.issue_token())
    backend = one(leaver, "SELECT pg_backend_pid()")
    hang_up(leaver)
    wait_until_freed(sandbox, backend)


def test_a_client_that_leaves_amid_a_result_frees_its_backend(
    sandbox: Sandbox, login: Login
) -> None:
    leaver = login("aad_system", sandbox.issue_token())
    backend = one(leaver, "SELECT pg_backend_pid()")

    class Sink(StringIO):
        def write(self, line: str) -> int:
            hang_up(leaver)
            return len(line)

    rows = "SELECT repeat('x', 1000) FROM generate_series(1, 1000000)"
    with leaver.cursor() as cursor, pytest.raises(psycopg2.Error):
        cursor.copy_expert(f"COPY ({rows}) TO STDOUT", Sink())
    wait_until_freed(sandbox, backend)


def test_why_the_server_ends_reaches_the_client(sandbox: Sandbox) -> None:
    psycopg = pytest.importorskip("psycopg")  # psycopg2 drops the message, gateway or not
    connection = through_psycopg(sandbox)
    statement = f"SELECT pg_terminate_backend({connection.info.backend_pid})"
    end = threading.Timer(0.2, as_superuser, [sandbox, statement])
    end.start()
    with pytest.raises(psycopg.errors.AdminShutdown):
        connection.execute("SELECT pg_sleep(30)")
    end.join()
