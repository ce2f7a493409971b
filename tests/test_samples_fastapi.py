"""samples/container_apps_fastapi, built by its Dockerfile and started as its image would be."""

import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import httpx
import pytest
import yaml
from images import Image, build
from programs import (
    SAMPLES,
    Program,
    administrator,
    answer,
    assert_logged,
    running,
    until,
)

from azpg_bootstrap.sandbox import Sandbox

SAMPLE = SAMPLES / "container_apps_fastapi"

TOKEN_LIFETIME = 2.0
"""Seconds."""

SESSIONS = "FROM pg_stat_activity WHERE usename = 'aad_user'"


class Replica(NamedTuple):
    program: Program
    client: httpx.Client


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build(SAMPLE, tmp_path_factory.mktemp("image"))


@pytest.fixture
def replica(image: Image, sandbox: Sandbox) -> Iterator[Replica]:
    sandbox.faults(token_lifetime=TOKEN_LIFETIME)
    with started(image, sandbox) as replica:
        yield replica
    with administrator(sandbox) as cursor:
        cursor.execute("DROP TABLE tasks")


@contextmanager
def started(image: Image, sandbox: Sandbox) -> Iterator[Replica]:
    variables = sandbox.environ("user-assigned", "python", compute="container-apps")
    # As `docker run --env` would: a free port, where nobody else can reach it.
    local = {"UVICORN_HOST": "127.0.0.1", "UVICORN_PORT": "0"}
    with running(image.command, image.workdir, image.surroundings(local | variables)) as program:
        at = program.wait_for(r"Uvicorn running on (http://\S+)")[1]
        with httpx.Client(base_url=at, timeout=30) as client:
            yield Replica(program, client)


def test_the_image_runs_as_somebody_who_is_not_root(image: Image) -> None:
    assert image.user not in ("0", "root")


def test_the_probes_ask_where_the_app_answers(image: Image, replica: Replica) -> None:
    app = yaml.safe_load((SAMPLE / "app.yaml").read_text())["properties"]["template"]
    (container,) = app["containers"]
    assert {probe["type"] for probe in container["probes"]} == {"Startup", "Liveness", "Readiness"}
    for probe in container["probes"]:
        assert str(probe["httpGet"]["port"]) == image.environ["UVICORN_PORT"]
        replica.client.get(probe["httpGet"]["path"]).raise_for_status()
    grace = int(image.environ["UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN"])
    assert grace < app["terminationGracePeriodSeconds"]


def test_tasks_before_and_after_the_first_token_has_died(
    replica: Replica, sandbox: Sandbox
) -> None:
    assert replica.client.get("ready").json() == "aad_user"
    assert replica.client.post("tasks", json={"title": "before"}).status_code == 201
    time.sleep(TOKEN_LIFETIME)  # another process's clock cannot be set
    with administrator(sandbox) as cursor:
        cursor.execute(f"SELECT pg_terminate_backend(pid, 10000) {SESSIONS}")
    assert replica.client.post("tasks", json={"title": "after"}).status_code == 201
    titles = [task["title"] for task in replica.client.get("tasks").json()]
    assert titles == ["before", "after"]
    assert sandbox.refused_logins == 0
    assert sandbox.token_requests >= 2
    replica.program.stop()
    assert_logged("container_apps_fastapi", replica.program.said())


def test_without_a_database_it_lives_and_is_not_ready(replica: Replica, sandbox: Sandbox) -> None:
    with administrator(sandbox) as cursor:
        cursor.execute("ALTER ROLE aad_user NOLOGIN")
        cursor.execute(f"SELECT pg_terminate_backend(pid, 10000) {SESSIONS}")
        try:
            assert replica.client.get("live").status_code == 200
            assert replica.client.get("ready").status_code == 503
        finally:
            cursor.execute("ALTER ROLE aad_user LOGIN")
    assert replica.client.get("ready").status_code == 200


def test_a_stop_loses_no_request(replica: Replica, sandbox: Sandbox) -> None:
    """One waits for a lock when the replica is told to stop, and is answered none the less."""
    with administrator(sandbox) as cursor, ThreadPoolExecutor() as threads:
        cursor.execute("BEGIN; LOCK TABLE tasks")
        request = threads.submit(replica.client.post, "tasks", json={"title": "in flight"})
        until(lambda: answer(cursor, "SELECT count(*) FROM pg_locks WHERE NOT granted") == 1)
        replica.program.process.send_signal(signal.SIGTERM)
        until(lambda: not listens(replica.client.base_url))
        assert not request.done()
        cursor.execute("COMMIT")
        assert request.result().status_code == 201
        # uvicorn ends as the signal would have had it, but in its own time.
        assert replica.program.process.wait(60) == -signal.SIGTERM
        assert "Application shutdown complete" in replica.program.said()
        assert answer(cursor, "SELECT count(*) FROM tasks WHERE title = 'in flight'") == 1


def listens(url: httpx.URL) -> bool:
    with socket.socket() as client:
        return client.connect_ex((url.host, url.port)) == 0
