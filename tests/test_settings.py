import dataclasses
import pickle
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azpg_bootstrap import AuthMethod, ConfigError, Settings, choose, load_settings
from azpg_bootstrap.checks import UNRESOLVED
from azpg_bootstrap.profile import Profile
from azpg_bootstrap.reading import read
from azpg_bootstrap.variables import VARIABLES, connections

HOST = "srv.postgres.database.azure.com"
CLIENT_ID = "c0dec11e-0000-4000-8000-000000000002"
SECRET = "hunter2"

NO_NAME_ALONE = "AZURE_POSTGRESQL_HOST is no server name alone: a port has a variable of its own"

BASE = {"HOST": HOST, "DATABASE": "d", "USER": "u"}
PRINCIPAL = {"CLIENTID": CLIENT_ID, "CLIENTSECRET": SECRET, "TENANTID": "t"}

# Service Connector's variables by client type, without credentials.
CLIENT_TYPES = {
    "python": {"CONNECTIONSTRING": f"dbname=d host={HOST} port=5432 sslmode=require user=u"},
    "django": {"NAME": "d", "HOST": HOST, "USER": "u"},
    "go": {"CONNECTIONSTRING": f"host={HOST} dbname=d sslmode=require user=u"},
    "php": {"CONNECTIONSTRING": f"host={HOST} port=5432 dbname=d sslmode=require user=u"},
    "dotnet": {
        "CONNECTIONSTRING": f"Server={HOST};Database=d;Port=5432;Ssl Mode=Require;User Id=u;"
    },
    "java": {"CONNECTIONSTRING": f"jdbc:postgresql://{HOST}:5432/d?sslmode=require&user=u"},
    "nodejs": {"HOST": HOST, "USER": "u", "DATABASE": "d", "PORT": "5432", "SSL": "true"},
    "none": {"HOST": HOST, "USERNAME": "u", "DATABASE": "d", "PORT": "5432", "SSL": "Require"},
}


def variables(parts: dict[str, str], infix: str = "") -> dict[str, str]:
    return {f"AZURE_POSTGRESQL_{infix}{name}": value for name, value in parts.items()}


def load(**parts: str) -> Settings:
    return load_settings(environ=variables(parts))


def problems(**parts: str) -> tuple[str, ...]:
    """Return the problems of variables that cannot work, having looked for leaks."""
    with pytest.raises(ConfigError) as caught:
        load(**parts)
    shown = f"{caught.value} {caught.value!r} {caught.value.__cause__} {caught.value.__context__}"
    assert SECRET not in shown
    return caught.value.problems


@pytest.mark.parametrize("parts", CLIENT_TYPES.values(), ids=CLIENT_TYPES)
def test_every_client_type_means_the_same(parts: dict[str, str]) -> None:
    settings = load(**parts)
    assert (settings.host, settings.port, settings.database, settings.user) == (
        HOST,
        5432,
        "d",
        "u",
    )
    assert settings.sslmode == "verify-full"
    assert choose(settings) is AuthMethod.SYSTEM_ASSIGNED


@pytest.mark.parametrize("parts", CLIENT_TYPES.values(), ids=CLIENT_TYPES)
def test_passwords_beside_every_client_type(parts: dict[str, str]) -> None:
    settings = load(**parts, PASSWORD=SECRET)
    assert settings.password is not None
    assert settings.password.get_secret_value() == SECRET
    assert choose(settings) is AuthMethod.SECRET


SPRING = {
    "url": f"jdbc:postgresql://{HOST}:5432/d?sslmode=require",
    "username": "u",
}


@pytest.mark.parametrize("name", ["spring.datasource.{}", "SPRING_DATASOURCE_{}"])
def test_spring(name: str) -> None:
    spell = str.lower if "." in name else str.upper
    environ = {spell(name.format(key)): value for key, value in SPRING.items()}
    settings = load_settings(environ=environ)
    assert (settings.host, settings.user, settings.sslmode) == (HOST, "u", "verify-full")
    credential = "spring.cloud.azure.credential."
    principal = {
        credential + "client-id": CLIENT_ID,
        credential + "client-secret": SECRET,
        "SPRING_CLOUD_AZURE_CREDENTIAL_TENANT_ID": "t",
    }
    assert choose(load_settings(environ=environ | principal)) is AuthMethod.SERVICE_PRINCIPAL


