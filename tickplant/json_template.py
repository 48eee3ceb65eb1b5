"""Rows of the database as JSON objects that differ only in their values. Pure."""

from collections.abc import Sequence


def fill_template(rows: str, literals: Sequence[str], backwards: bool) -> bytes:
    """Return a JSON array with an object a row.

    Args:
        rows: lines, separated by a newline, of values as they are in JSON, separated by tabs; empty for none.
        literals: what is written before, between and after the values of an object.
        backwards: whether the last row is the first object.

    Raises:
        ValueError: a row has more or fewer values than there is room for.
    """
    if not rows:
        return b"[]"
    lines = rows.split("\n")
    if backwards:
        lines.reverse()
    first, *inner, last = literals
    if any(line.count("\t") != len(inner) for line in lines):
        raise ValueError(f"each row needs {len(inner) + 1} values")
    values = "\t".join(lines).split("\t")
    parts = [""] * (2 * len(values))
    parts[::2] = [f"{last},{first}", *inner] * len(lines)
    parts[1::2] = values
    parts[0] = f"[{first}"
    return f"{''.join(parts)}{last}]".encode()
