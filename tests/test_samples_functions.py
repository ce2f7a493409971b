"""samples/functions_http, in process and in a worker that is driven as Azure's host does."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import administrator, answer, assert_logged, running, sample, surroundings, tables

from azpg_bootstrap.sandbox import Sandbox

TOKEN_LIFETIME = 3.0
"""Seconds."""

IN_PROCESS = """
import logging, sys
import azure.functions as func
import function_app

functions = {each.get_function_name(): each.get_user_function()
             for each in function_app.app.get_functions()}
request = func.HttpRequest(method="POST", url="/api/visits", body=b"")
for _ in range(2):
    print(functions["visit"](request).get_body().decode())
logging.basicConfig(format="%(message)s", level="INFO", stream=sys.stdout)
functions["forget"](func.timer.TimerRequest(past_due=False))
"""

EARLY = "import azpg_bootstrap\nazpg_bootstrap.Database, azpg_bootstrap.connect\n"
"""A worker's sitecustomize.py: the library is imported before there is anything for it to read."""


@pytest.fixture
def short_lived(sandbox: Sandbox) -> Iterator[Sandbox]:
    sandbox.faults(token_lifetime=TOKEN_LIFETIME)
    with tables(sandbox, "functions_http/visits.sql", "aad_system"):
        yield sandbox


def variables(sandbox: Sandbox) -> dict[str, str]:
    return surroundings(sandbox.environ("system-assigned", "python", compute="functions"))


def test_in_process(short_lived: Sandbox, tmp_path: Path) -> None:
    code = sample("functions_http", tmp_path)
    with running(["python", "-c", IN_PROCESS], code, variables(short_lived)) as program:
        first, second, last = program.ended().splitlines()
    assert "visits, says aad_system by connection" in first
    assert last == "on time forgot 0 visits"
    assert_logged("functions_http", program.said())
    assert backend(first) == backend(second)


def backend(answer: str) -> int:
    """Return the server process of the connection that gave the answer."""
    return int(answer.rsplit(maxsplit=1)[-1])


class TestWorker:
    """Microsoft's runtime for Python, over gRPC."""

    @pytest.fixture(autouse=True)
    def runtime(self) -> None:
        reason = "azure-functions-runtime is for Python 3.13 and newer"
        pytest.importorskip("azure_functions_runtime", reason=reason)
        pytest.importorskip("grpc_tools", reason=reason)

    def test_a_warm_instance(self, short_lived: Sandbox, tmp_path: Path) -> None:
        from functions_host import worker

        code = sample("functions_http", tmp_path)
        with worker(tmp_path, variables(short_lived)) as host:
            host.initialize(code)
            assert host.load(code) == {"visit", "forget"}
            assert "visits, says aad_system" in host.http("visit", "POST")
            host.timer("forget")

    def test_a_placeholder_gets_its_environment_later(
        self, short_lived: Sandbox, tmp_path: Path
    ) -> None:
        from functions_host import worker

        code = sample("functions_http", tmp_path)
        nothing = tmp_path / "placeholder"
        nothing.mkdir()
        (nothing / "sitecustomize.py").write_text(EARLY)
        bare = surroundings({})
        bare["PYTHONPATH"] = os.pathsep.join([str(nothing), bare["PYTHONPATH"]])
        with worker(nothing, bare) as host:
            host.initialize(nothing)
            host.specialize(code, variables(short_lived))
            host.load(code)
            assert "visits, says aad_system" in host.http("visit")

    def test_frozen_and_thawed(self, short_lived: Sandbox, tmp_path: Path) -> None:
        """While it is frozen, its token runs out and the server hangs up on it."""
        from functions_host import worker

        code = sample("functions_http", tmp_path)
        with worker(tmp_path, variables(short_lived)) as host:
            host.initialize(code)
            host.load(code)
            before = backend(host.http("visit"))
            assert backend(host.http("visit")) == before
            os.kill(host.program.process.pid, signal.SIGSTOP)
            terminate(short_lived, before)
            time.sleep(TOKEN_LIFETIME)  # a frozen process can be handed no other clock
            os.kill(host.program.process.pid, signal.SIGCONT)
            assert backend(host.http("visit")) != before
            assert short_lived.refused_logins == 0


def terminate(sandbox: Sandbox, pid: int) -> None:
    with administrator(sandbox) as cursor:
        # It waits for as many milliseconds until the process has gone.
        assert answer(cursor, "SELECT pg_terminate_backend(%s, 10000)", pid)
