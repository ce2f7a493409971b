"""Fixtures shared by all tests: a clean environment and one sandbox per worker process."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from programs import administrator, answer

from azpg_bootstrap import auth
from azpg_bootstrap.sandbox import Sandbox

# A shell ignores SIGINT for what it runs in the background, and so would every program below that:
# the tests that send one need it to be heard.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine that is busy with something else is no fault of the code's.
hypothesis_settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("unhurried")

# Whatever could point a program at an identity, a server or a proxy other than the sandbox's.
FOREIGN = (
    "AZURE_", "AZPG_", "PG", "IDENTITY_", "MSI_", "IMDS_", "SPRING", "POSTGRESQLCONNSTR_",
    "CUSTOMCONNSTR_", "WEBSITE_", "CONTAINER_APP_", "FUNCTIONS_", "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE", "SSL_CERT", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "DJANGO_",
)  # fmt: skip

TABLES = """
SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables WHERE schemaname = 'public'
"""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow ones, or else one worker may be left with one of them in the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start every test without a trace of the machine's own Azure, libpq or proxy settings."""
    for name in [name for name in os.environ if name.upper().startswith(FOREIGN)]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_tokens() -> None:
    """Let no test find another's token: it may have been revoked."""
    auth._provider.cache_clear()
    auth._provider_of.cache_clear()


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Serve one sandbox to all tests of this process; tests that break it start their own."""
    with Sandbox() as running:
        yield running


@pytest.fixture(autouse=True)
def healthy_sandbox(request: pytest.FixtureRequest) -> Iterator[None]:
    """Undo what a test told the shared sandbox to do wrong, and drop the tables it left."""
    yield
    if "sandbox" not in request.fixturenames:
        return
    sandbox = request.getfixturevalue("sandbox")
    sandbox.reset()
    # `azpg grants` speaks of all tables: one role's would stop another role in some later test.
    with administrator(sandbox) as cursor:
        if left := answer(cursor, TABLES):
            cursor.execute(f"DROP TABLE {left} CASCADE")
