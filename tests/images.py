"""Dockerfiles, followed without a container engine: their instructions in order, in clean folders.

What an engine would do besides is not tried: the base image, its Python, its users and layers.
"""

import json
import os
import shutil
import site
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from programs import surroundings


@dataclass
class Image:
    """What an engine would start, as far as the Dockerfile has been followed."""

    root: Path
    workdir: Path
    command: list[str] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)
    user: str = "0"

    @property
    def python(self) -> Path:
        return self.root / "venv" / "bin" / "python"

    def surroundings(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a container, which knows nothing of the tests' own."""
        environ = surroundings(self.environ | dict(variables), str(self.python))
        del environ["PYTHONPATH"]
        return environ


def build(context: Path, root: Path) -> Image:
    """Follow the Dockerfile of a folder; fails at an instruction that fails or is not known."""
    image = Image(root, root)
    for line in (context / "Dockerfile").read_text().splitlines():
        if line and not line.startswith("#"):
            keyword, _, rest = line.partition(" ")
            INSTRUCTIONS[keyword](image, context, rest)
    return image


def _from(image: Image, _context: Path, name: str) -> None:
    """Make an environment that has what the tests' own has, so that pip needs no network."""
    assert name.startswith("python:3.")
    venv = [sys.executable, "-m", "venv", "--without-pip", str(image.root / "venv")]
    subprocess.run(venv, check=True)
    (packages,) = (image.root / "venv" / "lib").glob("python*/site-packages")
    lines = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()]
    (packages / "tests.pth").write_text("\n".join(lines))


def _workdir(image: Image, _context: Path, path: str) -> None:
    image.workdir = image.root / path.lstrip("/")
    image.workdir.mkdir()


def _copy(image: Image, context: Path, words: str) -> None:
    source, target = words.split()
    ignored = (context / ".dockerignore").read_text().split()
    assert f"!{source}" in ignored
    shutil.copy(context / source, image.workdir / target)


def _run(image: Image, _context: Path, command: str) -> None:
    path = os.pathsep.join([str(image.python.parent), os.environ["PATH"]])
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=image.workdir,
        env={"PATH": path, "HOME": str(image.root), "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "from versions: none" in done.stderr:
        pytest.skip(f"not installed beside the tests: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


def _env(image: Image, _context: Path, pairs: str) -> None:
    image.environ |= dict(pair.split("=") for pair in pairs.split())


def _user(image: Image, _context: Path, name: str) -> None:
    image.user = name


def _cmd(image: Image, _context: Path, words: str) -> None:
    image.command = json.loads(words)


INSTRUCTIONS = {
    "FROM": _from,
    "WORKDIR": _workdir,
    "COPY": _copy,
    "RUN": _run,
    "ENV": _env,
    "EXPOSE": lambda *_: None,
    "USER": _user,
    "CMD": _cmd,
}
