"""The environment variables that Service Connector and the platform would set; pure."""

import os
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from .errors import SandboxError
from .identities import PERSON, SERVICE_PRINCIPAL, TENANT_ID, USER_ASSIGNED
from .site import APP_SERVICE_PATH, Site

Auth = Literal[
    "system-assigned", "user-assigned", "workload-identity", "service-principal", "secret"
]
Method = Auth | Literal["developer"]
Client = Literal[
    "python", "django", "nodejs", "none", "go", "php", "ruby", "dotnet", "java", "springboot"
]
Compute = Literal["app-service", "functions", "container-apps", "vm", "aks"]

ROLES: dict[str, str] = {
    "system-assigned": "aad_system",
    "user-assigned": "aad_user",
    "workload-identity": "aad_user",
    "service-principal": "aad_sp",
    "secret": "app_password",
    "developer": PERSON.upn or "",
}

# Service Connector's variables by client type, without their prefix, and its order of words.
_BASE: dict[str, dict[str, str]] = {
    "python": {
        "CONNECTIONSTRING": "dbname={database} host={host} port={port} sslmode=require user={user}"
    },
    "go": {"CONNECTIONSTRING": "host={host} dbname={database} sslmode=require user={user}"},
    "php": {
        "CONNECTIONSTRING": "host={host} port={port} dbname={database} sslmode=require user={user}"
    },
    "ruby": {
        "CONNECTIONSTRING": "host={host} port={port} dbname={database} sslmode=require user={user}"
    },
    "dotnet": {
        "CONNECTIONSTRING": "Server={host};Database={database};Port={port};"
        "Ssl Mode=Require;User Id={user};"
    },
    "java": {
        "CONNECTIONSTRING": "jdbc:postgresql://{host}:{port}/{database}?sslmode=require&user={user}"
    },
    "django": {"NAME": "{database}", "HOST": "{host}", "USER": "{user}"},
    "nodejs": {
        "HOST": "{host}",
        "USER": "{user}",
        "DATABASE": "{database}",
        "PORT": "{port}",
        "SSL": "true",
    },
    "none": {
        "HOST": "{host}",
        "USERNAME": "{user}",
        "DATABASE": "{database}",
        "PORT": "{port}",
        "SSL": "true",
    },
}

# How a password is appended to a CONNECTIONSTRING; elsewhere it is a variable of its own.
_PASSWORD_PART = {
    **dict.fromkeys(("python", "go", "php", "ruby"), " password={password}"),
    "dotnet": "Password={password};",
    "java": "&password={password}",
}

# These formats have no place for a port, as Azure's is always 5432, and the sandbox's never.
_WITHOUT_PORT = ("django", "go")

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Scene:
    """Which of the many ways to be connected is to be played."""

    auth: Method
    client: Client
    compute: Compute | None
    host: str
    connection: str | None


def variables(site: Site, scene: Scene) -> dict[str, str]:
    """Return the variables a program finds in its environment in such a scene."""
    for kind, given in ((ROLES, scene.auth), (_BASE.keys() | {"springboot"}, scene.client)):
        if given not in kind:
            raise ValueError(f"{given!r} is none of: {', '.join(sorted(kind))}")
    if scene.auth == "developer":
        return _own_machine(site, scene) | _azure(site, scene)
    connected = _springboot(site, scene) if scene.client == "springboot" else _azure(site, scene)
    return connected | _platform(site, scene) | _network(site, scene)


def _azure(site: Site, scene: Scene) -> dict[str, str]:
    """Everything that begins with AZURE_POSTGRESQL_."""
    names = _base(site, scene) | _credentials(site, scene)
    if scene.client in _WITHOUT_PORT:
        names["PORT"] = str(site.port)
    if scene.host in _LOOPBACK:
        # Without Azure's host name nothing tells that only this much is safe.
        names["SSLMODE"] = "verify-full"
    else:
        names["HOSTADDR"] = "127.0.0.1"
    names["SSLROOTCERT"] = site.ca_file
    infix = f"{scene.connection.upper()}_" if scene.connection else ""
    return {f"AZURE_POSTGRESQL_{infix}{name}": value for name, value in names.items()}


def _base(site: Site, scene: Scene) -> dict[str, str]:
    """Service Connector's own, whose bytes are those of the real ones."""
    templates = dict(_BASE[scene.client])
    if scene.auth == "secret":
        if scene.client in _PASSWORD_PART:
            templates["CONNECTIONSTRING"] += _PASSWORD_PART[scene.client]
        else:
            templates |= {"PASSWORD": "{password}"}
    words = {
        "host": scene.host,
        "port": site.port,
        "database": site.database,
        "user": ROLES[scene.auth],
        "password": site.password,
    }
    return {name: template.format(**words) for name, template in templates.items()}


