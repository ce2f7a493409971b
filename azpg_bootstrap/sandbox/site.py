"""Where a running sandbox is to be found, and what opens it."""

from dataclasses import dataclass, field
from typing import Any

# The path is the platform's choice on App Service, and always this one at IMDS.
APP_SERVICE_PATH = "/msi/token"
IMDS_PATH = "/metadata/identity/oauth2/token"


@dataclass(frozen=True)
class Site:
    """What the supervisor tells its owner when everything is up."""

    port: int
    identity_port: int
    authority_port: int
    database: str
    superuser_dsn: dict[str, Any]
    ca_file: str
    ca_bundle: str
    federated_token_file: str
    azure_cli_folder: str
    identity_header: str = field(repr=False)
    client_secret: str = field(repr=False)
    password: str = field(repr=False)
