"""The place of the sessions: a database and a schema in it, as a URL names them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ..._errors import UnknownStorageError

__all__ = ["SCHEMA", "Place"]

_UNKNOWN: Final = re.compile(r'invalid URI query parameter: "\w+"')

SCHEMA: Final = "turnkeep"

# A dead peer is noticed within half a minute, not after the system's two hours.
_DEFAULTS: Final = {
    "connect_timeout": "10",
    "keepalives_idle": "20",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "30000",
    "application_name": "turnkeep",
}


class Place(NamedTuple):
    """A database and a schema.

    `name` is the URL without its password, for errors. `parts` is True if searches find parts of
    words.
    """

    name: str
    conninfo: str
    schema: str
    parts: bool
    password: str

    @classmethod
    def of(cls, url: str) -> Place:
        """Return the place that a URL names. Raises `UnknownStorageError`, without the password."""
        scheme, _, rest = url.partition(":")
        name = f"{scheme.lower()}://{rest[2:].rpartition('@')[2].partition('?')[0]}"
        if not rest.startswith("//"):
            raise UnknownStorageError(
                f"{scheme.lower()}:… names no server: write 'postgresql://user@host/database'"
            )
        try:
            _check_characters(rest)
            split = urlsplit(f"{scheme.lower()}:{rest}")
            _ = split.port if "," not in split.netloc else None  # libpq's list of hosts
        except ValueError:
            raise _unreadable(name) from None
        # libpq refuses parameters that it does not know, so ours are taken out first.
        given = parse_qsl(split.query, keep_blank_values=True)
        ours = {option: value for option, value in given if option in ("schema", "search")}
        query = urlencode([pair for pair in given if pair[0] not in ours], quote_via=quote)
        schema, search = ours.get("schema", SCHEMA), ours.get("search", "words")
        if not re.fullmatch(r"(?!pg_)[^\0\"%]{1,63}", schema) or len(schema.encode()) > 63:
            raise UnknownStorageError(
                f"{name}: schema={schema!r} names no schema: use up to 63 letters, digits and '_'"
            )
        if search not in ("words", "trigram"):
            raise UnknownStorageError(f"{name}: search={search!r} is neither 'words' nor 'trigram'")
        try:
            options = conninfo_to_dict(urlunsplit(split._replace(query=query)))
        except psycopg.Error as error:
            unknown = None if "@" in split.query else _UNKNOWN.search(str(error))
            raise _unreadable(name, unknown[0] if unknown else "") from None
        if "@" in str(options.get("host", "")):
            raise _unreadable(name)  # that is a part of a password
        password = options.get("password") or ""
        user, host = options.get("user"), options.get("host") or "localhost"
        port = f":{options['port']}" if options.get("port") else ""
        name = f"postgresql://{f'{user}@' if user else ''}{host}{port}/{options.get('dbname', '')}"
        if schema != SCHEMA:
            name += f"?schema={schema}"
        conninfo = make_conninfo("", **{**_DEFAULTS, **options})
        return cls(name, conninfo, schema, search == "trigram", str(password))

    @property
    def identifier(self) -> str:
        """The schema, quoted for SQL."""
        return f'"{self.schema}"'

    def sql(self, query: str) -> bytes:
        """Return a query that is written for the schema `turnkeep`, for this one."""
        return _in_schema(query, self.identifier)

    def hidden(self, text: str) -> str:
        """Return a message of the driver without the password."""
        whole = rf"(?<!\w){re.escape(self.password)}(?!\w)"
        return re.sub(whole, "…", text) if self.password else text


@lru_cache(maxsize=256)
def _in_schema(query: str, identifier: str) -> bytes:
    return query.replace("turnkeep.", f"{identifier}.").encode()


def _check_characters(url: str) -> None:
    """Raise `ValueError` for characters that libpq does not take."""
    url.encode()
    if "\0" in url:
        raise ValueError(url)


def _unreadable(name: str, why: str = "") -> UnknownStorageError:
    # Other reasons repeat a part of the URL, and with it of the password.
    return UnknownStorageError(
        f"{name}: the URL can't be read{f': {why}' if why else ''}. "
        "Write 'postgresql://user:password@host:5432/database?schema=turnkeep', and "
        "percent-encode special characters of the password"
    )
