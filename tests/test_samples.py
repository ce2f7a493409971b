"""What every sample has in common."""

import re
import shlex

import pytest
from programs import SAMPLES

from azpg_bootstrap.cli import main

NAMES = sorted(folder.name for folder in SAMPLES.glob("[a-z]*") if folder.is_dir())

TO_READ = 300
"""Lines that are read in one sitting, all files but the README's together."""


@pytest.mark.parametrize("name", NAMES)
class TestSample:
    def test_its_readme_begins_with_the_command_and_ends_with_a_log(self, name: str) -> None:
        readme = (SAMPLES / name / "README.md").read_text()
        assert re.match(r"# .*\n\n```console\n\$ az \w+ (connection create|identity)", readme)
        assert re.search(r"```text\n[^`]+```\n$", readme)

    def test_its_sandbox_commands_are_understood(self, name: str) -> None:
        readme = (SAMPLES / name / "README.md").read_text()
        for line in re.findall(r"^\$ azpg (sandbox .*) -- ", readme, re.MULTILINE):
            with pytest.raises(SystemExit) as end:  # the help comes if nothing before it is wrong
                main([*shlex.split(line), "--help"])
            assert end.value.code == 0

    def test_it_is_read_in_one_sitting(self, name: str) -> None:
        files = [path for path in (SAMPLES / name).rglob("*.*") if path.is_file()]
        texts = [each.read_text() for each in files if each.suffix in {".py", ".sh", ".yaml"}]
        assert sum(text.count("\n") for text in texts) < TO_READ

    def test_the_projects_readme_names_it(self, name: str) -> None:
        assert f"(samples/{name}/)" in (SAMPLES.parent / "README.md").read_text()
