"""SQL literals quoted by the driver where there is no connection to quote for."""

from psycopg2.extensions import QuotedString

from azpg_bootstrap.commands.exits import Failure


def literal(text: str) -> str:
    """Return text as an SQL literal, which may also stand in a body quoted with $$.

    Raises Failure for what the driver can quote for a known server alone: how a backslash is
    written depends on a setting of the server's.
    """
    if "\\" in text or "$$" in text:
        raise Failure("a name with a backslash or $$ in it cannot be quoted without a connection")
    quoted = QuotedString(text)
    quoted.encoding = "utf-8"
    return quoted.getquoted().decode()
