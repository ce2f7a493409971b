"""The owner's side of a sandbox: start it, ask it, end it."""

import os
import shutil
import threading
import weakref
from pathlib import Path
from typing import Any, Self, Unpack

from .errors import SandboxError
from .faults import Faults, TokenRequest
from .identities import AUDIENCES, Kind, identity_named
from .process import SupervisorProcess
from .site import Site
from .variables import Client, Compute, Method, Scene, variables

# Seconds. Managed identities' tokens live for a day.
_DAY = 86400.0

_NOT_OURS = "The sandbox does not run, or was started by another process."


class Sandbox:
    """A throw-away PostgreSQL behind what Azure puts before one, and the identities to open it.

    It ends with `close`, or with the process that started it, however that ends. A process forked
    from that one can use what `environ` returned, but can neither ask nor end the sandbox.
    """

    host = "localhost"

    def __init__(
        self,
        token_lifetime: float = _DAY,
        token_latency: float = 0.0,
        bindir: str | os.PathLike[str] | None = None,
    ) -> None:
        self._options = {
            "token_lifetime": token_lifetime,
            "token_latency": token_latency,
            "bindir": None if bindir is None else os.fspath(bindir),
        }
        self._lock = threading.RLock()
        self._supervisor: SupervisorProcess | None = None
        self._site: Site | None = None

    def __repr__(self) -> str:
        return f"<Sandbox port={self._site.port}>" if self._site else "<Sandbox, not running>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start everything; returns when it can be used."""
        with self._lock:
            if self._supervisor is not None:
                raise SandboxError("The sandbox is running already.")
            self._supervisor = SupervisorProcess(self._options)
            _started.add(self)
            greeting = self._exchange(None)
            if "error" in greeting:
                self.close()
                raise SandboxError(greeting["error"])
            self._site = Site(**greeting["ready"])

    def close(self) -> None:
        """Stop everything and remove every trace; closing twice does no harm."""
        with self._lock:
            supervisor, site = self._supervisor, self._site
            self._supervisor = self._site = None
            if supervisor is not None:
                supervisor.end()
            if site is not None:
                # Nothing is left to remove unless somebody has killed the supervisor.
                shutil.rmtree(Path(site.ca_file).parent, ignore_errors=True)

    @property
    def port(self) -> int:
        """The gateway's port."""
        return self._running.port

    @property
    def database(self) -> str:
        """The name of the database the usual roles may use."""
        return self._running.database

    @property
    def ca_file(self) -> str:
        """The PEM file of the authority that signed the gateway's certificate."""
        return self._running.ca_file

    @property
    def superuser_dsn(self) -> dict[str, Any]:
        """libpq parameters past the gateway: the superuser, by a socket only we may use."""
        return dict(self._running.superuser_dsn)

    @property
    def token_requests(self) -> int:
        """How many requests reached a token endpoint since the start or the last `reset`."""
        return len(self.token_log)

    @property
    def token_log(self) -> list[TokenRequest]:
        """The requests that reached a token endpoint since the start or the last `reset`."""
        log: list[TokenRequest] = self._ask("counters")["token_requests"]
        return log

    @property
    def refused_logins(self) -> int:
        """How many logins the gateway refused since the start or the last `reset`."""
        count: int = self._ask("counters")["refused_logins"]
        return count

    def environ(
        self,
        auth: Method = "system-assigned",
        client: Client = "python",
        *,
        compute: Compute | None = None,
        host: str = "localhost",
        connection: str | None = None,
    ) -> dict[str, str]:
        """Return the variables that Service Connector and the platform would set.

        `auth` may also be "developer": a person's own machine, whose PATH has an `az` that is
        logged in as the person.
        `host` may be a name such as azpg.postgres.database.azure.com, which the certificate covers;
        `connection` is the name of a further Service Connector connection.
        """
        return variables(self._running, Scene(auth, client, compute, host, connection))

    def faults(self, **changes: Unpack[Faults]) -> None:
        """Make something go wrong, beside what goes wrong already, until `reset`."""
        unknown = changes.keys() - Faults.__annotations__.keys()
        if unknown:
            raise TypeError(f"no such fault: {', '.join(sorted(unknown))}")
        self._ask("faults", changes)

    def reset(self) -> None:
        """Undo all faults and count from zero; tokens once revoked stay so."""
        self._ask("reset")

    def revoke_tokens(self) -> None:
        """Let the server refuse every token issued so far, as if the tenant's keys were rotated."""
        self._ask("revoke_tokens")

    def issue_token(
        self,
        identity: str = "system-assigned",
        *,
        lifetime: float | None = None,
        audience: str = AUDIENCES[0],
        claims: dict[str, Any] | None = None,
    ) -> str:
        """Return a signed access token; it is not counted as a request.

        `identity` is system-assigned, user-assigned, service-principal, person or administrator;
        `lifetime`, in seconds, may be negative; `claims` replace the usual ones, None removes one.
        """
        name = identity_named(identity).name
        token: str = self._ask("issue_token", name, audience, lifetime, claims or {})
        return token

    def create_role(
        self,
        name: str,
        *,
        identity: str = "system-assigned",
        object_id: str | None = None,
        kind: Kind = "service",
    ) -> None:
        """Make a role for tokens with the usual grants; `kind` is service, user or group."""
        self._ask("create_role", name, object_id or identity_named(identity).object_id, kind)

    def create_table(self, name: str, *, owner: str) -> None:
        """Make a table with a sequence in schema public for a role, which is made as well."""
        self._ask("create_table", name, owner)

    @property
    def _running(self) -> Site:
        if self._site is None:
            raise SandboxError(_NOT_OURS)
        return self._site

    def _ask(self, call: str, *arguments: object) -> Any:
        with self._lock:
            answer = self._exchange({"call": call, "arguments": arguments})
        if "error" in answer:
            raise SandboxError(answer["error"])
        return answer["answer"]

    def _exchange(self, command: dict[str, object] | None) -> dict[str, Any]:
        if self._supervisor is None:
            raise SandboxError(_NOT_OURS)
        try:
            return self._supervisor.exchange(command)
        except BaseException:
            self.close()  # as a late answer would be taken for the next command's
            raise

    def _forget(self) -> None:
        """Let go of a sandbox that the parent of this process has started."""
        if self._supervisor is not None:
            self._supervisor.abandon()
        self._supervisor = self._site = None
        self._lock = threading.RLock()  # some other thread of the parent may hold the old one


_started: "weakref.WeakSet[Sandbox]" = weakref.WeakSet()


def _forget_all() -> None:
    for sandbox in list(_started):
        sandbox._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
