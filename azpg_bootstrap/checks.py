"""What one configured value must look like.

Each check returns the value as the library uses it, or raises ValueError with a predicate that
continues the name of its variable: "... is no port number". No predicate repeats the value.
"""

import re
from collections.abc import Collection
from typing import Final, Never

from azpg_bootstrap.clouds import SSLMODES
from azpg_bootstrap.methods import AuthMethod

UNRESOLVED: Final = "@microsoft.keyvault("
"""What App Service leaves in a variable whose Key Vault reference it could not resolve."""

UUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)

PORTS: Final = range(1, 2**16)


def fault(value: str) -> str | None:
    """Return the predicate for what no value may be, whatever it is for; None if it is fine."""
    if not value.strip():
        return "is empty: give it a value or remove it"
    if value.lower().startswith(UNRESOLVED):
        return (
            "is a Key Vault reference that was not resolved: let the app's identity read the "
            "secret, then restart the app"
        )
    if re.search(r"[\x00-\x1f\x7f-\x9f]", value):
        return "holds a control character, perhaps a line break at its end"
    if re.search(r"[\ud800-\udfff]", value):
        return "holds bytes that are no UTF-8"
    return None


def word(value: str) -> str:
    """Return a word as it is compared: in any case, `_` for `-`."""
    return value.lower().replace("_", "-")


def one_of(words: Collection[str], value: str) -> str:
    """Check a word of a fixed set."""
    return word(value) if word(value) in words else _refuse(f"is none of {', '.join(words)}")


def sslmode(value: str) -> str:
    """Check libpq's sslmode."""
    if word(value) == "verify-all":
        _refuse("is verify-all, which some pages print but libpq does not have: use verify-full")
    return one_of(SSLMODES, value)


def port(value: str | int) -> int:
    """Check a TCP port."""
    text = str(value)
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) not in PORTS:
        _refuse(f"is no port number from {PORTS.start} to {PORTS.stop - 1}")
    return int(text)


def host(value: str) -> str:
    """Check a server's name or a list of names; what libpq cannot resolve it says itself.

    The dot that ends a name in full goes, as certificates have none.
    """
    names = [name.rstrip(".") for name in value.split(",")]
    if re.search(r"[\s;@?#=\"']|://", value):
        _refuse("is no server name")
    if not all(names):
        _refuse("has a comma with no server name before or after it")
    if any(name.count(":") == 1 for name in names):  # an IPv6 address has more
        _refuse("is no server name alone: a port has a variable of its own, which ends in PORT")
    return ",".join(names)


def uuid(value: str) -> str:
    """Check a client id."""
    return value if UUID.fullmatch(value) else _refuse("is no UUID: the client id is needed here")


def scope(value: str) -> str:
    """Check a token scope; a resource alone is given the suffix that makes it one."""
    if not value.startswith("https://"):
        _refuse("is no token scope: that begins with https://")
    return value if value.endswith("/.default") else value.rstrip("/") + "/.default"


def seconds(value: str | float) -> float:
    """Check a time span in seconds."""
    is_number = not isinstance(value, str) or re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", value)
    if not is_number or not 0 < float(value) < float("inf"):
        _refuse("is no number of seconds above 0")
    return float(value)


def method(value: str) -> AuthMethod:
    """Check an auth method's name."""
    return AuthMethod(one_of(list(AuthMethod), value))


def _refuse(predicate: str) -> Never:
    raise ValueError(predicate)
