"""What the README says is true: its code runs, its tables and commands are the code's."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from azpg_bootstrap.cli import COMMANDS, main
from azpg_bootstrap.commands.exits import Exit
from azpg_bootstrap.methods import AuthMethod
from azpg_bootstrap.sandbox import Sandbox
from azpg_bootstrap.variables import PREFIX, VARIABLES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    return [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]


def test_code_comes_before_line_30() -> None:
    assert README[: README.index("```python")].count("\n") < 30


@pytest.mark.parametrize("code", blocks("python"))
def test_code_runs(sandbox: Sandbox, code: str) -> None:
    environ = sandbox.environ() | sandbox.environ("secret", connection="reporting")
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        timeout=60,
    )


def test_variables_are_the_codes() -> None:
    rows = re.findall(r"^\| `AZURE_POSTGRESQL_(\w+)` \| (.+) \|$", README, re.MULTILINE)
    assert dict(rows) == VARIABLES
    assert PREFIX == "AZURE_POSTGRESQL_"


def test_every_auth_method_is_explained() -> None:
    table = README[README.index("## How auth is chosen") :]
    assert all(f"`{method}`" in table for method in AuthMethod)


def test_commands_of_make_are_the_makefiles() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = {line.split()[1] for line in commands() if line.startswith("make ")}
    assert {"demo", "test"} <= named
    assert all(f"\n{target}:" in makefile for target in named)


def test_commands_without_make_are_those_with() -> None:
    makefile = (ROOT / "Makefile").read_text()
    spelled = makefile.replace("$(VENV)", ".venv").replace("$(PYTHON)", "python3")
    spelled = spelled.replace("$(WORKERS)", "2").replace(" --quiet", "").replace("'", '"')
    for line in commands():
        if ".venv" in line:
            assert f"\t{line}\n" in spelled


def test_commands_of_azpg_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(r"^ {4}(\w+) ", capsys.readouterr().out, re.MULTILINE)
    assert listed
    assert all(f"azpg {command}" in README for command in listed)
    for line in commands():
        if line.startswith("azpg "):
            assert line.split()[1] in listed


def test_commands_and_exit_codes_are_the_codes() -> None:
    rows = re.findall(r"^\| `azpg (\w+)` \| (.+) \|$", README, re.MULTILINE)
    assert dict(rows) == {name: command.summary for name, command in COMMANDS.items()}
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", README, re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == {
        int(code): code.meaning for code in Exit
    }


def test_the_recorded_session_is_what_check_prints(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host = "azpg.postgres.database.azure.com"
    for name, value in sandbox.environ("user-assigned", "django", host=host).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AZURE_POSTGRESQL_USER", "aad_shop")
    assert main(["check"]) == Exit.SERVER
    (recorded,) = (block for block in blocks("text") if block.startswith("$ azpg check\n"))
    assert unnumbered(recorded.partition("\n")[2]) == unnumbered(capsys.readouterr().out)


def unnumbered(report: str) -> str:
    """Leave out what differs from run to run: ports, times, and line ends that follow from them."""
    words = re.sub(r"127\.0\.0\.1:\d+|port \d+|[\d.]+ m?s\b|\d+ h \d+ min", "N", report)
    return " ".join(words.split())


def test_the_ci_runs_the_readmes_command() -> None:
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text()
