"""samples/aks_workload_identity: its manifests by Kubernetes' schema, its worker as a pod's."""

import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from images import build
from programs import SAMPLES, answer, assert_logged, running, tables, until
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from azpg_bootstrap.sandbox import Sandbox

SAMPLE = SAMPLES / "aks_workload_identity"

KUBERNETES = "1.31"
"""A version whose manifests every cluster of today understands."""


TOKEN_LIFETIME = 2.0
"""Seconds."""


def manifests() -> dict[str, dict]:
    files = (SAMPLE / "manifests").glob("*.yaml")
    found = [each for file in files for each in yaml.safe_load_all(file.read_text())]
    return {each["kind"]: each for each in found}


@pytest.mark.parametrize("kind", ["ServiceAccount", "Secret", "Deployment"])
def test_the_schema_has_nothing_against_a_manifest(kind: str) -> None:
    kubernetes_validate.validate(manifests()[kind], KUBERNETES, strict=True)


def test_the_schema_would_have() -> None:
    wrong = manifests()["Deployment"]
    wrong["spec"]["template"]["spec"]["serviceAcountName"] = "misspelt"
    with pytest.raises(kubernetes_validate.ValidationError, match="serviceAcountName"):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_the_manifests_fit_together() -> None:
    found = manifests()
    pod = found["Deployment"]["spec"]["template"]
    account = found["ServiceAccount"]["metadata"]
    assert pod["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert pod["spec"]["serviceAccountName"] == account["name"]
    (container,) = pod["spec"]["containers"]
    (source,) = container["envFrom"]
    assert source["secretRef"]["name"] == found["Secret"]["metadata"]["name"]
    selected = found["Deployment"]["spec"]["selector"]["matchLabels"]
    assert selected.items() <= pod["metadata"]["labels"].items()


def test_the_secret_has_the_variables_that_a_pod_gets(sandbox: Sandbox) -> None:
    variables = sandbox.environ("workload-identity", "none", compute="aks")
    local = {"AZURE_POSTGRESQL_SSLMODE", "AZURE_POSTGRESQL_SSLROOTCERT"}
    connector = {name for name in variables if name.startswith("AZURE_POSTGRESQL_")}
    assert manifests()["Secret"]["stringData"].keys() == connector - local


@pytest.fixture
def jobs(sandbox: Sandbox) -> Iterator[Cursor]:
    sandbox.faults(token_lifetime=TOKEN_LIFETIME)
    with tables(sandbox, "aks_workload_identity/jobs.sql", "aad_user") as cursor:
        yield cursor


def test_workers_share_the_jobs_and_outlive_their_token(
    sandbox: Sandbox, jobs: Cursor, tmp_path: Path
) -> None:
    image = build(SAMPLE, tmp_path)
    variables = sandbox.environ("workload-identity", "none", compute="aks")
    pod = image.command, image.workdir, image.surroundings(variables)
    with running(*pod) as one, running(*pod) as other:
        workers = (one, other)
        for worker in workers:
            worker.wait_for("connected as aad_user by user-assigned")
        enqueue(jobs, range(1, 40))
        time.sleep(TOKEN_LIFETIME)  # both tokens are dead by now
        jobs.execute(f"SELECT pg_terminate_backend(pid) {SESSIONS}")
        enqueue(jobs, [40])
        for worker in workers:
            worker.wait_for("connected as", times=2)
        until(lambda: answer(jobs, "SELECT count(*) FROM jobs") == 0)
        assert [worker.stop() for worker in workers] == [0, 0]
    assert_logged("aks_workload_identity", one.said() + other.said())
    done = re.findall(r"^did resize (\d+).png$", one.said() + other.said(), re.MULTILINE)
    assert sorted(map(int, done)) == list(range(1, 41))
    assert sandbox.refused_logins == 0
    assert {each["endpoint"] for each in sandbox.token_log} == {"entra"}


SESSIONS = "FROM pg_stat_activity WHERE usename = 'aad_user'"


def enqueue(jobs: Cursor, numbers: Iterable[int]) -> None:
    for number in numbers:
        jobs.execute("INSERT INTO jobs (task) VALUES (%s)", [f"resize {number}.png"])
