"""samples/app_service_django, started by its startup.sh and used by HTTP and in a browser."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import httpx
import pytest
from programs import (
    Program,
    administrator,
    answer,
    assert_logged,
    running,
    sample,
    surroundings,
    until,
)

from azpg_bootstrap.sandbox import Sandbox

EARLY = 2.0
"""Seconds by which an expiry may be told too early: credentials count in whole ones."""

TOKEN_LIFETIME = 3.0
"""Seconds: the first token is dead before a browser has been started."""

LOAD = 60.0
"""Seconds of the load test; its tokens of 5 s are renewed a dozen times by each worker."""

THOUGHT = 0.2
"""Seconds between a visitor's visits: four workers stay busy, and other tests get their turn."""

ADMIN = {"DJANGO_SUPERUSER_USERNAME": "ada", "DJANGO_SUPERUSER_PASSWORD": "of no use to anybody"}

if TYPE_CHECKING:
    from selenium import webdriver
    from selenium.webdriver.remote.webelement import WebElement

START = ["sh", "startup.sh"]


class Site(NamedTuple):
    """Two instances of the site, as App Service runs an app that was scaled out."""

    sandbox: Sandbox
    folder: Path
    environ: dict[str, str]
    instances: list[Program]

    def client(self, instance: int = 0) -> httpx.Client:
        return httpx.Client(base_url=address(self.instances[instance]), follow_redirects=True)


def address(instance: Program) -> str:
    return instance.wait_for(r"Listening at: (http://\S+)")[1]


