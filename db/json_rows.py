"""Pages of lists as JSON, with the fields and the notation of the API's views.

The database has every digit of a number as text: it writes the values of a page as one text, and the kernel
what is between them. So no value becomes an object here only to be encoded again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import asyncpg

from tickplant.kernel import fill_template
from tickplant.streams import CANDLES_ROLE

_TIME: Final = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
"""As `tickplant.times.format_time`; sessions are in UTC."""


class JsonPage(NamedTuple):
    """A page of rows in ascending order."""

    rows: bytes
    """A JSON array of objects."""
    edge: tuple[Any, ...] | None
    """The key of the row beside which the next page begins; None where there are no more rows."""
    committed: str | None
    """The last stream entry of the partition that the page includes; None if it was never owned, or if no
    partition was given."""


class JsonField(NamedTuple):
    """The SQL of one field of an object, which is never null."""

    value: str
    quoted: bool = False
    """Whether the value is put in quotes; it needs no escaping."""


class JsonPageQuery(NamedTuple):
    """A query of pages, for `fetch_json_page`."""

    sql: str
    literals: tuple[str, ...]
    """What is written around the values of a row."""


def text(column: str) -> JsonField:
    """Return the field of a decimal, or of a text that needs no escaping; never null."""
    return JsonField(column, quoted=True)


def time(column: str) -> JsonField:
    """Return the field of a time that is never null."""
    return JsonField(f"to_char({column}, '{_TIME}')", quoted=True)


def optional_text(column: str) -> JsonField:
    """Return the field of a text that needs no escaping, or null."""
    return JsonField(f"""coalesce('"' || {column} || '"', 'null')""")


def optional_number(column: str) -> JsonField:
    """Return the field of an integer, or null."""
    return JsonField(f"coalesce({column}::text, 'null')")


def boolean(column: str) -> JsonField:
    """Return the field of a boolean, or null."""
    return JsonField(f"coalesce(({column})::text, 'null')")


def json_page_query(
    fields: Mapping[str, JsonField], select: str, *, order: Sequence[str], limit: str, partition: str
) -> JsonPageQuery:
    """Return the query of a page.

    It is one statement, and so sees one snapshot: also without a transaction the page is as of `committed`.
    Its aggregates get the rows in the order of the subquery, as PostgreSQL documents where nothing is joined.

    Args:
        fields: of each object, in order.
        select: the rows from where the page begins, in no order.
        order: the columns that order them, which are the key of a row.
        limit: the SQL of the most rows on a page.
        partition: the SQL of the number of the rows' partition, or null.
    """
    literals = []
    literal = "{"
    for name, field in fields.items():
        quote = '"' if field.quoted else ""
        literals.append(f'{literal}"{name}":{quote}')
        literal = f"{quote},"
    literals.append(f"{literal.removesuffix(',')}}}")
    values = ", ".join(field.value for field in fields.values())
    ordered = ", ".join(f"{column} {{order}}" for column in order)
    edge = "".join(f", (array_agg({column}))[{limit}]" for column in order)
    sql = f"""
        select string_agg(concat_ws(E'\\t', {values}), E'\\n'), count(*) > {limit},
            (select entry_id from lease where role = '{CANDLES_ROLE}' and partition = {partition})
            {edge}
        from ({select} order by {ordered} limit {limit} + 1) as rows
    """  # noqa: S608 - constants only
    return JsonPageQuery(sql, tuple(literals))


async def fetch_json_page(
    connection: asyncpg.Connection, query: JsonPageQuery, *arguments: Any, newest: bool
) -> JsonPage:
    """Return a page.

    Args:
        connection: to the database.
        query: of the page.
        arguments: of the query.
        newest: whether the page ends with the last row rather than beginning with the first.
    """
    row: Any = await connection.fetchrow(query.sql.format(order="desc" if newest else "asc"), *arguments)
    rows, more, committed, *edge = row
    rows = rows or ""
    if more:
        rows = rows[: rows.rindex("\n")]
    return JsonPage(fill_template(rows, query.literals, newest), tuple(edge) if more else None, committed)
