#!/usr/bin/env python3
"""Says whether DuckDB, Polars and pyarrow read a landing alike: row counts, sums, and the types of all columns.

readers.py FOLDER prints one JSON verdict {agree, rows, columns, findings}, and exits with 0 only where all agree.
"""

import json
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def of_arrow(kind):
    """The one name of a type that all three are brought to."""
    if pa.types.is_timestamp(kind):
        return f"timestamp({kind.unit}{',UTC' if kind.tz else ''})"
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list<{of_arrow(kind.value_type)}>"
    if pa.types.is_map(kind):
        return f"map<{of_arrow(kind.key_type)},{of_arrow(kind.item_type)}>"
    if pa.types.is_struct(kind):
        return "struct<" + ",".join(f"{member.name}:{of_arrow(member.type)}" for member in kind) + ">"
    text = str(kind)
    return {
        "string": "utf8",
        "large_string": "utf8",
        "string_view": "utf8",
        "large_binary": "binary",
        "binary_view": "binary",
        "float": "float32",
        "double": "float64",
        "date32[day]": "date",
    }.get(text, text)


def of_duckdb(kind):
    """A DuckDB type under the same names."""
    if kind.id == "list":
        return f"list<{of_duckdb(kind.children[0][1])}>"
    if kind.id == "map":
        (_, key), (_, value) = kind.children
        return f"map<{of_duckdb(key)},{of_duckdb(value)}>"
    if kind.id == "struct":
        return "struct<" + ",".join(f"{name}:{of_duckdb(member)}" for name, member in kind.children) + ">"
    if kind.id == "decimal":
        arguments = dict(kind.children)
        return f"decimal({arguments['precision']},{arguments['scale']})"
    return {
        "boolean": "bool",
        "tinyint": "int8",
        "smallint": "int16",
        "integer": "int32",
        "bigint": "int64",
        "utinyint": "uint8",
        "usmallint": "uint16",
        "uinteger": "uint32",
        "ubigint": "uint64",
        "float": "float32",
        "double": "float64",
        "varchar": "utf8",
        "blob": "binary",
        "timestamp": "timestamp(us)",
        "timestamp_s": "timestamp(s)",
        "timestamp_ms": "timestamp(ms)",
        "timestamp_ns": "timestamp(ns)",
        "timestamp with time zone": "timestamp(us,UTC)",
    }.get(kind.id, kind.id)


def comparable(mine, theirs):
    """Whether DuckDB's type is the file's: it has microseconds only, and reads Parquet's maps and lists as they are."""
    if theirs.startswith("timestamp("):
        return mine.startswith("timestamp(") and ("UTC" in mine) == ("UTC" in theirs)
    return mine == theirs


def is_number(kind):
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def close(one, other):
    """Sums agree: exactly, but for floats, whose sum depends on the order of adding."""
    if one is None or other is None:
        return one is other or not (one or other)
    if isinstance(one, float) or isinstance(other, float):
        return abs(float(one) - float(other)) <= 1e-9 * max(1.0, abs(float(one)))
    return Decimal(one) == Decimal(other)


def main(folder):
    files = sorted(str(path) for path in Path(folder).rglob("*.parquet"))
    findings = []
    if not files:
        json.dump({"agree": False, "rows": 0, "columns": {}, "findings": [f"no Parquet file under {folder}"]}, sys.stdout)
        return 1

    # Files may differ in columns, and in types where a column has widened.
    table = pa.concat_tables((pq.ParquetFile(path).read() for path in files), promote_options="permissive")
    frame = pl.concat((pl.scan_parquet(path, hive_partitioning=False) for path in files), how="diagonal_relaxed")
    duck = duckdb.connect()
    duck.execute("SET TimeZone = 'UTC'")
    landing = "read_parquet($files, hive_partitioning = false, union_by_name = true)"

    def ask(query):
        return duck.execute(f"SELECT {query} FROM {landing}", {"files": files})


    polars_types = {name: of_arrow(field.type) for name, field in polars_fields(frame)}
    duckdb_types = {name: of_duckdb(kind) for name, kind, *_ in ask("*").description}
    columns = {field.name: of_arrow(field.type) for field in table.schema}
    for name, kind in columns.items():
        # Polars reads a map as the list of structs that Parquet stores.
        flat = "list<struct<key:" + kind[4:-1].replace(",", ",value:", 1) + ">>" if kind.startswith("map<") else kind
        if polars_types.get(name) not in (kind, flat):
            findings.append(f"{name}: pyarrow has {kind}, Polars {polars_types.get(name)}")
        if not comparable(kind, duckdb_types.get(name, "nothing")):
            findings.append(f"{name}: pyarrow has {kind}, DuckDB {duckdb_types.get(name)}")

    rows = {
        "pyarrow": table.num_rows,
        "Polars": frame.select(pl.len()).collect().item(),
        "DuckDB": ask("count(*)").fetchone()[0],
    }
    if len(set(rows.values())) != 1:
        findings.append(f"rows: {rows}")
    for field in table.schema:
        name = field.name
        quoted = '"' + name.replace('"', '""') + '"'
        counts = {
            "pyarrow": table.num_rows - table.column(name).null_count,
            "Polars": frame.select(pl.col(name).count()).collect().item(),
            "DuckDB": ask(f"count({quoted})").fetchone()[0],
        }
        if len(set(counts.values())) != 1:
            findings.append(f"{name}: values {counts}")
        if is_number(field.type):
            column = table.column(name)
            if pa.types.is_integer(field.type):
                column = column.cast(pa.decimal128(38, 0))
            elif pa.types.is_decimal(field.type):
                column = column.cast(pa.decimal128(38, field.type.scale))
            mine = pc.sum(column).as_py()
            polars_column = pl.col(name).cast(pl.Decimal(38, 0)) if pa.types.is_integer(field.type) else pl.col(name)
            sums = {
                "Polars": frame.select(polars_column.sum()).collect().item(),
                "DuckDB": ask(f"sum({quoted})").fetchone()[0],
            }
            for reader, theirs in sums.items():
                if not close(mine, theirs):
                    findings.append(f"{name}: sums to {mine} by pyarrow, {theirs} by {reader}")

    json.dump({"agree": not findings, "rows": table.num_rows, "columns": columns, "findings": findings}, sys.stdout, indent=2)
    print()
    return 1 if findings else 0


def polars_fields(frame):
    """Polars' columns with their Arrow types, from an empty frame of that schema."""
    empty = pl.DataFrame(schema=frame.collect_schema()).to_arrow()
    return [(field.name, field) for field in empty.schema]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
