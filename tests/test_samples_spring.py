"""samples/spring_sibling, given what Service Connector sets for a Spring Boot app."""

from pathlib import Path

import pytest
from programs import administrator, assert_logged, running, sample, surroundings

from azpg_bootstrap.sandbox import Sandbox
from azpg_bootstrap.sandbox.variables import Auth


@pytest.mark.parametrize(
    ("auth", "role"),
    [
        ("user-assigned", "aad_user"),
        ("secret", "app_password"),
    ],
)
def test_it_reads_the_apps_properties(
    sandbox: Sandbox, tmp_path: Path, auth: Auth, role: str
) -> None:
    code = sample("spring_sibling", tmp_path)
    environ = surroundings(sandbox.environ(auth, "springboot"))
    with administrator(sandbox) as cursor:
        cursor.execute("CREATE TABLE orders (id int); GRANT SELECT ON orders TO PUBLIC")
        try:
            with running(["python", "count.py"], code, environ) as job:
                said = job.ended()
        finally:
            cursor.execute("DROP TABLE orders")
    assert said == f"{auth}: {role} counts 0 orders\n"
    if auth == "user-assigned":
        assert_logged("spring_sibling", said)
