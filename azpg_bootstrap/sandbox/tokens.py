"""Issue access tokens as Entra does, and judge them as the server does."""

import re
import secrets
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from . import refusals
from .identities import (
    AUDIENCES,
    CLUSTER_ISSUER,
    FEDERATION_AUDIENCE,
    SERVICE_ACCOUNT,
    TENANT_ID,
    Identity,
)

Claims = dict[str, Any]

ISSUER = f"https://sts.windows.net/{TENANT_ID}/"

# Bits; what Entra signs with, and what gives tokens and signatures their real length.
_KEY_BITS = 2048

# Seconds. Real tokens count whole seconds; a test's token of a second or two would lose too much.
_WHOLE_SECONDS_FROM = 60

# Seconds. The kubelet renews its file every hour; nobody renews ours, so it outlives any sandbox.
_FEDERATED_LIFETIME = 365 * 86400

# Checked here, as PyJWT before its strict versions reads past line breaks and blanks.
_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)

# How the base64 of a JSON object begins, and so each token, however mutilated further on.
_TOKEN_START = "eyJ"  # noqa: S105, not a secret


class Issuer:
    """The tenant's signing key, and what can be said with it."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
        self._key_id = secrets.token_urlsafe(20)

    def revoke(self) -> None:
        """Let no token issued so far pass any more, as when the tenant's keys are rotated.

        Only the key's name changes: making another key would hold up every login meanwhile.
        """
        self._key_id = secrets.token_urlsafe(20)

    def issue(
        self, identity: Identity, audience: str, lifetime: float, extra: Claims | None = None
    ) -> str:
        """Sign a token for an identity; `extra` claims replace the usual ones, None removes one."""
        claims = _common_claims(identity, audience, lifetime)
        claims |= _person_claims(identity) if identity.is_person else _app_claims(identity)
        claims |= extra or {}
        return self._sign({name: claim for name, claim in claims.items() if claim is not None})

    def issue_federated(self) -> str:
        """Sign what a Kubernetes cluster writes into a pod's AZURE_FEDERATED_TOKEN_FILE."""
        now = int(time.time())
        return self._sign(
            {
                "aud": [FEDERATION_AUDIENCE],
                "iss": CLUSTER_ISSUER,
                "sub": SERVICE_ACCOUNT,
                "iat": now,
                "nbf": now,
                "exp": now + _FEDERATED_LIFETIME,
            }
        )

    def check_federated(self, assertion: str) -> Claims:
        """Return the claims of a federated token, or raise PyJWT's error for what is wrong."""
        claims: Claims = jwt.decode(
            assertion,
            self._key.public_key(),
            algorithms=["RS256"],
            audience=FEDERATION_AUDIENCE,
            issuer=CLUSTER_ISSUER,
        )
        return claims

    def judge(self, password: str, now: float) -> Claims:
        """Return the claims of the access token given as a password, or raise the refusal."""
        claims = self._verified(password)
        if claims["exp"] <= now:
            raise refusals.expired()
        if claims["aud"] not in AUDIENCES:
            raise refusals.wrong_audience(AUDIENCES[0])
        return claims

    def _verified(self, password: str) -> Claims:
        if not looks_like_token(password):
            raise refusals.invalid_token()
        if not _TOKEN.fullmatch(password):
            raise refusals.invalid_format()
        # Time and audience are judged later, by the server's clock and in the server's words.
        try:
            token = jwt.decode_complete(
                password,
                self._key.public_key(),
                algorithms=["RS256"],
                issuer=ISSUER,
                options={
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_aud": False,
                    "require": ["exp", "aud", "oid"],
                },
            )
        except jwt.InvalidSignatureError:
            raise _bad_signature(password) from None
        except jwt.DecodeError:
            raise refusals.invalid_format() from None
        except jwt.InvalidTokenError:
            raise refusals.invalid_token() from None
        if token["header"].get("kid") != self._key_id:
            raise refusals.invalid_token()
        claims: Claims = token["payload"]
        return claims

    def _sign(self, claims: Claims) -> str:
        headers = {"kid": self._key_id, "x5t": self._key_id}
        return jwt.encode(claims, self._key, algorithm="RS256", headers=headers)


def looks_like_token(password: str) -> bool:
    """Whether somebody meant this to be an access token, intact or not."""
    return _TOKEN_START in password


def _bad_signature(token: str) -> refusals.Refusal:
    """Tell a token that lost its end from one somebody else has signed."""
    signature = token.rpartition(".")[2]
    whole = -(-_KEY_BITS // 6)  # base64 carries six bits in a character
    return refusals.invalid_token() if len(signature) == whole else refusals.invalid_format()


def _common_claims(identity: Identity, audience: str, lifetime: float) -> Claims:
    now = time.time()
    expires = now + lifetime
    return {
        "aud": audience,
        "iss": ISSUER,
        "iat": int(now),
        "nbf": int(now),
        "exp": int(expires) if lifetime >= _WHOLE_SECONDS_FROM else expires,
        "aio": secrets.token_urlsafe(48),
        "appid": identity.client_id,
        "oid": identity.object_id,
        "rh": "1." + secrets.token_urlsafe(40),
        "sub": identity.object_id,
        "tid": TENANT_ID,
        "uti": secrets.token_urlsafe(16),
        "ver": "1.0",
        "xms_ftd": secrets.token_urlsafe(48),
    }


def _app_claims(identity: Identity) -> Claims:
    return {
        # How the app proved itself: "1" by a secret, "2" by a certificate or an assertion.
        "appidacr": "2" if identity.is_managed else "1",
        "idp": ISSUER,
        "idtyp": "app",
        "xms_idrel": "7 16",
        "xms_mirid": identity.resource_id,
    }


def _person_claims(identity: Identity) -> Claims:
    return {
        "acr": "1",
        "amr": ["pwd", "mfa"],
        "appidacr": "0",
        "family_name": "Contoso",
        "given_name": "User",
        "ipaddr": "127.0.0.1",
        "name": "User Contoso",
        "puid": "10032000" + "0" * 8,
        "scp": "user_impersonation",
        "unique_name": identity.upn,
        "upn": identity.upn,
    }
