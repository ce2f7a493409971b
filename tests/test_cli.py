import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import AZPG, azpg, in_a_shell

from azpg_bootstrap.cli import main
from azpg_bootstrap.commands import demo, env
from azpg_bootstrap.commands.exits import Exit
from azpg_bootstrap.sandbox import Sandbox


def test_demo_shows_each_method_both_ways() -> None:
    lines = azpg("demo").stdout.splitlines()
    assert lines[0].split()[:2] == ["AUTH", "METHOD"]
    assert len(lines) == 1 + len(demo.METHODS) * len(demo.PROGRAMS)
    assert all("TLS" in line and "verify-full" in line for line in lines[1:])
    assert sum("good for 24 h" in line for line in lines) == 4
    assert sum("none: a password" in line for line in lines) == 2


def test_sandbox_runs_a_program_inside() -> None:
    program = "import azpg_bootstrap as azpg; print(azpg.connect().info.user); raise SystemExit(7)"
    scene = ["--auth", "user-assigned", "--client", "dotnet"]
    done = azpg("sandbox", *scene, "--", sys.executable, "-c", program, code=7)
    assert done.stdout == "aad_user\n"


def test_sandbox_hides_what_is_real() -> None:
    done = azpg(
        "sandbox", "--auth", "secret", "--", "env",
        AZURE_CLIENT_SECRET="hunter2", PGHOST="hunter2", azure_postgresql_user="hunter2",
    )  # fmt: skip
    assert "hunter2" not in done.stdout
    assert "AZURE_POSTGRESQL_CONNECTIONSTRING=" in done.stdout


def test_sandbox_rehearses_the_death_of_a_token() -> None:
    program = """
import time, azpg_bootstrap as azpg
database = azpg.Database.from_env()
first = database.password()
time.sleep(2.2)
assert database.password() != first
database.connect().close()
"""
    azpg("sandbox", "--token-lifetime", "2", "--", sys.executable, "-c", program)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ([], 2, "the following arguments are required: COMMAND"),
        (["frobnicate"], 2, "invalid choice"),
        (["sandbox"], 2, "the following arguments are required: COMMAND"),
        (["sandbox", "--token-lifetime", "x", "--", "true"], 2, "invalid float value"),
        (["sandbox", "--auth", "x", "--", "true"], 2, "invalid choice: 'x'"),
        (["sandbox", "--", "no-such-program"], 127, "no-such-program: No such file or directory"),
        (["sandbox", "--", "/etc/passwd"], 126, "/etc/passwd: Permission denied"),
        (["sandbox", "--", "sh", "-c", "kill -9 $$"], 137, ""),
        (["grants", "--json"], 2, "--json is for --check"),
    ],
)
def test_bad_input(arguments: list[str], code: int, sentence: str) -> None:
    assert sentence in azpg(*arguments, code=code).stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sandbox_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    ready = tmp_path / "ready"
    script = f"echo $AZURE_POSTGRESQL_SSLROOTCERT >{ready}; exec sleep 60"
    process = subprocess.Popen([*AZPG, "sandbox", "--", "sh", "-c", script], start_new_session=True)
    while not (ready.exists() and ready.read_text()):
        assert process.poll() is None
        time.sleep(0.02)
    folder = Path(ready.read_text().strip()).parent
    assert folder.is_dir()
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does it
    else:
        process.send_signal(number)
    assert process.wait(20) == 128 + number
    assert not folder.exists()


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_streams_change_no_exit_code(sandbox: Sandbox, closed: str) -> None:
    environ = sandbox.environ("secret", "django")
    in_a_shell(f"wait {closed}", Exit.DONE, **environ)
    in_a_shell(f"check {closed}", Exit.DONE, **environ)
    environ["AZURE_POSTGRESQL_USER"] = "nobody"
    in_a_shell(f"wait {closed}", Exit.SERVER, **environ)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_an_error_that_nobody_can_be_told_has_its_exit_code(sandbox: Sandbox) -> None:
    environ = sandbox.environ("secret", "django") | {"AZURE_POSTGRESQL_USER": "nobody"}
    in_a_shell("wait 2>/dev/full", Exit.SERVER, **environ)


def test_an_encoding_without_the_word(sandbox: Sandbox) -> None:
    """A report does without it; SQL has to be exact."""
    environ = sandbox.environ(client="django")
    environ |= {"AZURE_POSTGRESQL_USER": "Zoë", "PYTHONIOENCODING": "ascii"}
    assert '"Zo\\xeb"' in in_a_shell("check", Exit.SERVER, **environ).stdout
    said = in_a_shell("role", Exit.FAILED, **environ).stderr
    assert said == "azpg: cannot write this in ascii: set PYTHONIOENCODING=utf-8\n"


@pytest.mark.parametrize(
    ("login", "sentence"),
    [
        ("not-logged-in", "AzureCliCredential: Please run 'az login'"),
        ("login-expired", "AzureCliCredential: ERROR: AADSTS700082"),
    ],
)
def test_a_developers_login_is_told_in_one_sentence(
    sandbox: Sandbox, login: str, sentence: str
) -> None:
    environ = sandbox.environ("developer")
    sandbox.faults(login=login)
    said = azpg("token", code=Exit.TOKEN, **environ).stderr
    assert said.startswith(
        f"azpg: no token from Azure CLI or Azure Developer CLI for developer: {sentence}"
    )
    assert said.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_said_once() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*AZPG, "env"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "azpg: cannot write the output: No space left on device\n"


def test_ctrl_c_is_no_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        string = f"host=127.0.0.1 port={port} dbname=d user=u password=p"
        process = subprocess.Popen(
            [*AZPG, "wait"],
            env={**os.environ, "AZURE_POSTGRESQL_CONNECTIONSTRING": string},
            stderr=subprocess.PIPE,
            text=True,
        )
        with silent.accept()[0]:  # it waits for an answer
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT  # which a shell calls 130
    assert said == ""


@pytest.mark.parametrize("command", ["check", "wait", "token", "psql", "grants", "role"])
def test_no_variables_at_all(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command]) == Exit.CONFIG
    out, err = capsys.readouterr()
    assert "no AZURE_POSTGRESQL_* variable is set" in (out if command == "check" else err)
    assert (out == "") == (command != "check")


def test_debug_shows_the_traceback_without_the_secrets(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in sandbox.environ("service-principal").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AZURE_POSTGRESQL_USER", "nobody")
    assert main(["grants", "--debug"]) == Exit.SERVER
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "azpg_bootstrap.auth INFO tokens come from Entra" in said
    assert os.environ["AZURE_POSTGRESQL_CLIENTSECRET"] not in said
    assert "eyJ" not in said
    assert main(["grants"]) == Exit.SERVER
    said = capsys.readouterr().err
    assert said.startswith('azpg: connection to server at "localhost"')
    assert "pgaadauth_create_principal_with_oid" in said


def test_what_nobody_thought_of_is_a_sentence_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_POSTGRESQL_HOST", "h")
    monkeypatch.setattr(env, "listing", lambda *_: 1 / 0)
    assert main(["env"]) == Exit.FAILED
    said = capsys.readouterr().err
    assert said == "azpg: unexpected ZeroDivisionError; the same with --debug tells more\n"


def test_a_reader_that_has_gone_is_no_error() -> None:
    process = subprocess.Popen(
        [*AZPG, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(60) == 141


def test_help_is_in_the_open(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "sandbox" in capsys.readouterr().out
