"""The connection strings of every client type, as libpq keywords and values.

libpq's own parser reads libpq strings and URIs. A JDBC URL becomes a libpq URI first. .NET
strings follow ADO.NET's quoting rules. Nothing raised here repeats a piece of the string: a
password with a stray blank or quote turns up where a keyword should be.
"""

import re
from typing import Final

from psycopg2 import Error as DriverError
from psycopg2.extensions import parse_dsn

from azpg_bootstrap.errors import ConfigError

# Npgsql's keywords (its documentation, "Connection String Parameters") with blanks and
# underscores taken out, for libpq's.
DOTNET: Final = {
    "server": "host", "host": "host", "port": "port", "database": "dbname", "db": "dbname",
    "userid": "user", "username": "user", "user": "user", "uid": "user",
    "password": "password", "pwd": "password", "psw": "password",
    "sslmode": "sslmode", "rootcertificate": "sslrootcert", "sslcertificate": "sslcert",
    "sslkey": "sslkey", "applicationname": "application_name", "timeout": "connect_timeout",
    "options": "options", "clientencoding": "client_encoding",
    "targetsessionattributes": "target_session_attrs", "passfile": "passfile",
    "sslpassword": "sslpassword", "sslnegotiation": "sslnegotiation",
    "channelbinding": "channel_binding", "requireauth": "require_auth",
    "kerberosservicename": "krbsrvname", "searchpath": "search_path",
}  # fmt: skip

# Npgsql's settings of its own pool and protocol, which mean nothing to libpq.
DOTNET_ONLY: Final = frozenset(
    """autoprepareminusages cancellationtimeout checkcertificaterevocation commandtimeout
    connectionidlelifetime connectionlifetime connectionpruninginterval encoding enlist
    hostrecheckseconds includeerrordetail includerealm internalcommandtimeout keepalive
    loadbalancehosts loadtablecomposites logparameters maxautoprepare maximumpoolsize
    maxpoolsize minimumpoolsize minpoolsize multiplexing noresetonclose persistsecurityinfo
    pooling readbuffersize servercompatibilitymode socketreceivebuffersize
    socketsendbuffersize tcpkeepalive tcpkeepaliveinterval tcpkeepalivetime timezone
    trustservercertificate writebuffersize""".split()
)

DOTNET_SSLMODES: Final = {"verifyca": "verify-ca", "verifyfull": "verify-full"}

DOTNET_PAIR: Final = re.compile(
    r"""(?: \s* ; )* \s*                            # nothing between two semicolons
        (?P<key> (?: [^=;] | == )+ ) =            # == stands for one = inside a keyword
        \s* (?: "(?P<double> (?: [^"] | "" )* )"      # a doubled quote stands for one
              | '(?P<single> (?: [^'] | '' )* )'
              | (?P<plain> (?: [^;"'] [^;]* )? ) )
        \s* (?: ; \s* | $ )""",
    re.VERBOSE,
)

# pgjdbc's parameters (its documentation, "Connecting to the Database") for libpq's.
JDBC: Final = {
    "applicationname": "application_name", "connecttimeout": "connect_timeout",
    "sslnegotiation": "sslnegotiation", "channelbinding": "channel_binding",
    "gssencmode": "gssencmode", "requireauth": "require_auth", "currentschema": "search_path",
}  # fmt: skip

SEARCH_PATH: Final = "search_path"
"""Stands for what is no keyword of libpq's but a setting of the server's, given in `options`."""

