"""The parts of one connection, gathered from its variables, and what is wrong with them."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from azpg_bootstrap import checks, dsn
from azpg_bootstrap.errors import ConfigError
from azpg_bootstrap.methods import AuthMethod, contradictions
from azpg_bootstrap.variables import CONNECTION_STRING, Variable, intended, part_of

# What Service Connector writes for "use TLS": SSL=true for Node, SSL=Require elsewhere, and
# sslmode=require in its strings. None of these is a choice of require over verify-full.
SSL_WORDS: Final = {"true": "require", "false": "disable"}

REQUIRED: Final = {
    "HOST": "the server's name, such as myserver.postgres.database.azure.com",
    "DATABASE": "the database's name",
}


class Part(NamedTuple):
    """A part of a connection: where it came from, in words for an error, and its value."""

    source: str
    value: str

    def __repr__(self) -> str:
        return f"<Part of {self.source}>"


def gather(
    variables: Iterable[Variable], from_code: Iterable[Variable], prefix: str
) -> tuple[dict[str, Part], list[str]]:
    """Return the parts, and every problem that their combination has.

    A separate variable overrides the same part of the connection string, and what the program
    itself gives overrides both.
    """
    problems = [*_misnamed(variables)]
    separate = {part: Part(name, value) for name, part, value in variables}
    string = separate.pop(CONNECTION_STRING, None)
    given = {part: Part(name, value) for name, part, value in from_code}
    try:
        parts = (_string_parts(*string) if string else {}) | separate
    except ConfigError as error:
        return separate, [*problems, *error.problems, *_faulty(separate)]
    if "HOST" in given and given["HOST"].value != parts.get("HOST", given["HOST"]).value:
        parts.pop("HOSTADDR", None)  # the address of a host that is not meant
    parts |= _proof(given)
    problems += _faulty(parts)
    named = _named_method(parts)
    problems += _missing(parts, named, prefix)
    problems += contradictions(parts, named, prefix)
    return _with_sslmode(parts), problems


def _proof(given: dict[str, Part]) -> dict[str, Part]:
    """Let a password given in code be the proof, whatever the environment has beside it."""
    if "PASSWORD" not in given:
        return given
    return {"AUTH": Part(given["PASSWORD"].source, AuthMethod.SECRET), **given}


def _misnamed(variables: Iterable[Variable]) -> Iterator[str]:
    first: dict[str, Variable] = {}
    for variable in variables:
        name, part, value = variable
        twin = first.setdefault(part, variable)
        if twin.value != value:
            yield f"{twin.name} and {name} differ: keep one"
        if meant := intended(part):
            yield f"{name} is misspelt: {meant} is how it ends"


def _string_parts(source: str, text: str) -> dict[str, Part]:
    fault = checks.fault(text)
    if fault:
        raise ConfigError(f"{source} {fault}")
    keywords = dsn.parse(text, source)
    return {
        "SSL" if keyword == "sslmode" else part_of(keyword): Part(f"{keyword} in {source}", value)
        for keyword, value in keywords.items()
    }


def _faulty(parts: dict[str, Part]) -> Iterator[str]:
    for source, value in parts.values():
        if fault := checks.fault(value):
            yield f"{source} {fault}"


def _named_method(parts: dict[str, Part]) -> str | None:
    named = parts.get("AUTH")
    return checks.word(named.value) if named else None


def _missing(parts: dict[str, Part], named: str | None, prefix: str) -> Iterator[str]:
    for part, example in REQUIRED.items():
        if part not in parts:
            yield f"{prefix}{part} is missing: {example}"
    by_password = named == AuthMethod.SECRET or (named is None and "PASSWORD" in parts)
    if by_password and "USER" not in parts:
        yield f"{prefix}USER is missing: the role that the password belongs to"


def _with_sslmode(parts: dict[str, Part]) -> dict[str, Part]:
    """Turn SSL into the SSLMODE it means, if it means more than the default."""
    wish = parts.pop("SSL", None)
    if wish is None:
        return parts
    mode = SSL_WORDS.get(wish.value.lower(), wish.value)
    if mode.lower() == "require":
        return parts
    return {"SSLMODE": Part(wish.source, mode), **parts}
