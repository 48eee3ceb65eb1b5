"""Reads CSV at an address with pandas, polars and DuckDB.

Usage: python frames.py ADDRESS. Prints the columns and the rows that each finds, as texts.
"""

import json
import sys

import duckdb
import pandas
import polars
from duckdb_extension_httpfs import __path__ as extension

(address,) = sys.argv[1:]


def of_pandas():
    frame = pandas.read_csv(address, dtype=str, keep_default_na=False)
    return [list(frame.columns), frame.values.tolist()]


def of_polars():
    # By itself polars requests ranges of bytes; with this encoding it reads the address from start to end.
    frame = polars.read_csv(address, encoding="utf-8", infer_schema=False)
    return [frame.columns, [[value or "" for value in row] for row in frame.rows()]]


def of_duckdb():
    connection = duckdb.connect()
    connection.load_extension(f"{extension[0]}/extensions/v{duckdb.__version__}/httpfs.duckdb_extension")
    query = connection.execute("select * from read_csv(?, all_varchar = true)", [address])
    columns = [column[0] for column in query.description]
    return [columns, [[value or "" for value in row] for row in query.fetchall()]]


print(json.dumps({"pandas": of_pandas(), "polars": of_polars(), "duckdb": of_duckdb()}))
