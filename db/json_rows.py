"""Pages of lists as JSON that the database writes, with the fields and the notation of the API's views.

The database has every digit of a number as text, so no row becomes an object here only to be encoded again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import asyncpg

_TIME: Final = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
"""As `tickplant.times.format_time`; sessions are in UTC."""


class JsonPage(NamedTuple):
    """A page of rows in ascending order."""

    rows: bytes
    """A JSON array of objects."""
    edge: tuple[Any, ...] | None
    """The key of the row beside which the next page begins; None where there are no more rows."""


class JsonField(NamedTuple):
    """The SQL of one field of an object."""

    value: str
    quoted: bool = False
    """Whether the value is put in quotes; it needs no escaping, and is never null."""


def text(column: str) -> JsonField:
    """Return the field of a decimal, or of a text that needs no escaping; never null."""
    return JsonField(column, quoted=True)


def time(column: str) -> JsonField:
    """Return the field of a time that is never null."""
    return JsonField(f"to_char({column}, '{_TIME}')", quoted=True)


def optional_text(column: str) -> JsonField:
    """Return the field of a text that needs no escaping, or null."""
    return JsonField(f"""coalesce('"' || {column} || '"', 'null')""")


def boolean(column: str) -> JsonField:
    """Return the field of a boolean, or null."""
    return JsonField(f"coalesce(({column})::text, 'null')")


def json_page_query(fields: Mapping[str, JsonField], select: str, *, order: Sequence[str], limit: str) -> str:
    """Return the query of a page, for `fetch_json_page`.

    Args:
        fields: of each object, in order.
        select: the rows from where the page begins, in no order.
        order: the columns that order them, which are the key of a row.
        limit: the SQL of the most rows on a page.
    """
    literal, parts = "", []
    for index, (name, field) in enumerate(fields.items()):
        quote = '"' if field.quoted else ""
        literal += f"""{"," if index else "{"}"{name}":{quote}"""
        parts += [f"'{literal}'", field.value]
        literal = quote
    written = ", ".join([*parts, f"'{literal}}}'"])
    ordered = ", ".join(f"{column} {{order}}" for column in order)
    edge = "".join(f", max({column}) filter (where n = {limit})" for column in order)
    return f"""
        with page as (
            select *, row_number() over (order by {ordered}) as n
            from ({select} order by {ordered} limit {limit} + 1) as rows
        )
        select convert_to(
                string_agg(concat({_braces(written)}), ',' order by n {{order}}) filter (where n <= {limit}),
                'UTF8'
            ),
            count(*) > {limit}
            {edge}
        from page
    """  # noqa: S608 - constants only


async def fetch_json_page(
    connection: asyncpg.Connection, query: str, *arguments: Any, newest: bool
) -> JsonPage:
    """Return a page.

    Args:
        connection: to the database.
        query: from `json_page_query`.
        arguments: of the query.
        newest: whether the page ends with the last row rather than beginning with the first.
    """
    row: Any = await connection.fetchrow(query.format(order="desc" if newest else "asc"), *arguments)
    rows, more, *edge = row
    return JsonPage(b"[%b]" % (rows or b""), tuple(edge) if more else None)


def _braces(sql: str) -> str:
    return sql.replace("{", "{{").replace("}", "}}")