def test_spring_is_read_only_where_nothing_else_is() -> None:
    settings = load_settings(environ={"SPRING_DATASOURCE_URL": "junk", **variables(BASE)})
    assert settings.host == HOST


def test_springs_variables_can_be_added_to() -> None:
    environ = {"SPRING_DATASOURCE_URL": SPRING["url"], "AZURE_POSTGRESQL_TOKEN_TIMEOUT": "5"}
    settings = load_settings(environ=environ)
    assert (settings.host, settings.token_timeout) == (HOST, 5)


@pytest.mark.parametrize(
    "spell",
    [str.lower, str.title, "POSTGRESQLCONNSTR_{}".format, "CUSTOMCONNSTR_{}".format],
    ids=["lower", "title", "POSTGRESQLCONNSTR", "CUSTOMCONNSTR"],
)
def test_spellings_of_the_names(spell) -> None:  # type: ignore[no-untyped-def]
    environ = {spell(name): value for name, value in variables(BASE).items()}
    assert load_settings(environ=environ).host == HOST


@pytest.mark.parametrize("name", ["reporting-db", "Reporting_DB", "REPORTING_DB"])
def test_further_connections(name: str) -> None:
    environ = variables(BASE) | variables(BASE | {"HOST": "other"}, "REPORTING_DB_")
    assert load_settings(name, environ=environ).host == "other"
    assert load_settings(environ=environ).host == HOST
    assert connections(environ) == ["reporting_db"]


def test_separate_variables_override_the_string() -> None:
    string = (
        "host=a dbname=b user=c port=1 sslmode=require password=x connect_timeout=9 options=-cx"
    )
    separate = {"HOST": "h", "NAME": "n", "USERNAME": "u", "PORT": "2", "PASSWORD": "y"}
    settings = load(CONNECTIONSTRING=string, CONNECT_TIMEOUT="3", **separate)
    assert (settings.host, settings.database, settings.user, settings.port) == ("h", "n", "u", 2)
    assert settings.password is not None
    assert settings.password.get_secret_value() == "y"
    assert dict(settings.keywords) == {"connect_timeout": "3", "options": "-cx"}


def test_values_from_code_override_all() -> None:
    environ = variables(BASE | {"CLIENTID": CLIENT_ID})
    settings = load_settings(environ=environ, given={"host": "h", "port": 1, "password": SECRET})
    assert (settings.host, settings.port) == ("h", 1)
    assert choose(settings) is AuthMethod.SECRET
    assert load_settings(environ={}, given={"host": "h", "dbname": "d"}).database == "d"


@pytest.mark.parametrize(
    ("parts", "method"),
    [
        ({}, "system-assigned"),
        ({"CLIENTID": CLIENT_ID}, "user-assigned"),
        (PRINCIPAL, "service-principal"),
        ({"PASSWORD": SECRET}, "secret"),
        ({"AUTH": "developer", "CLIENTID": CLIENT_ID}, "developer"),
        ({"AUTH": "System_Assigned", "CLIENTID": CLIENT_ID}, "system-assigned"),
        ({"AUTH": "secret", "PASSWORD": SECRET, **PRINCIPAL}, "secret"),
    ],
)
def test_auth_methods(parts: dict[str, str], method: str) -> None:
    assert choose(load(**BASE, **parts)) == method


def test_a_token_may_name_the_user() -> None:
    assert load(HOST=HOST, DATABASE="d").user is None


@pytest.mark.parametrize(
    ("parts", "mode"),
    [
        ({}, "verify-full"),
        ({"HOST": "srv.postgres.database.usgovcloudapi.net"}, "verify-full"),
        ({"HOST": "srv.postgres.database.chinacloudapi.cn"}, "require"),
        ({"HOST": "a.b.postgres.database.azure.com"}, "require"),
        ({"HOST": "10.0.0.4"}, "require"),
        ({"SSL": "true"}, "verify-full"),
        ({"SSLMODE": "require"}, "require"),
        ({"SSLMODE": "verify-ca"}, "verify-ca"),
        ({"HOST": "db", "SSLMODE": "VERIFY_FULL"}, "verify-full"),
        ({"HOST": "db", "PASSWORD": SECRET, "SSL": "false"}, "disable"),
        ({"HOST": "/run/postgresql", "PASSWORD": SECRET, "SSLMODE": "disable"}, "disable"),
    ],
)
def test_sslmode(parts: dict[str, str], mode: str) -> None:
    assert load(**{**BASE, **parts}).sslmode == mode


