import psycopg2
import pytest

import azpg_bootstrap as azpg
from azpg_bootstrap import tokens
from azpg_bootstrap.sandbox import Sandbox


@pytest.fixture
def database(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, own_identity: None
) -> azpg.Database:
    for name, value in sandbox.environ().items():
        monkeypatch.setenv(name, value)
    return azpg.Database.from_env()


def refusal(database: azpg.Database, **libpq: object) -> psycopg2.OperationalError:
    with pytest.raises(psycopg2.OperationalError) as caught:
        database.connect(**libpq)
    return caught.value


def test_a_refused_token_is_replaced_once(
    sandbox: Sandbox, database: azpg.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after keys were rotated: the cached token is refused, the next one is not."""
    monkeypatch.setattr(tokens, "JUST_ISSUED", 0.0)
    database.connect().close()
    sandbox.revoke_tokens()
    database.connect().close()
    assert (sandbox.token_requests, sandbox.refused_logins) == (2, 1)


def test_a_fresh_token_that_is_refused_is_not_retried(
    sandbox: Sandbox, database: azpg.Database
) -> None:
    sandbox.faults(clock_skew=200_000)  # to the server every token is long dead
    error = refusal(database)
    assert "The access token has expired" in str(error)
    assert (sandbox.token_requests, sandbox.refused_logins) == (1, 1)
    assert "compare this machine's clock" in error.__notes__[0]


def test_a_refusal_that_no_token_mends_is_not_retried(
    sandbox: Sandbox, database: azpg.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "JUST_ISSUED", 0.0)
    error = refusal(database, user="user@contoso.example")
    assert "AAD_AUTH_TOKENTYPE_APP_USER" in str(error)
    assert "set AZURE_POSTGRESQL_USER" in error.__notes__[0]
    assert sandbox.refused_logins == 1


def test_a_password_given_is_tried_once(sandbox: Sandbox, database: azpg.Database) -> None:
    error = refusal(database, password="hunter2")
    assert "a plain password was sent to a role that logs in" in error.__notes__[0]
    assert (sandbox.token_requests, sandbox.refused_logins) == (0, 1)