# pgjdbc's own parameters, which mean nothing to libpq.
JDBC_ONLY: Final = frozenset(
    """adaptivefetch adaptivefetchmaximum adaptivefetchminimum allowencodingchanges
    assumeminserverversion authenticationpluginclassname autosave binarytransfer
    binarytransferdisable binarytransferenable cancelsignaltimeout cleanupsavepoints
    databasemetadatacachefields databasemetadatacachefieldsmib defaultrowfetchsize
    disablecolumnsanitiser escapesyntaxcallmode groupstartupparameters hidunprivilegedobjects
    hostrecheckseconds loadbalancehosts localsocketaddress loggerfile loggerlevel logintimeout
    logservererrordetail logunclosedconnections maxresultbuffer maxsendbuffersize preferquerymode
    preparedstatementcachequeries preparedstatementcachesizemib preparethreshold
    protocolversion quotereturningidentifiers readonly readonlymode receivebuffersize
    rewritebatchedinserts sendbuffersize socketfactory socketfactoryarg sockettimeout
    sslfactory sslfactoryarg sslhostnameverifier sslpasswordcallback stringtype
    targetservertype tcpkeepalive tcpnodelay unknownlength usespnego
    xmlfactoryfactory""".split()
)


def parse(text: str, source: str = "the connection string") -> dict[str, str]:
    """Return the libpq keywords of a connection string, whoever's it is.

    `source` names the string in the ConfigError that is raised where it has no known form.
    """
    parts = _parse(text.strip())
    if not parts:
        raise ConfigError(
            f"{source} is no connection string of libpq, JDBC or .NET, or holds a keyword that "
            "they do not know; a value with a blank, quote or backslash needs quotes in libpq's"
        )
    return parts


def _parse(text: str) -> dict[str, str] | None:
    start = text.lower()
    if start.startswith("jdbc:postgresql:"):
        return _libpq(_uri(text))
    if start.startswith(("postgresql://", "postgres://")):
        return _libpq(text)
    # A .NET string in lower case can look like one long libpq value.
    libpq = _libpq(text)
    if libpq and ";" not in libpq.get("host", ";"):
        return libpq
    return (_dotnet(text) if ";" in text else None) or libpq


def is_keyword(name: str) -> bool:
    """Tell whether the installed libpq has a connection keyword of this name."""
    return name.isidentifier() and _libpq(f"{name}=x") is not None


def _libpq(text: str) -> dict[str, str] | None:
    try:
        return parse_dsn(text)
    except (DriverError, ValueError):  # ValueError: a NUL, or what is no UTF-8
        return None  # libpq's message repeats the text around the fault, so it ends here


def _uri(jdbc: str) -> str:
    """Make a JDBC URL a libpq URI: only the parameters differ."""
    uri, _, query = jdbc.partition(":")[2].partition("?")
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    # pgjdbc decodes a query as a form does, where + is a blank; in a URI it is itself.
    kept = [
        (JDBC.get(key.lower(), key), value.replace("+", "%20"))
        for key, _, value in pairs
        if key.lower() not in JDBC_ONLY and (key, value) != ("ssl", "false")  # its default
    ]
    query = "&".join(
        f"options=-csearch_path%3D{value.replace('%20', '')}"
        if key == SEARCH_PATH
        else f"{key}={value}"
        for key, value in kept
    )
    return f"{uri}?{query}"


def _dotnet(text: str) -> dict[str, str] | None:
    parts: dict[str, str] = {}
    position = 0
    while position < len(text.rstrip("; ")):
        pair = DOTNET_PAIR.match(text, position)
        if pair is None:
            return None
        position = pair.end()
        key = re.sub(r"[\s_]", "", pair["key"].replace("==", "=")).lower()
        if key in DOTNET:
            parts[DOTNET[key]] = _dotnet_value(pair)
        elif key not in DOTNET_ONLY:
            return None
    if SEARCH_PATH in parts:
        path = parts.pop(SEARCH_PATH).replace(" ", "")
        parts["options"] = f"{parts.get('options', '')} -csearch_path={path}".lstrip()
    if "sslmode" in parts:
        mode = parts["sslmode"].lower()
        parts["sslmode"] = DOTNET_SSLMODES.get(mode, mode)
    return parts


def _dotnet_value(pair: re.Match[str]) -> str:
    if pair["double"] is not None:
        return pair["double"].replace('""', '"')
    if pair["single"] is not None:
        return pair["single"].replace("''", "'")
    return pair["plain"].strip()