# Every bad environment, and the beginning of each problem it has.
BAD = {
    "nothing but the host": ({"HOST": HOST}, ["AZURE_POSTGRESQL_DATABASE is missing"]),
    "no host": ({"DATABASE": "d"}, ["AZURE_POSTGRESQL_HOST is missing"]),
    "secret without user": (
        {"HOST": HOST, "DATABASE": "d", "PASSWORD": SECRET},
        ["AZURE_POSTGRESQL_USER is missing"],
    ),
    "port of letters": (BASE | {"PORT": SECRET}, ["AZURE_POSTGRESQL_PORT is no port"]),
    "port too high": (BASE | {"PORT": "65536"}, ["AZURE_POSTGRESQL_PORT is no port"]),
    "port 0 in the string": (
        {"CONNECTIONSTRING": "host=h dbname=d user=u port=0"},
        ["port in AZURE_POSTGRESQL_CONNECTIONSTRING is no port"],
    ),
    "sslmode of no driver": (
        BASE | {"SSLMODE": "verify-all"},
        ["AZURE_POSTGRESQL_SSLMODE is verify-all, which some pages print but libpq does not"],
    ),
    "sslmode unknown": (BASE | {"SSLMODE": SECRET}, ["AZURE_POSTGRESQL_SSLMODE is none of"]),
    "SSL unknown": (BASE | {"SSL": SECRET}, ["AZURE_POSTGRESQL_SSL is none of"]),
    "sslmode below require": (
        BASE | {"SSLMODE": "prefer"},
        ["AZURE_POSTGRESQL_SSLMODE may send the token without TLS"],
    ),
    "sslmode below require in the string": (
        {"CONNECTIONSTRING": "host=h dbname=d user=u sslmode=disable"},
        ["sslmode in AZURE_POSTGRESQL_CONNECTIONSTRING may send the token without TLS"],
    ),
    "no TLS by SSL": (BASE | {"SSL": "false"}, ["AZURE_POSTGRESQL_SSL may send the token"]),
    "a socket": (BASE | {"HOST": "/tmp"}, ["AZURE_POSTGRESQL_HOST is a Unix socket"]),
    "host with a port": (BASE | {"HOST": f"{HOST}:5432"}, [NO_NAME_ALONE]),
    "host in quotes": (BASE | {"HOST": f'"{HOST}"'}, ["AZURE_POSTGRESQL_HOST is no server name"]),
    "host after a protocol": (BASE | {"HOST": f"tcp:{HOST}"}, [NO_NAME_ALONE]),
    "half a list of hosts": (BASE | {"HOST": f"{HOST},"}, ["AZURE_POSTGRESQL_HOST has a comma"]),
    "host of two words": (BASE | {"HOST": f"h {SECRET}"}, ["AZURE_POSTGRESQL_HOST is no server"]),
    "half a service principal": (
        BASE | {"CLIENTSECRET": SECRET, "CLIENTID": CLIENT_ID},
        ["AZURE_POSTGRESQL_TENANTID is missing"],
    ),
    "a tenant alone": (
        BASE | {"TENANTID": "t"},
        ["AZURE_POSTGRESQL_CLIENTID is missing", "AZURE_POSTGRESQL_CLIENTSECRET is missing"],
    ),
    "password beside identity": (
        BASE | {"PASSWORD": SECRET, "CLIENTID": CLIENT_ID},
        ["a password and AZURE_POSTGRESQL_CLIENTID contradict"],
    ),
    "named method without its proof": (
        BASE | {"AUTH": "user-assigned"},
        ["AZURE_POSTGRESQL_CLIENTID is missing: AZURE_POSTGRESQL_AUTH=user-assigned"],
    ),
    "method unknown": (BASE | {"AUTH": SECRET}, ["AZURE_POSTGRESQL_AUTH is none of"]),
    "Key Vault": (
        BASE | {"PASSWORD": f"@Microsoft.KeyVault(SecretUri=https://{SECRET})"},
        ["AZURE_POSTGRESQL_PASSWORD is a Key Vault reference"],
    ),
    "Key Vault in the string": (
        {"CONNECTIONSTRING": f"host=h dbname=d user=u password=@Microsoft.KeyVault({SECRET})"},
        ["password in AZURE_POSTGRESQL_CONNECTIONSTRING is a Key Vault reference"],
    ),
    "Key Vault as the string": (
        {"CONNECTIONSTRING": f"@Microsoft.KeyVault(VaultName={SECRET})"},
        ["AZURE_POSTGRESQL_CONNECTIONSTRING is a Key Vault reference"],
    ),
    "unparsable": (
        {"CONNECTIONSTRING": SECRET},
        ["AZURE_POSTGRESQL_CONNECTIONSTRING is no connection string"],
    ),
    "unknown keyword": (
        {"CONNECTIONSTRING": f"host=h dbname=d user=u {SECRET}=x"},
        ["AZURE_POSTGRESQL_CONNECTIONSTRING is no connection string"],
    ),
    "line break": (BASE | {"PASSWORD": f"{SECRET}\n"}, ["AZURE_POSTGRESQL_PASSWORD holds a con"]),
    "NUL": (BASE | {"USER": "u\0"}, ["AZURE_POSTGRESQL_USER holds a control"]),
    "no UTF-8": (BASE | {"USER": "u\udcff"}, ["AZURE_POSTGRESQL_USER holds bytes"]),
    "empty": (BASE | {"USER": " "}, ["AZURE_POSTGRESQL_USER is empty"]),
    "empty in the string": (
        {"CONNECTIONSTRING": "host=h dbname=d user='' password=''"},
        ["user in AZURE_POSTGRESQL_CONNECTIONSTRING is empty", "password in AZURE"],
    ),
    "client id": (BASE | {"CLIENTID": SECRET}, ["AZURE_POSTGRESQL_CLIENTID is no UUID"]),
    "scope": (BASE | {"SCOPE": SECRET}, ["AZURE_POSTGRESQL_SCOPE is no token scope"]),
    "timeout": (BASE | {"TOKEN_TIMEOUT": "0"}, ["AZURE_POSTGRESQL_TOKEN_TIMEOUT is no number"]),
    "timeout of words": (BASE | {"TOKEN_TIMEOUT": "inf"}, ["AZURE_POSTGRESQL_TOKEN_TIMEOUT is no"]),
    "misspelt": (BASE | {"CLIENT_ID": SECRET}, ["AZURE_POSTGRESQL_CLIENT_ID is misspelt"]),
    "two names, two values": (
        BASE | {"NAME": SECRET},
        ["AZURE_POSTGRESQL_DATABASE and AZURE_POSTGRESQL_NAME differ"],
    ),
    "everything at once": (
        {"HOST": HOST, "PORT": "x", "SSLMODE": "x", "CLIENTSECRET": SECRET},
        [
            "AZURE_POSTGRESQL_DATABASE is missing",
            "AZURE_POSTGRESQL_CLIENTID is missing",
            "AZURE_POSTGRESQL_TENANTID is missing",
            "AZURE_POSTGRESQL_PORT is no port",
            "AZURE_POSTGRESQL_SSLMODE is none of",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("parts", "beginnings"), BAD.values(), ids=BAD)
def test_bad_environments(parts: dict[str, str], beginnings: list[str]) -> None:
    found = problems(**parts)
    assert len(found) == len(beginnings), found
    for beginning, problem in zip(beginnings, found, strict=True):
        assert problem.startswith(beginning)


def test_no_variables() -> None:
    with pytest.raises(ConfigError, match=r"^no AZURE_POSTGRESQL_\* variable is set; create"):
        load_settings(environ={"PATH": "/bin"})


def test_unknown_connection() -> None:
    environ = variables(BASE, "REPORTING_")
    with pytest.raises(ConfigError, match=r"AZURE_POSTGRESQL_BILLING_\* .* found: reporting$"):
        load_settings("billing", environ=environ)
    with pytest.raises(ConfigError, match=r"connections found: reporting"):
        load_settings(environ=environ)


@pytest.mark.parametrize("name", ["", "a b", SECRET + "\n", "*"])
def test_names_that_no_connection_has(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(name, environ=variables(BASE))
    assert SECRET not in str(caught.value)


def test_secrets_do_not_show() -> None:
    settings = load(**BASE, AUTH="secret", PASSWORD=SECRET, SSLPASSWORD=SECRET, **PRINCIPAL)
    assert SECRET not in f"{settings} {settings!r} {settings.model_dump_json(exclude={'keywords'})}"


def test_settings_are_frozen_and_read_nothing_by_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = load(**BASE)
    with pytest.raises(ValueError, match="frozen"):
        settings.host = "other"
    for name in ("HOST", "DATABASE", "USER", "CLIENT_ID", "AZURE_POSTGRESQL_USER"):
        monkeypatch.setenv(name, "from the environment")
    assert Settings(host="h", database="d").user is None


def test_variables_are_parsed_once() -> None:
    assert read(None, variables(BASE)) is read(None, variables(BASE))
    assert read(None, variables(BASE)) is not read(None, variables(BASE | {"PORT": "1"}))
    assert load(**BASE) == load(**BASE) != load(**BASE, PORT="1")


def test_settings_and_profiles_are_the_same_values() -> None:
    assert [*Settings.model_fields] == [field.name for field in dataclasses.fields(Profile)]
    settings = load(**BASE, AUTH="secret", PASSWORD=SECRET, SSLMODE="require", OPTIONS="-cx")
    assert Settings.of(settings.profile) == settings
    assert settings.profile.password == SECRET
    assert SECRET not in repr(settings.profile)
    assert choose(settings) is choose(settings.profile)


@pytest.mark.parametrize(
    "values", [{"port": "x"}, {"client_id": "x"}, {"named_sslmode": "x"}, {"host": "a b"}]
)
def test_settings_made_by_hand_are_checked(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="1 validation error") as caught:
        Settings(**{"host": "h", "database": "d", "password": SECRET} | values)
    assert SECRET not in f"{caught.value} {caught.value!r}"


def test_the_environment_is_read_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables(BASE).items():
        monkeypatch.setenv(name, value)
    assert load_settings().host == HOST
    monkeypatch.setenv("AZURE_POSTGRESQL_HOST", "moved")
    assert load_settings().host == "moved"


def test_config_errors_survive_a_process_boundary() -> None:
    error = ConfigError("a", "b")
    copied = pickle.loads(pickle.dumps(error))
    assert (copied.problems, str(copied)) == (("a", "b"), "2 problems:\n  - a\n  - b")


@given(
    st.dictionaries(
        st.sampled_from([*VARIABLES, "SSLROOTCERT", "CLIENT_ID", "OPTIONS"]),
        st.one_of(
            st.text(), st.sampled_from([*BASE.values(), CLIENT_ID, "secret", UNRESOLVED, "5432"])
        ),
    ).map(variables)
)
def test_nothing_but_config_errors_comes_out(environ: dict[str, str]) -> None:
    try:
        settings = load_settings(environ=environ)
    except ConfigError as error:
        refused = error
    else:
        assert choose(settings) in AuthMethod
        return
    assert refused.problems
    assert refused.__context__ is None


def test_a_name_in_full_is_the_name_in_the_certificate() -> None:
    assert load(**BASE | {"HOST": f"{HOST}."}).host == HOST
    assert load(**BASE | {"HOST": "2001:db8::1"}).host == "2001:db8::1"


def test_a_very_short_time_is_one() -> None:
    assert load(**BASE, TOKEN_TIMEOUT="0.00001").token_timeout == 0.00001


def test_no_dump_and_no_frame_has_a_secret() -> None:
    """Debug pages show the variables of every frame."""
    parts = {"PASSWORD": SECRET, "SSLPASSWORD": SECRET}
    settings = load(**BASE, **parts)
    assert dict(settings.profile.keywords)["sslpassword"] == SECRET
    assert SECRET not in f"{settings.model_dump()} {settings.model_dump_json()}"
    with pytest.raises(ConfigError) as caught:
        load_settings(environ=Environ(variables(BASE | parts | {"PORT": "0"})))
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in shown.stack if "azpg_bootstrap" in frame.filename]
    assert ours
    assert not any(SECRET in str(frame.locals) for frame in ours)


class Environ(dict[str, str]):
    """As discreet as os.environ would have to be."""

    def __repr__(self) -> str:
        return "environ"


def test_a_variable_may_vanish_meanwhile() -> None:
    """A Functions worker clears and refills its environment while threads of it run."""

    class Vanishing(dict[str, str]):
        def get(self, _name: str, default: Any = None) -> Any:
            return default

    with pytest.raises(ConfigError, match="no AZURE_POSTGRESQL_"):
        load_settings(environ=Vanishing(variables(BASE)))
