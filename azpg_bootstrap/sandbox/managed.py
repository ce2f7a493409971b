"""The identity endpoints of the platform: App Service's, which others share, and IMDS."""

import hmac
import time

from .az import PATH as AZ_PATH
from .az import AzureCli
from .conditions import Conditions
from .identities import IDENTITIES, SYSTEM_ASSIGNED, Identity
from .site import APP_SERVICE_PATH, IMDS_PATH
from .tokens import Issuer
from .web import Denial, Request, Response

# The names the two endpoints know for "which identity".
_SELECTORS = ("client_id", "object_id", "principal_id", "mi_res_id", "msi_res_id")


class ManagedIdentities:
    """Hands out tokens of the identities that a host in Azure has."""

    def __init__(self, issuer: Issuer, conditions: Conditions, identity_header: str) -> None:
        self._issuer = issuer
        self._conditions = conditions
        self._identity_header = identity_header
        self._azure_cli = AzureCli(issuer, conditions)

    async def answer(self, request: Request) -> Response:
        """Answer a request at either endpoint."""
        client_id = request.query.get("client_id")
        if request.path == APP_SERVICE_PATH:
            await self._conditions.befall("app-service", client_id)
            return self._app_service(request)
        if request.path == IMDS_PATH:
            await self._conditions.befall("imds", client_id)
            return self._imds(request)
        if request.path == AZ_PATH:
            return await self._azure_cli.answer(request)
        raise Denial(Response({"error": "not_found"}, 404))

    def _app_service(self, request: Request) -> Response:
        shown = request.headers.get("x-identity-header", "")
        if not hmac.compare_digest(shown.encode(), self._identity_header.encode()):
            raise _app_service_denial(401, "The X-IDENTITY-HEADER is missing or wrong.")
        resource = request.query.get("resource")
        if not resource:
            raise _app_service_denial(400, "The parameter 'resource' is missing.")
        identity = _selected(request)
        if identity is None:
            raise _app_service_denial(
                400,
                "No User Assigned or Delegated Managed Identity found for specified "
                "ClientId/ResourceId/PrincipalId.",
            )
        token = self._token(identity, resource)
        return Response({key: token[key] for key in token if key in _APP_SERVICE_FIELDS})

    def _imds(self, request: Request) -> Response:
        if request.headers.get("metadata", "").lower() != "true":
            raise _imds_denial("Required metadata header not specified")
        resource = request.query.get("resource")
        if not resource:
            raise _imds_denial("Required query variable 'resource' is missing")
        identity = _selected(request)
        if identity is None:
            raise _imds_denial("Identity not found")
        return Response(self._token(identity, resource))

    def _token(self, identity: Identity, resource: str) -> dict[str, str]:
        """Return IMDS's answer, every number a string as there."""
        lifetime, now = self._conditions.token_lifetime, time.time()
        return {
            "access_token": self._issuer.issue(identity, resource, lifetime),
            "client_id": identity.client_id,
            "expires_in": str(int(lifetime)),
            "expires_on": str(int(now + lifetime)),
            "ext_expires_in": str(int(lifetime)),
            "not_before": str(int(now)),
            "resource": resource,
            "token_type": "Bearer",
        }


_APP_SERVICE_FIELDS = ("access_token", "client_id", "expires_on", "resource", "token_type")


def _selected(request: Request) -> Identity | None:
    """Return the managed identity a request is about, the host's own if it names none."""
    wanted = [request.query[name] for name in _SELECTORS if name in request.query]
    if not wanted:
        return SYSTEM_ASSIGNED
    for identity in IDENTITIES.values():
        ids = (identity.client_id, identity.object_id, identity.resource_id)
        if identity.is_managed and wanted[0] in ids:
            return identity
    return None


def _app_service_denial(status: int, message: str) -> Denial:
    return Denial(Response({"statusCode": status, "message": message}, status))


def _imds_denial(description: str) -> Denial:
    return Denial(Response({"error": "invalid_request", "error_description": description}, 400))