def deployed(sandbox: Sandbox, folder: Path, gunicorn: str = "") -> tuple[Path, dict[str, str]]:
    """Return a folder with the sample and the environment that App Service gives it."""
    variables = {
        "SECRET_KEY": "of no use to anybody",
        "PYTHONDONTWRITEBYTECODE": "1",
        # A free port, where nobody else can reach it.
        "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:0 {gunicorn}",
    }
    code = sample("app_service_django", folder)
    # App Service's build does this, which knows neither the database nor an identity.
    with running(["python", "manage.py", "collectstatic"], code, surroundings(variables)) as build:
        build.ended()
    environ = sandbox.environ("system-assigned", "django", compute="app-service")
    return code, surroundings(variables | environ)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start two instances at once, both of which find that they have to migrate."""
    folder = tmp_path_factory.mktemp("django")
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(token_lifetime=TOKEN_LIFETIME))
        code, environ = deployed(sandbox, folder)
        cursor = stack.enter_context(administrator(sandbox))
        cursor.execute("SELECT pg_advisory_lock(%s)", [lock_number(code)])
        instances = [stack.enter_context(running(START, code, environ)) for _ in range(2)]
        until(lambda: answer(cursor, WAITING) == 2)
        cursor.execute("SELECT pg_advisory_unlock_all()")
        for instance in instances:
            instance.wait_for("Booting worker", times=4)
        yield Site(sandbox, code, environ, instances)
        for instance in instances:
            instance.process.terminate()
        assert [instance.process.wait(60) for instance in instances] == [0, 0]


def lock_number(code: Path) -> int:
    """Return the number of the lock that the sample migrates under."""
    command = (code / "guestbook/management/commands/migrate.py").read_text()
    return int(re.findall(r"MIGRATE = (\d+)", command)[0])


WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def test_one_instance_migrates_and_the_other_waits(site: Site) -> None:
    said = [instance.said() for instance in site.instances]
    assert sorted("Applying guestbook.0001_initial... OK" in each for each in said) == [False, True]
    assert sorted("No migrations to apply" in each for each in said) == [False, True]


def test_health(site: Site) -> None:
    with site.client() as client:
        health = client.get("health").raise_for_status().json()
    assert_logged(
        "app_service_django", "\n".join([json.dumps(health), *(i.said() for i in site.instances)])
    )
    assert abs(expiry(health) - time.time()) <= TOKEN_LIFETIME


def expiry(health: dict[str, str]) -> float:
    return datetime.fromisoformat(health["token_expires"]).timestamp()


def write(client: httpx.Client, text: str) -> httpx.Response:
    client.get("")
    form = {"text": text, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
    return client.post("", data=form)


def test_what_one_instance_writes_the_other_lists(site: Site) -> None:
    with site.client(0) as first, site.client(1) as second:
        assert "<li>by HTTP</li>" in write(first, "by HTTP").raise_for_status().text
        assert "<li>by HTTP</li>" in second.get("").raise_for_status().text


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator["webdriver.Chrome"]:
    driver, browser = shutil.which("chromedriver"), shutil.which("chromium")
    if not driver or not browser:
        pytest.skip("chromium and its chromedriver are not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    # Chromium's own sandbox does not run as root, nor in most containers.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    chrome = webdriver.Chrome(options, webdriver.ChromeService(driver))
    chrome.implicitly_wait(10)
    try:
        yield chrome
    finally:
        chrome.quit()


def test_in_a_browser_before_and_after_the_first_token_has_died(
    site: Site, chromium: "webdriver.Chrome"
) -> None:
    manage(site, "createsuperuser", "--no-input", "--email", "ada@example.com", **ADMIN)
    at = address(site.instances[0])
    chromium.get(at)
    write_in(chromium, "before")
    with site.client() as client:
        died = expiry(client.get("health").json())
    until(lambda: time.time() > died + EARLY)
    write_in(chromium, "after")
    assert {"before", "after"} <= {line.text for line in find_all(chromium, "li")}
    log_in(chromium, at)
    find(chromium, "a[href='/admin/guestbook/entry/']").click()
    assert {"before", "after"} <= {line.text for line in find_all(chromium, "th.field-text")}


def manage(site: Site, *command: str, **variables: str) -> None:
    with running(["python", "manage.py", *command], site.folder, site.environ | variables) as it:
        it.ended()


def find(chromium: "webdriver.Chrome", css: str) -> "WebElement":
    return chromium.find_element("css selector", css)


def find_all(chromium: "webdriver.Chrome", css: str) -> list["WebElement"]:
    return chromium.find_elements("css selector", css)


def write_in(chromium: "webdriver.Chrome", text: str) -> None:
    find(chromium, "input[name=text]").send_keys(text)
    find(chromium, "button").click()
    chromium.find_element("xpath", f"//li[.='{text}']")


def log_in(chromium: "webdriver.Chrome", at: str) -> None:
    chromium.get(f"{at}/admin/")
    for name in ("username", "password"):
        find(chromium, f"input[name={name}]").send_keys(ADMIN[f"DJANGO_SUPERUSER_{name.upper()}"])
    find(chromium, "input[type=submit]").click()


@pytest.mark.slow
def test_no_request_fails_while_tokens_of_five_seconds_rotate(tmp_path: Path) -> None:
    with Sandbox(token_lifetime=5.0) as sandbox:
        code, environ = deployed(sandbox, tmp_path, "--access-logformat 'pid=%(p)s status=%(s)s'")
        with running(START, code, environ) as instance, ThreadPoolExecutor() as threads:
            instance.wait_for("Booting worker", times=4)
            began = time.monotonic()
            users = [threads.submit(visit, address(instance), began + LOAD) for _ in range(4)]
            visits = sum(user.result() for user in users)
            assert instance.stop() == 0
            served = re.findall(r"pid=<(\d+)> status=(\d+)", instance.said())
        print(f"{len(served)} requests, {sandbox.token_requests} tokens in {LOAD:g} s")
        assert {status for _, status in served} == {"200", "302"}
        assert len({pid for pid, _ in served}) == 4
        assert len(served) >= visits > LOAD
        assert sandbox.refused_logins == 0
        # Every worker keeps a token of its own; half as many as may be leave room for idle ones.
        assert sandbox.token_requests >= 4 * LOAD / 5 / 2


def visit(at: str, until: float) -> int:
    """Use the site like a visitor until then; return how often. Raises if it failed once."""
    visits = 0
    with httpx.Client(base_url=at, follow_redirects=True, timeout=30) as client:
        while time.monotonic() < until:
            write(client, "under load").raise_for_status()
            client.get("health").raise_for_status()
            visits += 1
            time.sleep(THOUGHT)
    return visits
