"""Which of Azure's compute services this is, by what each sets in the environment."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final, NamedTuple

HIDDEN: Final = "["
"""How the text begins that App Service's SSH console shows for the variables it hides."""

# What a service is known by, the one that more is needed for first.
MARKS: Final = (
    (("WEBSITE_SITE_NAME", "FUNCTIONS_WORKER_RUNTIME"), "Azure Functions"),
    (("WEBSITE_SITE_NAME",), "App Service"),
    (("CONTAINER_APP_NAME",), "Container Apps"),
    (("AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST", "AZURE_TENANT_ID"), "AKS"),
    (("IDENTITY_ENDPOINT", "IMDS_ENDPOINT"), "Azure Arc"),
    (("IDENTITY_ENDPOINT", "IDENTITY_SERVER_THUMBPRINT"), "Service Fabric"),
    (("MSI_ENDPOINT", "MSI_SECRET"), "Azure Machine Learning"),
    (("MSI_ENDPOINT",), "Cloud Shell"),
    (("KUBERNETES_SERVICE_HOST",), "Kubernetes, without workload identity"),
)

ELSEWHERE: Final = "a virtual machine, or a machine of your own"

ENDPOINTS: Final = ("IDENTITY_ENDPOINT", "MSI_ENDPOINT", "AZURE_POD_IDENTITY_AUTHORITY_HOST")


class Assign(NamedTuple):
    """The command that gives a service an identity, its own or one that exists by itself."""

    command: str
    system: str
    user: str


ASSIGN: Final = {
    "Azure Functions": Assign("functionapp", "", " --identities"),
    "App Service": Assign("webapp", "", " --identities"),
    "Container Apps": Assign("containerapp", " --system-assigned", " --user-assigned"),
    ELSEWHERE: Assign("vm", "", " --identities"),
}
"""How a service gets an identity; AKS and others get theirs otherwise."""


class Compute(NamedTuple):
    """Where this program runs, and whom it would ask for a token."""

    service: str
    app: str | None
    endpoint: str | None
    """The identity endpoint, if a variable names it."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Compute:
        """Tell by the environment."""
        service = next(
            (name for marks, name in MARKS if all(environ.get(mark) for mark in marks)), ELSEWHERE
        )
        app = environ.get("WEBSITE_SITE_NAME") or environ.get("CONTAINER_APP_NAME")
        endpoint = next((environ[name] for name in ENDPOINTS if environ.get(name)), None)
        if service == "AKS":
            endpoint = environ["AZURE_AUTHORITY_HOST"]
        return cls(service, app or None, endpoint)

    @property
    def is_hidden(self) -> bool:
        """Whether this session shows a text in place of the endpoint."""
        return self.endpoint is not None and self.endpoint.startswith(HIDDEN)

    def assign_identity(self, *, is_system: bool) -> str:
        """Return the command that gives this app its own identity, or one that exists by itself."""
        assign = ASSIGN.get(self.service)
        if assign is None:
            return "az identity list --resource-group <group>"
        app = shlex.quote(self.app) if self.app else "<name>"
        which = assign.system if is_system else f"{assign.user} <resource id of the identity>"
        return f"az {assign.command} identity assign --resource-group <group> --name {app}{which}"
