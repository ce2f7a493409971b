"""Entra's token endpoint for apps: client secrets and federated assertions."""

import hmac
import time
import uuid
from collections.abc import Mapping

import jwt

from .conditions import Conditions
from .identities import SERVICE_ACCOUNT, SERVICE_PRINCIPAL, TENANT_ID, USER_ASSIGNED, Identity
from .tokens import Issuer
from .web import Denial, Request, Response

_DISCOVERY_PATH = "/v2.0/.well-known/openid-configuration"
_TOKEN_PATH = "/oauth2/v2.0/token"  # noqa: S105, a path

# Seconds. Entra gives apps an hour, less a second, where the identity endpoints give a day.
_LIFETIME_LIMIT = 3599

_DEFAULT_SCOPE = "/.default"

# What Entra says of an assertion that it rejects, by PyJWT's reason; anything else is the last.
_ASSERTION_ERRORS: tuple[tuple[type[Exception], int, str], ...] = (
    (jwt.ExpiredSignatureError, 700024, "Client assertion is not within its valid time range."),
    (jwt.InvalidAudienceError, 700212, "No matching federated identity record found for audience."),
    (jwt.InvalidIssuerError, 700211, "No matching federated identity record found for issuer."),
    (jwt.InvalidSignatureError, 50013, "Assertion failed signature validation."),
    (Exception, 50027, "JWT token is invalid or malformed."),
)


class Entra:
    """The tenant's endpoints."""

    def __init__(self, issuer: Issuer, conditions: Conditions, client_secret: str) -> None:
        self._issuer = issuer
        self._conditions = conditions
        self._client_secret = client_secret

    async def answer(self, request: Request) -> Response:
        """Answer a request for the discovery document or for a token."""
        tenant, _, rest = request.path.strip("/").partition("/")
        if f"/{rest}" == _DISCOVERY_PATH:
            _check_tenant(tenant, "invalid_tenant")
            return Response(_discovery(request.headers.get("host", "")))
        if f"/{rest}" == _TOKEN_PATH and request.method == "POST":
            await self._conditions.befall("entra", request.form.get("client_id"))
            _check_tenant(tenant, "invalid_request")
            return self._token(request.form)
        raise Denial(Response({"error": "not_found"}, 404))

    def _token(self, form: Mapping[str, str]) -> Response:
        identity = self._authenticated(form)
        scope = form.get("scope", "")
        if not scope.endswith(_DEFAULT_SCOPE):
            raise _denial(400, "invalid_scope", 1002012, f"The scope {scope} is not valid.")
        lifetime = min(self._conditions.token_lifetime, _LIFETIME_LIMIT)
        token = self._issuer.issue(identity, scope.removesuffix(_DEFAULT_SCOPE), lifetime)
        seconds = int(lifetime)
        return Response(
            {
                "token_type": "Bearer",
                "expires_in": seconds,
                "ext_expires_in": seconds,
                "access_token": token,
            }
        )

    def _authenticated(self, form: Mapping[str, str]) -> Identity:
        """Return the app that has proved itself, by a secret or by its cluster's word."""
        if form.get("grant_type") != "client_credentials":
            raise _denial(400, "unsupported_grant_type", 70003, "The grant type is not supported.")
        client_id = form.get("client_id")
        if client_id == SERVICE_PRINCIPAL.client_id:
            self._check_secret(form)
            return SERVICE_PRINCIPAL
        if client_id == USER_ASSIGNED.client_id:
            self._check_assertion(form)
            return USER_ASSIGNED
        raise _denial(
            400,
            "unauthorized_client",
            700016,
            f"Application with identifier '{client_id}' was not found in the directory "
            f"'{TENANT_ID}'.",
        )

    def _check_secret(self, form: Mapping[str, str]) -> None:
        shown = form.get("client_secret", "")
        if not hmac.compare_digest(shown.encode(), self._client_secret.encode()):
            raise _denial(
                401,
                "invalid_client",
                7000215,
                "Invalid client secret provided. Ensure the secret being sent in the request is "
                "the client secret value, not the client secret ID, for a secret added to app "
                f"'{SERVICE_PRINCIPAL.client_id}'.",
            )

    def _check_assertion(self, form: Mapping[str, str]) -> None:
        try:
            claims = self._issuer.check_federated(form.get("client_assertion", ""))
        except jwt.InvalidTokenError as error:
            code, text = next(
                (code, text) for kind, code, text in _ASSERTION_ERRORS if isinstance(error, kind)
            )
            raise _denial(401, "invalid_client", code, text) from None
        if claims.get("sub") != SERVICE_ACCOUNT:
            text = "No matching federated identity record found for presented assertion subject."
            raise _denial(401, "invalid_client", 700213, text)


def _check_tenant(tenant: str, error: str) -> None:
    if tenant != TENANT_ID:
        raise _denial(
            400,
            error,
            90002,
            f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and "
            "are signing into the correct cloud. Check with your subscription administrator, this "
            "may happen if there are no active subscriptions for the tenant.",
        )


def _denial(status: int, error: str, code: int, text: str) -> Denial:
    """Build an error of Entra's, with the identifiers its support would ask for."""
    trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
    timestamp = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
    identifiers = f"Trace ID: {trace} Correlation ID: {correlation} Timestamp: {timestamp}"
    body = {
        "error": error,
        "error_description": f"AADSTS{code}: {text} {identifiers}",
        "error_codes": [code],
        "timestamp": timestamp,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"https://login.microsoftonline.com/error?code={code}",
    }
    return Denial(Response(body, status))


def _discovery(host: str) -> dict[str, object]:
    base = f"https://{host}/{TENANT_ID}"
    return {
        "token_endpoint": base + _TOKEN_PATH,
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "response_types_supported": ["code", "id_token"],
        "scopes_supported": ["openid"],
        "issuer": f"{base}/v2.0",
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
        "tenant_region_scope": "EU",
    }
