"""One connection in plain values: what `Settings` say, without the imports that Settings take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from azpg_bootstrap import clouds
from azpg_bootstrap.methods import AuthMethod

DEFAULT_PORT: Final = 5432
"""PostgreSQL's own; Azure's built-in PgBouncer listens on 6432."""

DEFAULT_TOKEN_TIMEOUT: Final = 30.0
"""Seconds; gunicorn's own patience with a worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A connection's values, checked; field by field those of `Settings`, which explain them."""

    connection: str | None = None
    host: str
    port: int = DEFAULT_PORT
    database: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    tenant_id: str | None = None
    auth: AuthMethod | None = None
    named_sslmode: clouds.SslMode | None = None
    named_scope: str | None = None
    token_timeout: float = DEFAULT_TOKEN_TIMEOUT
    keywords: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    app_name: str | None = None

    @property
    def sslmode(self) -> clouds.SslMode:
        """The sslmode in force: the one named, else the strictest that suits the host."""
        return self.named_sslmode or clouds.default_sslmode(self.host)

    @property
    def scope(self) -> str:
        """The token scope in force: the one given, else the host's."""
        return self.named_scope or clouds.cloud(self.host).scope
