"""Why the server refuses a login, in the words and with the SQLSTATE Azure uses."""


class Refusal(Exception):  # noqa: N818, it is an answer to the client before it is an error of ours
    """A login that ends with this FATAL message to the client."""

    def __init__(self, message: str, sqlstate: str = "28000") -> None:
        super().__init__(message)
        self.message = message
        self.sqlstate = sqlstate


def invalid_format() -> Refusal:
    """A token that was cut, quoted or broken over lines."""
    return Refusal(
        "The access token has invalid format. Please ensure the token is passed exactly as "
        "returned by the authentication endpoint and retry."
    )


def invalid_token() -> Refusal:
    """Not a token at all, or not one that the tenant's present keys have signed."""
    return Refusal(
        "An error occurred while validating the access token. Please acquire a new token and retry."
    )


def expired() -> Refusal:
    """A token past its time."""
    return Refusal("The access token has expired. Acquire a new token and try again.")


def wrong_audience(expected: str) -> Refusal:
    """A token made for another service."""
    return Refusal(
        "The access token does not have a valid audience claim. "
        f'Please acquire a new token for the resource "{expected}".'
    )


def app_as_user(role: str) -> Refusal:
    """An app's token for a person's role."""
    return Refusal(
        f'Microsoft Entra user token for role "{role}" is neither an AAD_AUTH_TOKENTYPE_APP_USER '
        "or an AAD_AUTH_TOKENTYPE_APP_OBO token."
    )


def user_as_app(role: str) -> Refusal:
    """A person's token for an app's role."""
    return Refusal(
        f'Service Principals cannot generate AAD_AUTH_TOKENTYPE_APP_USER tokens for role "{role}"'
    )


def object_id_mismatch(bound_to: str, appid: str, oid: str) -> Refusal:
    """An app's token for another app's role; the odd quotes are Azure's."""
    return Refusal(
        'Service principal oid mismatch for role "The oid in the security label '
        f'[{bound_to}] does not match the appid [{appid}] or oid [{oid}] in the token."'
    )


def role_missing(role: str) -> Refusal:
    """A good token, but nobody of that name on the server."""
    return Refusal(f'role "{role}" does not exist')


def password_failed(role: str) -> Refusal:
    """PostgreSQL's own answer to a wrong password, and to a wrong name so as not to tell which."""
    return Refusal(f'password authentication failed for user "{role}"', "28P01")


def no_encryption(user: str, database: str) -> Refusal:
    """A login outside TLS."""
    return Refusal(
        f'no pg_hba.conf entry for host "127.0.0.1", user "{user}", database "{database}", '
        "no encryption"
    )


def no_entry(user: str, database: str) -> Refusal:
    """A login from an address that no firewall rule has."""
    return Refusal(
        f'no pg_hba.conf entry for host "127.0.0.1", user "{user}", database "{database}", '
        "SSL encryption"
    )


def reserved_role(user: str, database: str) -> Refusal:
    """A login as a role the gateway has no way to check, the server's superuser above all."""
    return Refusal(
        f'pg_hba.conf rejects connection for host "127.0.0.1", user "{user}", '
        f'database "{database}", SSL encryption'
    )
