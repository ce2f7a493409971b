"""Django is run the way its users run it: as programs of their own, with a project of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

# Django takes psycopg 3 where it is installed, and psycopg2 where it cannot be imported.
SETTINGS = """
import os, sys
if os.environ.get("WITHOUT_PSYCOPG"):
    sys.modules["psycopg"] = None
SECRET_KEY = "of no use to anybody"
DATABASES = {"default": {"ENGINE": "django_backend"}}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "shop"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "shop.views"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
"""

MODELS = """
from django.db import models

class Item(models.Model):
    name = models.CharField(max_length=20)
"""

VIEWS = """
from django.db import connection
from django.http import JsonResponse
from django.urls import path

def pid(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return JsonResponse({"pid": cursor.fetchone()[0]})

async def count(request):
    from shop.models import Item
    await Item.objects.acreate(name=request.GET["name"])
    return JsonResponse({"count": await Item.objects.acount()})

urlpatterns = [path("pid", pid), path("count", count)]
"""

TESTS = """
from django.test import TestCase, TransactionTestCase
from shop.models import Item

class One(TestCase):
    def test_it(self):
        Item.objects.create(name="one")

class Two(TransactionTestCase):
    def test_it(self):
        assert Item.objects.count() == 0
"""

PSYCOPG2 = {"WITHOUT_PSYCOPG": "1"}


def make_project(folder: Path) -> Path:
    shop = folder / "shop"
    shop.mkdir()
    (folder / "settings.py").write_text(SETTINGS)
    (shop / "__init__.py").touch()
    (shop / "models.py").write_text(MODELS)
    (shop / "views.py").write_text(VIEWS)
    (shop / "tests.py").write_text(TESTS)
    return folder


def configure(project: Path, databases: object) -> None:
    with (project / "settings.py").open("a") as settings:
        settings.write(f"\nDATABASES = {databases}\n")


def start(project: Path, environ: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Run Python in the project with that environment and no other."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    path = os.pathsep.join([str(project), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-W", "error", *arguments],
        env={**kept, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "settings", **environ},
        cwd=project,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    """Wait for the end; return what was said."""
    try:
        said, _ = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode == code, said
    return said


def run(project: Path, environ: dict[str, str], *arguments: str, code: int = 0) -> str:
    return finish(start(project, environ, *arguments), code)


def manage(project: Path, environ: dict[str, str], *arguments: str, code: int = 0) -> str:
    return run(project, environ, "-m", "django", *arguments, code=code)


def as_program(lines: str) -> str:
    setup = "import django, json; django.setup()\nfrom django.db import connection, connections\n"
    return f"{setup}{lines}\nprint(json.dumps(found))"


def shell(project: Path, environ: dict[str, str], program: str) -> list[object]:
    """Run a program in the project; return the values of `found` it ends with."""
    found: list[object] = json.loads(
        run(project, environ, "-c", as_program(program)).splitlines()[-1]
    )
    return found