def _credentials(site: Site, scene: Scene) -> dict[str, str]:
    """The ids from which a program knows what kind of identity it has."""
    if scene.auth in ("user-assigned", "workload-identity"):
        return {"CLIENTID": USER_ASSIGNED.client_id}
    if scene.auth == "service-principal":
        return {
            "CLIENTID": SERVICE_PRINCIPAL.client_id,
            "CLIENTSECRET": site.client_secret,
            "TENANTID": TENANT_ID,
        }
    return {}


def _springboot(site: Site, scene: Scene) -> dict[str, str]:
    """Spring's own names, which have no infix for further connections and no place for TLS."""
    local = scene.host in _LOOPBACK
    tls = "sslmode=verify-full" if local else "sslmode=require&hostaddr=127.0.0.1"
    url = f"jdbc:postgresql://{scene.host}:{site.port}/{site.database}"
    source = {
        "url": f"{url}?{tls}&sslrootcert={quote(site.ca_file)}",
        "username": ROLES[scene.auth],
    }
    credential: dict[str, str] = {}
    if scene.auth == "secret":
        source["password"] = site.password
    else:
        source["azure.passwordless-enabled"] = "true"
        credential = _spring_credential(site, scene)
    return {f"spring.datasource.{name}": value for name, value in source.items()} | {
        f"spring.cloud.azure.credential.{name}": value for name, value in credential.items()
    }


def _spring_credential(site: Site, scene: Scene) -> dict[str, str]:
    spelling = {"CLIENTID": "client-id", "CLIENTSECRET": "client-secret", "TENANTID": "tenant-id"}
    credential = {spelling[name]: value for name, value in _credentials(site, scene).items()}
    if scene.auth in ("user-assigned", "workload-identity"):
        credential["client-managed-identity-enabled"] = "true"
    return credential


def _platform(site: Site, scene: Scene) -> dict[str, str]:
    """What the host sets for every program on it, and the way to its identities."""
    compute = scene.compute or ("aks" if scene.auth == "workload-identity" else "app-service")
    managed = scene.auth in ("system-assigned", "user-assigned", "workload-identity")
    if not managed:
        return _MARKERS[scene.compute] if scene.compute else {}
    if compute == "aks" and scene.auth != "system-assigned":
        return _workload_identity(site)
    if compute in ("vm", "aks"):
        return {"AZURE_POD_IDENTITY_AUTHORITY_HOST": _identity_url(site)}
    endpoint = _identity_url(site) + APP_SERVICE_PATH
    return {
        **_MARKERS[compute],
        "IDENTITY_ENDPOINT": endpoint,
        "IDENTITY_HEADER": site.identity_header,
    }


def _own_machine(site: Site, scene: Scene) -> dict[str, str]:
    """What a person sets beside Service Connector's, to be found by name and not by guessing."""
    if scene.client == "springboot":
        raise SandboxError("Spring Boot's variables have no place for auth method developer.")
    infix = f"{scene.connection.upper()}_" if scene.connection else ""
    path = os.pathsep.join((site.azure_cli_folder, os.environ.get("PATH", os.defpath)))
    return {f"AZURE_POSTGRESQL_{infix}AUTH": "developer", "PATH": path}


_MARKERS: dict[str, dict[str, str]] = {
    "app-service": {"WEBSITE_SITE_NAME": "azpg-demo"},
    "functions": {"WEBSITE_SITE_NAME": "azpg-demo", "FUNCTIONS_WORKER_RUNTIME": "python"},
    "container-apps": {"CONTAINER_APP_NAME": "azpg-demo"},
    "vm": {},
    "aks": {},
}


def _identity_url(site: Site) -> str:
    return f"http://127.0.0.1:{site.identity_port}"


def _workload_identity(site: Site) -> dict[str, str]:
    """What the cluster's webhook puts into a pod."""
    return {
        "AZURE_CLIENT_ID": USER_ASSIGNED.client_id,
        "AZURE_TENANT_ID": TENANT_ID,
        "AZURE_FEDERATED_TOKEN_FILE": site.federated_token_file,
        "AZURE_AUTHORITY_HOST": _authority_url(site),
    }


def _authority_url(site: Site) -> str:
    return f"https://localhost:{site.authority_port}/"


def _network(site: Site, scene: Scene) -> dict[str, str]:
    """What it takes to reach and to trust something on loopback."""
    names = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
    if scene.auth == "service-principal":
        names["AZURE_AUTHORITY_HOST"] = _authority_url(site)
    if scene.auth == "service-principal" or "AZURE_AUTHORITY_HOST" in _platform(site, scene):
        # The certificate's authority is unknown to requests; the file has the usual ones as well.
        names["REQUESTS_CA_BUNDLE"] = site.ca_bundle
    return names
