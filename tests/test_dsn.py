import pytest
from hypothesis import given
from hypothesis import strategies as st

from azpg_bootstrap import ConfigError
from azpg_bootstrap.dsn import is_keyword, parse

PARTS = {"host": "h", "port": "5432", "dbname": "d", "user": "u", "sslmode": "require"}

# What Service Connector writes for each client type, with and without a password.
FORMATS = {
    "python": "dbname=d host=h port=5432 sslmode=require user=u",
    "php": "host=h port=5432 dbname=d sslmode=require user=u",
    "ruby": "host=h port=5432 dbname=d sslmode=require user=u",
    "dotnet": "Server=h;Database=d;Port=5432;Ssl Mode=Require;User Id=u;",
    "java": "jdbc:postgresql://h:5432/d?sslmode=require&user=u",
    "uri": "postgresql://u@h:5432/d?sslmode=require",
    "short-uri": "postgres://u@h:5432/d?sslmode=require",
}


@pytest.mark.parametrize("text", FORMATS.values(), ids=FORMATS)
def test_service_connectors_formats(text: str) -> None:
    assert parse(text) == PARTS


def test_go_has_no_port() -> None:
    assert "port" not in parse("host=h dbname=d sslmode=require user=u")


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("host=h password='a b'", "a b"),
        (r"host=h password='it\'s \\ =x'", r"it's \ =x"),
        ("host=h password=a;b", "a;b"),
        ("password=a;port=1 host=h", "a;port=1"),
        ("Server=h;Password=a b", "a b"),
        ("Server=h;Password='a;b''c'", "a;b'c"),
        ('Server=h;Password="a;b""c"', 'a;b"c'),
        ("Server=h;Password=it's", "it's"),
        ("Server=h; PWD = x=y ;", "x=y"),
        ("host=h;password=x;", "x"),
        ("password=x;host=h", "x"),
        ("postgresql://u:a%20b%3D@h/d", "a b="),
        ("jdbc:postgresql://h/d?password=a%2Bb%26", "a+b&"),
        ("jdbc:postgresql://h/d?password=a+b", "a b"),
    ],
)
def test_passwords_that_need_quotes(text: str, password: str) -> None:
    parts = parse(text)
    assert (parts["host"], parts["password"]) == ("h", password)


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("Server=h;SSL Mode=VerifyFull", "verify-full"),
        ("Server=h;SslMode=verifyca", "verify-ca"),
        ("jdbc:postgresql://h/d?ssl=true", "require"),
        ("Server=h;Ssl Mode=Disable;Trust Server Certificate=true", "disable"),
    ],
)
def test_sslmode_in_other_words(text: str, mode: str) -> None:
    assert parse(text)["sslmode"] == mode


def test_what_only_the_other_driver_knows_is_left_out() -> None:
    url = "jdbc:postgresql://h/d?ApplicationName=a&prepareThreshold=0&reWriteBatchedInserts=true"
    assert parse(url) == {"host": "h", "dbname": "d", "application_name": "a"}
    assert parse("Server=h;Pooling=true;Maximum Pool Size=9;Timeout=4") == {
        "host": "h",
        "connect_timeout": "4",
    }


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("jdbc:postgresql://h/d?currentSchema=app,%20public", "-csearch_path=app,public"),
        ("jdbc:postgresql://h/d?ssl=false&currentSchema=app", "-csearch_path=app"),
        ("Server=h;Search Path=app, public", "-csearch_path=app,public"),
        ("Server=h;Options=-cwork_mem=64MB;Search Path=app", "-cwork_mem=64MB -csearch_path=app"),
    ],
)
def test_a_search_path_is_the_servers(text: str, options: str) -> None:
    parts = parse(text)
    assert parts["options"] == options
    assert "sslmode" not in parts


def test_nothing_between_semicolons_is_nothing() -> None:
    assert parse(";Server=h; ;Port=1;;") == {"host": "h", "port": "1"}


def test_last_of_two_wins_as_in_libpq() -> None:
    assert parse("host=a host=b") == {"host": "b"}


@pytest.mark.parametrize(
    "text",
    [
        "hunter2",
        "host=h pass word=hunter2",
        "host=h hunter2=x",
        "host=h password='hunter2",
        "Server=h;Hunter2=x",
        "Server=h;Password='hunter2",
        "Server=h;;=hunter2",
        "jdbc:mysql://h/hunter2",
        "jdbc:postgresql://h/d?hunter2=x",
        "postgresql://h/d?hunter2=x",
        "postgresql://u:%zzhunter2@h/d",
        "mysql://u:hunter2@h/d",
        "host=h password=hunter2\udcff=",
    ],
)
def test_unreadable_strings_stay_secret(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^X is no connection string") as caught:
        parse(text, "X")
    assert "hunter2" not in repr(caught.value) + str(caught.value)
    assert caught.value.__context__ is None


@given(st.text())
def test_nothing_but_config_errors_comes_out(text: str) -> None:
    try:
        parts = parse(text)
    except ConfigError:
        return
    assert all(is_keyword(keyword) for keyword in parts)


@given(
    st.lists(st.sampled_from("=;'\"\\ \t&?%+/@:"), max_size=8).map("".join),
    st.sampled_from(["host={}", "Server=h;Password={};Port=1", "jdbc:postgresql://{}", "{}://h"]),
)
def test_nothing_but_config_errors_comes_out_of_near_misses(marks: str, frame: str) -> None:
    test_nothing_but_config_errors_comes_out.hypothesis.inner_test(frame.format(marks))  # type: ignore[attr-defined]


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1))
def test_quoted_dotnet_values_survive(value: str) -> None:
    quoted = value.replace('"', '""')
    assert parse(f'Server=h;Password="{quoted}"')["password"] == value


@pytest.mark.parametrize("name", ["host", "sslrootcert", "target_session_attrs"])
def test_libpqs_keywords(name: str) -> None:
    assert is_keyword(name)


@pytest.mark.parametrize("name", ["reporting_host", "hosts", "", "a b", "host=x"])
def test_no_keywords(name: str) -> None:
    assert not is_keyword(name)
