"""Who exists in the sandbox's tenant; pure data.

The ids are constants, so that a log line or a failing test can be read without looking them up.
"""

from dataclasses import dataclass
from typing import Literal

TENANT_ID = "7e4a4700-0000-4000-8000-000000000000"

_RESOURCE_GROUP = (
    "/subscriptions/5ab5c000-0000-4000-8000-000000000000/resourcegroups/azpg/providers"
)

# The public client a person signs in with; this is the Azure CLI's own, well-known id.
AZURE_CLI_CLIENT_ID = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

# What a role of the server can stand for.
Kind = Literal["service", "user", "group"]


@dataclass(frozen=True)
class Identity:
    """Somebody Entra issues tokens to."""

    name: str
    client_id: str
    object_id: str
    resource_id: str | None = None
    upn: str | None = None

    @property
    def display_name(self) -> str:
        """What the tenant calls it, which is a person's user principal name."""
        return self.upn or (self.resource_id or self.name).rpartition("/")[2]

    @property
    def kind(self) -> Kind:
        """What a role for it is."""
        return "user" if self.is_person else "service"

    @property
    def is_person(self) -> bool:
        """Whether a human being signs in with it, rather than an app."""
        return self.upn is not None

    @property
    def is_managed(self) -> bool:
        """Whether the platform's own endpoint hands out its tokens."""
        return self.resource_id is not None


SYSTEM_ASSIGNED = Identity(
    "system-assigned",
    client_id="5e1fc11e-0000-4000-8000-000000000001",
    object_id="5e1f01d0-0000-4000-8000-000000000001",
    resource_id=f"{_RESOURCE_GROUP}/Microsoft.Web/sites/azpg-demo",
)
USER_ASSIGNED = Identity(
    "user-assigned",
    client_id="c0dec11e-0000-4000-8000-000000000002",
    object_id="c0de01d0-0000-4000-8000-000000000002",
    resource_id=f"{_RESOURCE_GROUP}/Microsoft.ManagedIdentity/userAssignedIdentities/azpg-identity",
)
SERVICE_PRINCIPAL = Identity(
    "service-principal",
    client_id="a99cc11e-0000-4000-8000-000000000003",
    object_id="a99c01d0-0000-4000-8000-000000000003",
)
PERSON = Identity(
    "person",
    client_id=AZURE_CLI_CLIENT_ID,
    object_id="face01d0-0000-4000-8000-000000000004",
    upn="user@contoso.example",
)
ADMINISTRATOR = Identity(
    "administrator",
    client_id=AZURE_CLI_CLIENT_ID,
    object_id="ad1101d0-0000-4000-8000-000000000005",
    upn="admin@contoso.example",
)

IDENTITIES = {
    identity.name: identity
    for identity in (SYSTEM_ASSIGNED, USER_ASSIGNED, SERVICE_PRINCIPAL, PERSON, ADMINISTRATOR)
}


def identity_named(name: str) -> Identity:
    """Return one of the identities above."""
    if name not in IDENTITIES:
        raise ValueError(f"{name!r} is none of: {', '.join(IDENTITIES)}")
    return IDENTITIES[name]


# What Kubernetes vouches for and what the user-assigned identity's federation expects to read.
CLUSTER_ISSUER = f"https://oidc.prod-aks.azure.com/{TENANT_ID}/"
SERVICE_ACCOUNT = "system:serviceaccount:default:sc-account-" + USER_ASSIGNED.client_id
FEDERATION_AUDIENCE = "api://AzureADTokenExchange"

# Tokens for any of these open the server: the public cloud, China, US Government, Cosmos DB.
AUDIENCES = (
    "https://ossrdbms-aad.database.windows.net",
    "https://ossrdbms-aad.database.chinacloudapi.cn",
    "https://ossrdbms-aad.database.usgovcloudapi.net",
    "https://token.postgres.cosmos.azure.com",
)
