#!/usr/bin/env python3
"""Asks `rdp sql` and DuckDB the same generated questions about the same files, and compares the answers.

sql_beside_duckdb.py RDP [--queries N] [--seed N] [--show] prints one JSON verdict {queries, agree, refused, wider,
findings} and exits with 0 only where nothing differs. Refused: RDP said that it does not run it. Wider: DuckDB's number
did not fit its type and RDP's did.
"""

import argparse
import base64
import datetime as dt
import json
import math
import random
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

UTC = dt.timezone.utc
WORDS = ["", "a", "A", "b", "ab", "aB%", "a_b", "Ä", "ß", "été", "paid", "new", "Zoo", " x ", "10", "-3", "a'b", "日本", None, None]
INTEGERS = {"i8": (pa.int8(), 8, True), "i16": (pa.int16(), 16, True), "i32": (pa.int32(), 32, True), "i64": (pa.int64(), 64, True),
            "u8": (pa.uint8(), 8, False), "u16": (pa.uint16(), 16, False), "u32": (pa.uint32(), 32, False), "u64": (pa.uint64(), 64, False)}


def edge(random, bits, signed):
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    pick = random.random()
    if pick < 0.15:
        return None
    if pick < 0.4:
        return random.choice([low, high, high - 1])
    return max(low, min(high, random.randint(-20, 100)))


def maybe(random, value):
    return None if random.random() < 0.15 else value


def rows(random, topic, partition, start, count):
    made = []
    for offset in range(start, start + count):
        row = {name: edge(random, bits, signed) for name, (_, bits, signed) in INTEGERS.items()}
        row |= {
            "k": maybe(random, random.randint(0, 6)),
            "s": random.choice(WORDS),
            "flag": maybe(random, random.random() < 0.5),
            "f32": maybe(random, random.choice([0.1, -2.5, 1e20, 3.0, -0.0, 16777216.0])),
            "f64": maybe(random, random.choice([0.1, 1.79e308, 5e-324, -2.5, 0.0, -0.0, 1e22, random.uniform(-1e6, 1e6)])),
            "d": maybe(random, Decimal(random.randint(-99999, 99999)).scaleb(-2)),
            "dd": maybe(random, Decimal(random.choice([0, 1, 15, 25, -5, 12345678901234567890])).scaleb(-10)),
            "bin": maybe(random, random.choice([b"", b"abc", b"\xff\x00", b"a'\\\"~"])),
            "day": maybe(random, dt.date(1970, 1, 1) + dt.timedelta(random.choice([-1, 0, 59, 20454, 20819, 11016]))),
            "ts": maybe(random, dt.datetime(2026, 1, 1, tzinfo=UTC) + dt.timedelta(milliseconds=random.choice([0, -1, 1500, 86400000, 40 * 86400000 + 7]))),
            "tu": maybe(random, dt.datetime(1969, 12, 31, 23, 59, 59) + dt.timedelta(microseconds=random.choice([0, 1, 999999, 1000001, 10**15]))),
            "nest": maybe(random, {"a": maybe(random, random.randint(-5, 5)), "b": random.choice(WORDS)}),
            "tags": maybe(random, ["x"] * random.randint(0, 3)),
            "_kafka_topic": topic, "_kafka_partition": partition, "_kafka_offset": offset,
            "_kafka_key": random.choice([b"k1", b"k2", b"\xfe", None]),
            "_kafka_tombstone": random.random() < 0.1,
            "_kafka_timestamp": dt.datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC) + dt.timedelta(seconds=offset),
        }
        made.append(row)
    return made


TYPES = {name: of for name, (of, *_) in INTEGERS.items()} | {
    "k": pa.int64(), "s": pa.string(), "flag": pa.bool_(), "f32": pa.float32(), "f64": pa.float64(), "d": pa.decimal128(10, 2),
    "dd": pa.decimal128(38, 10), "bin": pa.binary(), "day": pa.date32(), "ts": pa.timestamp("ms", "UTC"), "tu": pa.timestamp("us"),
    "nest": pa.struct([("a", pa.int64()), ("b", pa.string())]), "tags": pa.list_(pa.string()),
    "_kafka_topic": pa.string(), "_kafka_partition": pa.int32(), "_kafka_offset": pa.int64(), "_kafka_key": pa.binary(),
    "_kafka_tombstone": pa.bool_(), "_kafka_timestamp": pa.timestamp("ms", "UTC"),
}


def land(folder, random):
    """Two topics: files that lack columns, that gained some, and one of no rows that knows no payload."""
    def write(topic, partition, start, count, names):
        table = pa.Table.from_pylist(rows(random, topic, partition, start, count), pa.schema([(name, TYPES[name]) for name in names]))
        path = folder / f"topic={topic}" / f"partition={partition}" / f"{start:020}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)

    every = list(TYPES)
    kafka = [name for name in every if name.startswith("_kafka")]
    few = ["k", "s", "i32", "i64", "d", "f64", "flag", "ts"] + kafka
    write("a", 0, 0, 25, every)
    write("a", 0, 25, 8, [name for name in every if name not in ("u16", "dd", "tu")])
    write("a", 1, 0, 20, every)
    write("a", 2, 0, 0, kafka)
    write("b", 0, 0, 14, few)
    write("b", 0, 14, 5, [name for name in few if name != "flag"])
    write("none", 0, 0, 0, every)


class Questions:
    """A grammar of queries with types, so that most of what it says makes sense."""

    COLUMNS = {
        "int": ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "k", "_kafka_offset", "_kafka_partition"],
        "float": ["f64", "f32"], "dec": ["d", "dd"], "text": ["s"], "bool": ["flag", "_kafka_tombstone"], "date": ["day"],
        "time": ["ts", "tu"], "bin": ["bin", "_kafka_key"],
    }
    FEW = {"int": ["k", "i32", "i64", "_kafka_offset"], "float": ["f64"], "dec": ["d"], "text": ["s"], "bool": ["flag"], "date": [],
           "time": ["ts"], "bin": ["_kafka_key"]}

    def __init__(self, random):
        self.random = random

    def pick(self, *choices):
        return self.random.choice(choices)

    def literal(self, of):
        r = self.random
        return {
            "int": lambda: str(r.choice([0, 1, 2, 3, -1, 7, 100, 1000, 2147483647, 9223372036854775807, 18446744073709551615])),
            "float": lambda: r.choice(["0.5e0", "1e307", "-2.5e0", "1e0", "0e0"]),
            "dec": lambda: r.choice(["0.5", "1.25", "-2.005", "100.0", "0.0"]),
            "text": lambda: r.choice(["'a'", "'paid'", "''", "'Ä'", "'a''b'", "'%'", "'10'"]),
            "bool": lambda: r.choice(["TRUE", "FALSE"]),
            "date": lambda: r.choice(["DATE '2026-01-01'", "DATE '1970-01-01'"]),
            "time": lambda: r.choice(["TIMESTAMP '2026-01-01 00:00:00'", "TIMESTAMP '1970-01-01 00:00:00.5'"]),
            "bin": lambda: "NULL",
        }[of]()

    def value(self, of, depth, table=None, columns=None):
        columns = columns or self.COLUMNS
        r = self.random
        again = lambda kind, less=1: self.value(kind, depth - less, table, columns)
        names = columns[of]
        if depth <= 0 or r.random() < 0.3:
            if names and r.random() < 0.8:
                name = r.choice(names)
                return f"{table}.{name}" if table else name
            return self.literal(of)
        number = lambda: again(r.choice(["int", "int", "dec", "float"]))
        any_kind = lambda: r.choice(["int", "float", "dec", "text", "bool", "date", "time"])
        forms = {
            "int": [
                lambda: f"({again('int')} {r.choice('+-*')} {again('int')})", lambda: f"({again('int')} // {r.choice(['2', '7', '-3'])})",
                lambda: f"({again('int')} % {r.choice(['2', '7', '-3'])})", lambda: f"-({again('int')})", lambda: f"ABS({again('int')})",
                lambda: f"LENGTH({again('text')})", lambda: f"STRPOS({again('text')}, {again('text')})", lambda: f"STRLEN({again('text')})",
                lambda: f"CAST({again('float')} AS BIGINT)", lambda: f"CAST({again('dec')} AS INTEGER)", lambda: f"CAST({again('bool')} AS INTEGER)",
                lambda: f"CAST({again('int')} AS {r.choice(['TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'UBIGINT', 'HUGEINT'])})",
                lambda: f"EXTRACT({r.choice(['year', 'month', 'day', 'dow', 'week', 'quarter', 'doy', 'isodow'])} FROM {again(r.choice(['date', 'time']))})",
                lambda: f"DATE_PART('{r.choice(['hour', 'minute', 'second'])}', {again('time')})", lambda: f"EPOCH_MS({again('time')})",
                lambda: f"SIGN({again('int')})", lambda: f"ROUND({again('int')}, {r.choice([0, 1, -1, -2])})", lambda: "nest.a" if columns is self.COLUMNS and not table else "k",
                lambda: "LEN(tags)" if columns is self.COLUMNS and not table else "k", lambda: f"TRY_CAST({again('text')} AS INTEGER)", lambda: f"MOD({again('int')}, 5)",
            ],
            "float": [
                lambda: f"({again('float')} {r.choice('+-*/')} {number()})", lambda: f"({number()} / {number()})", lambda: f"ABS({again('float')})",
                lambda: f"{r.choice(['FLOOR', 'CEIL', 'ROUND', 'TRUNC'])}({again('float')})", lambda: f"SQRT(ABS({number()}))", lambda: f"CAST({again(r.choice(['int', 'dec']))} AS DOUBLE)",
                lambda: f"POWER({again('int')}, 2)", lambda: f"CAST({again('float')} AS FLOAT)", lambda: f"EPOCH({again('time')})", lambda: f"LN({again('int')})",
                lambda: f"ROUND({again('float')}, 2)", lambda: f"CAST(s AS DOUBLE)" if not table else "f64",
            ],
            "dec": [
                lambda: f"({again('dec')} {r.choice('+-*')} {again(r.choice(['dec', 'int']))})", lambda: f"-({again('dec')})", lambda: f"ABS({again('dec')})",
                lambda: f"CAST({again('int')} AS DECIMAL(38,{r.choice([0, 2])}))", lambda: f"CAST({again('dec')} AS DECIMAL(12,1))", lambda: f"ROUND({again('dec')}, {r.choice([0, 1, 2])})",
                lambda: f"{r.choice(['FLOOR', 'CEIL', 'ROUND', 'TRUNC'])}({again('dec')})", lambda: f"({again('dec')} % 3)",
            ],
            "text": [
                lambda: f"{r.choice(['UPPER', 'LOWER', 'TRIM', 'LTRIM', 'RTRIM'])}({again('text')})", lambda: f"({again('text')} || {again(r.choice(['text', 'int', 'bool']))})",
                lambda: f"SUBSTR({again('text')}, {r.choice([1, 2, 0, -2])}{r.choice(['', ', 2', ', 0', ', 1'])})", lambda: f"REPLACE({again('text')}, {again('text')}, 'z')",
                lambda: f"{r.choice(['LEFT', 'RIGHT'])}({again('text')}, {r.choice([0, 1, 2, -1])})", lambda: f"CONCAT({again('text')}, {again(r.choice(['text', 'int', 'dec']))})",
                lambda: f"CAST({again(r.choice(['int', 'dec', 'bool', 'date', 'time', 'bin']))} AS VARCHAR)", lambda: "nest.b" if columns is self.COLUMNS and not table else "s",
                lambda: f"HEX({again('bin')})",
            ],
            "bool": [
                lambda: self.condition(depth - 1, table, columns),
            ],
            "date": [lambda: f"CAST({again('time')} AS DATE)"],
            "time": [lambda: f"DATE_TRUNC('{r.choice(['year', 'quarter', 'month', 'week', 'day', 'hour', 'minute', 'second'])}', {again(r.choice(['time', 'date']))})",
                     lambda: f"CAST({again('date')} AS TIMESTAMP)"],
            "bin": [],
        }[of]
        forms += [
            lambda: f"CASE WHEN {self.condition(depth - 1, table, columns)} THEN {again(of)} {r.choice(['', 'ELSE ' + again(of) + ' '])}END",
            lambda: f"COALESCE({again(of)}, {again(of)})", lambda: f"NULLIF({again(of)}, {again(of)})",
        ]
        if of not in ("bin", "bool"):
            forms.append(lambda: f"{r.choice(['GREATEST', 'LEAST'])}({again(of)}, {again(of)})")
        return r.choice(forms)()

    def condition(self, depth, table=None, columns=None):
        r = self.random
        of = r.choice(["int", "int", "float", "dec", "text", "date", "time", "bool"])
        value = lambda kind=of: self.value(kind, depth - 1, table, columns)
        number = lambda: self.value(r.choice(["int", "dec", "float"]), depth - 1, table, columns)
        forms = [
            lambda: f"{value()} {r.choice(['=', '<>', '<', '<=', '>', '>='])} {value()}", lambda: f"{number()} {r.choice(['=', '<', '>='])} {number()}",
            lambda: f"{value()} IS {r.choice(['', 'NOT '])}NULL", lambda: f"{value()} {r.choice(['', 'NOT '])}BETWEEN {value()} AND {value()}",
            lambda: f"{value()} {r.choice(['', 'NOT '])}IN ({value()}, {value()}, {r.choice([value(), 'NULL'])})",
            lambda: f"{value('text')} {r.choice(['', 'NOT '])}{r.choice(['LIKE', 'ILIKE'])} {r.choice(WORDS_LIKE)}",
            lambda: f"{value('text')} LIKE 'a!%%' ESCAPE '!'", lambda: f"{value()} IS {r.choice(['', 'NOT '])}DISTINCT FROM {value()}",
            lambda: f"{r.choice(['STARTS_WITH', 'CONTAINS', 'ENDS_WITH'])}({value('text')}, {value('text')})",
        ]
        if depth > 0:
            less = lambda: f"({self.condition(depth - 1, table, columns)})"
            forms += [lambda: f"{less()} AND {less()}", lambda: f"{less()} OR {less()}", lambda: f"NOT {less()}",
                      lambda: f"{less()} IS {r.choice(['TRUE', 'NOT TRUE', 'FALSE', 'NOT FALSE'])}"]
        return r.choice(forms)()

    def aggregate(self, depth, table=None, columns=None):
        r = self.random
        number = lambda: self.value(r.choice(["int", "int", "dec", "float"]), depth, table, columns)
        any_kind = lambda: self.value(r.choice(["int", "float", "dec", "text", "bool", "date", "time"]), depth, table, columns)
        return r.choice([
            lambda: "COUNT(*)", lambda: f"COUNT({any_kind()})", lambda: f"COUNT(DISTINCT {any_kind()})", lambda: f"SUM({number()})", lambda: f"SUM({number()})",
            lambda: f"AVG({number()})", lambda: f"MIN({any_kind()})", lambda: f"MAX({any_kind()})",
            lambda: f"{r.choice(['BOOL_AND', 'BOOL_OR'])}({self.condition(depth, table, columns)})",
            lambda: f"COUNT(*) FILTER (WHERE {self.condition(depth, table, columns)})", lambda: f"SUM({number()}) FILTER (WHERE {self.condition(depth, table, columns)})",
        ])()

    def where(self):
        return f" WHERE {self.condition(2)}" if self.random.random() < 0.5 else ""

    def question(self):
        r = self.random
        kind = r.choice(["values", "values", "values", "group", "group", "whole", "join", "join", "window", "union", "subquery", "distinct", "order"])
        some = lambda: r.choice(["int", "int", "float", "dec", "text", "bool", "date", "time", "bin"])
        order = r.choice(["", " DESC", " NULLS FIRST", " DESC NULLS LAST"])
        if kind == "values":
            columns = ", ".join(f"{self.value(some(), 3)} AS c{n}" for n in range(r.randint(1, 3)))
            return f"SELECT {columns} FROM a{self.where()}"
        if kind == "whole":
            columns = ", ".join(f"{self.aggregate(2)} AS c{n}" for n in range(r.randint(1, 3)))
            return f"SELECT {columns} FROM {r.choice(['a', 'a', 'none'])}{self.where()}"
        if kind == "group":
            keys = [self.value(some(), 1) for _ in range(r.randint(1, 2))]
            having = f" HAVING {self.aggregate(0)} IS NOT NULL AND COUNT(*) > {r.randint(0, 2)}" if r.random() < 0.4 else ""
            shown = ", ".join(f"{key} AS g{n}" for n, key in enumerate(keys))
            by = ", ".join(r.choice([key, f"g{n}", str(n + 1)]) if not key.lstrip("-").replace(".", "").isdigit() and "e" not in key[:4] else f"{n + 1}" for n, key in enumerate(keys))
            if r.random() < 0.2:
                by = "ALL"
            return f"SELECT {shown}, {self.aggregate(1)} AS c0, {self.aggregate(1)} AS c1 FROM a{self.where()} GROUP BY {by}{having}"
        if kind == "join":
            how = r.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "JOIN"])
            on = r.choice(["x.k = y.k", "x.i32 = y.i32", "x.s = y.s AND x.k = y.k", "x.k = y.i64", "x.d = y.d", "x.ts = y.ts", "x.k = y.k AND x._kafka_offset > y._kafka_offset",
                           "x.k = y.k AND y.flag", "x.k = y.k AND y._kafka_offset > 5", "x.k = y.k AND x._kafka_offset > 5", "x.f64 = y.f64", "y.k = x.k", "x.k + 1 = y.k", "x.u64 = y.i64", "x._kafka_key = y._kafka_key"])
            condition = f" WHERE {self.condition(1, r.choice('xy'), self.FEW)}" if r.random() < 0.3 else ""
            if r.random() < 0.4:
                return f"SELECT {self.aggregate(1, 'x', self.FEW)} AS c0, {self.aggregate(1, 'y', self.FEW)} AS c1, COUNT(*) AS n FROM a AS x {how} b AS y ON {on}{condition}"
            if r.random() < 0.2:
                return f"SELECT k, x._kafka_offset AS c0, y._kafka_offset AS c1 FROM a AS x {how} b AS y USING (k)"
            kind_x, kind_y = (r.choice(["int", "float", "dec", "text", "bool", "time"]) for _ in "xy")
            return f"SELECT x._kafka_partition AS p, x._kafka_offset AS o, y._kafka_offset AS q, {self.value(kind_x, 1, 'x', self.FEW)} AS c0, {self.value(kind_y, 1, 'y', self.FEW)} AS c1 FROM a AS x {how} b AS y ON {on}{condition}"
        if kind == "window":
            by = self.value(r.choice(["int", "text", "bool"]), 0)
            part = f"PARTITION BY {by} " if r.random() < 0.7 else ""
            whole = f"{part}ORDER BY {self.value(some(), 0) if r.random() < 0.5 else 'i32'}{order}, _kafka_partition, _kafka_offset"
            function = r.choice(["ROW_NUMBER()", "RANK()", "DENSE_RANK()", "LAG(i64)", "LEAD(s, 2)", "SUM(i32)", "COUNT(s)", "AVG(i16)", "SUM(u64)", "LAG(d)", "COUNT(*)"])
            if r.random() < 0.3:
                tied = f"{part}ORDER BY k{order}"
                return f"SELECT _kafka_partition AS p, _kafka_offset AS o, {r.choice(['RANK()', 'DENSE_RANK()', 'SUM(i32)', 'COUNT(s)', 'COUNT(*)', 'AVG(u8)'])} OVER ({tied}) AS c0 FROM a{self.where()}"
            if r.random() < 0.3:
                return f"SELECT _kafka_partition AS p, _kafka_offset AS o, {r.choice(['SUM(i64)', 'MAX(s)', 'MIN(d)', 'COUNT(flag)', 'AVG(i8)', 'MAX(f64)'])} OVER ({part.strip()}) AS c0 FROM a{self.where()}"
            if r.random() < 0.3:
                return f"SELECT _kafka_partition AS p, _kafka_offset AS o, s AS c0 FROM a{self.where()} QUALIFY ROW_NUMBER() OVER ({whole}) = 1"
            return f"SELECT _kafka_partition AS p, _kafka_offset AS o, {function} OVER ({whole}) AS c0 FROM a{self.where()}"
        if kind == "union":
            kinds = [r.choice(["int", "float", "dec", "text", "bool", "time"]) for _ in range(r.randint(1, 2))]
            one = ", ".join(f"{self.value(of, 1)} AS c{n}" for n, of in enumerate(kinds))
            other = ", ".join(self.value(of, 1, None, self.FEW) for of in kinds)
            return f"SELECT {one} FROM a{self.where()} {r.choice(['UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT'])} SELECT {other} FROM b"
        if kind == "subquery":
            return r.choice([
                lambda: f"SELECT _kafka_partition AS p, _kafka_offset AS o FROM a WHERE k {r.choice(['', 'NOT '])}IN (SELECT {r.choice(['k', 'i64', 'k + 1', 'i32'])} FROM b{r.choice(['', ' WHERE k IS NOT NULL', ' WHERE FALSE'])})",
                lambda: f"SELECT _kafka_offset AS o FROM a WHERE i64 > (SELECT {r.choice(['MIN', 'MAX', 'AVG'])}({r.choice(['i64', 'k', 'd'])}) FROM b)",
                lambda: f"SELECT g, SUM(n) AS c0 FROM (SELECT k AS g, COUNT(*) AS n, SUM(i32) AS t FROM a GROUP BY k, flag) AS t GROUP BY g",
                lambda: f"WITH t AS (SELECT k, {self.value('int', 2)} AS v FROM a{self.where()}), u AS (SELECT k, COUNT(*) AS n FROM b GROUP BY k) SELECT t.k AS g, v AS c0, n AS c1 FROM t LEFT JOIN u ON t.k = u.k",
                lambda: f"SELECT COUNT(*) AS n FROM a WHERE {r.choice(['', 'NOT '])}EXISTS (SELECT 1 FROM b WHERE k {r.choice(['> 3', '> 100'])})",
                lambda: f"SELECT COUNT(*) AS n, SUM(x.i32) AS c0 FROM a AS x, b AS y WHERE x.k = y.k AND x.i32 > y.i32",
                lambda: f"SELECT COUNT(*) AS n FROM a AS x CROSS JOIN b AS y WHERE {self.condition(1, 'y', self.FEW)}",
            ])()
        if kind == "distinct":
            return f"SELECT DISTINCT {self.value(some(), 1)} AS c0, {self.value(r.choice(['int', 'bool', 'text']), 0)} AS c1 FROM a{self.where()}"
        key = self.value(r.choice(["int", "float", "dec", "text", "bool", "date", "time", "bin"]), 1)
        limit = r.choice(["", " LIMIT 7", " LIMIT 5 OFFSET 3", " OFFSET 40"])
        return f"SELECT _kafka_partition AS p, _kafka_offset AS o, {key} AS c0 FROM a{self.where()} ORDER BY {r.choice(['c0', '3'])}{order}, p, o{limit}"


WORDS_LIKE = ["'a%'", "'%b%'", "'_'", "'%'", "''", "'A_'", "'%\\%'", "'ä%'", "s"]


def normal(value):
    """A value in a form in which both sides' can be compared."""
    if isinstance(value, bool) or value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "inf" if value > 0 else "-inf"
        return value
    if isinstance(value, (bytes, bytearray)):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return "base64:" + base64.b64encode(value).decode()
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None).isoformat(timespec="microseconds")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, dict):
        return {name: normal(item) for name, item in value.items()}
    return value


def same(mine, theirs, of):
    if theirs is None or mine is None:
        return theirs is None and mine is None
    if isinstance(theirs, bool) or isinstance(mine, bool):
        return mine is theirs
    if isinstance(theirs, Decimal) or isinstance(theirs, int):
        try:
            return Decimal(str(mine)) == Decimal(theirs)
        except ArithmeticError:
            return False
    if isinstance(theirs, float):
        if not isinstance(mine, (int, float)):
            return False
        return mine == theirs or abs(mine - theirs) <= (1e-6 if of == "FLOAT" else 1e-9) * max(abs(theirs), abs(mine))
    if of.startswith("TIMESTAMP") and isinstance(mine, str):
        return dt.datetime.fromisoformat(mine.rstrip("Z")).isoformat(timespec="microseconds") == theirs
    return str(mine) == str(theirs) if isinstance(theirs, str) else mine == theirs


def sort_key(row, types):
    """A row as it is sorted: numbers by their value, floats by the digits that two sums in another order have alike."""
    def key(value, of):
        if of in ("DOUBLE", "FLOAT") and isinstance(value, (int, float)) and not isinstance(value, bool):
            return f"{float(value) + 0.0:.5e}"
        exact = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
        return f"{Decimal(value).normalize():f}" if exact else f"~{value}"

    return [key(value, of) for value, of in zip(row, types)]


def ask_duckdb(connection, query):
    """Rows as lists, with the types of their columns; times come as they are in UTC."""
    described = connection.execute(f"DESCRIBE {query}").fetchall()
    names, types = [row[0] for row in described], [row[1] for row in described]
    picked = ", ".join(f'epoch_us("{name}") AS "{name}"' if of == "TIMESTAMP WITH TIME ZONE" else f'"{name}"' for name, of in zip(names, types))
    answer = connection.execute(f"SELECT {picked} FROM ({query})").fetchall()
    zoned = [of == "TIMESTAMP WITH TIME ZONE" for of in types]
    epoch = dt.datetime(1970, 1, 1)
    rows = [[normal(epoch + dt.timedelta(microseconds=value) if is_zoned and value is not None else value) for value, is_zoned in zip(row, zoned)] for row in answer]
    return names, types, rows


def ask_rdp(rdp, landing, query):
    ran = subprocess.run([rdp, "sql", query, "--landing", str(landing), "--output", "json"], capture_output=True, text=True, timeout=120)
    if ran.returncode:
        return ran.returncode, " ".join(ran.stderr.replace("│", " ").split())
    rows = json.loads(ran.stdout)
    for row in rows:
        for name in [name for name in row if name.endswith("_base64")]:
            row[name.removesuffix("_base64")] = "base64:" + row.pop(name)
    return 0, rows


def compare(types, names, theirs, mine, is_ordered):
    if len(theirs) != len(mine):
        return f"{len(mine)} rows, not {len(theirs)}"
    if any(set(row) != set(names) for row in mine):
        return f"columns {list(mine[0])}, not {names}"
    # What is a number here and text there (decimals, wide integers) is brought to numbers to be sorted alike.
    def number(value, of):
        if isinstance(value, str) and (of.startswith("DECIMAL") or of in ("HUGEINT", "UHUGEINT", "BIGNUM")):
            return Decimal(value)
        if isinstance(value, str) and of.startswith("TIMESTAMP"):
            return dt.datetime.fromisoformat(value.rstrip("Z")).isoformat(timespec="microseconds")
        return value
    mine = [[number(row[name], of) for name, of in zip(names, types)] for row in mine]
    if not is_ordered:
        mine, theirs = (sorted(rows, key=lambda row: sort_key(row, types)) for rows in (mine, theirs))
    for one, other in zip(mine, theirs):
        for value, wanted, of in zip(one, other, types):
            if not same(value, wanted, of):
                return f"{one}, not {other}"
    return None


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("rdp")
    arguments.add_argument("--queries", type=int, default=600)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--show", action="store_true")
    arguments.add_argument("--readme", help="run the queries of this page, as they are written, over a landing that folders could spoil")
    arguments = arguments.parse_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        landing = Path(folder)
        land(landing, chance)
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        for topic in ("a", "b", "none"):
            files = f"{landing}/topic={topic}/*/*.parquet"
            connection.execute(f'CREATE VIEW "{topic}" AS SELECT * FROM read_parquet(\'{files}\', hive_partitioning = false, union_by_name = true)')
        questions = Questions(chance)
        queries = FIXED + [questions.question() for _ in range(arguments.queries)]
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda query: ask_rdp(arguments.rdp, landing, query), queries))
        counts, findings, reasons, wider = Counter(), [], Counter(), []
        for query, (code, mine) in zip(queries, answers):
            try:
                names, types, theirs = ask_duckdb(connection, query)
            except duckdb.Error as error:
                theirs = str(error)
            if code == 10:
                counts["refused"] += 1
                reasons[mine] += 1
                if arguments.show:
                    print("refused", query, "\n   ", mine[:400], "\n    DuckDB:", str(theirs)[:160], file=sys.stderr)
            elif code:
                findings.append(f"{query}: rdp ended with {code}: {mine[:300]}")
            elif isinstance(theirs, str):
                counts["wider"] += 1
                wider.append((query, theirs))
                if not any(word in theirs for word in ("Out of Range", "Conversion Error", "out of range", "Overflow", "overflow")):
                    findings.append(f"{query}: DuckDB ends with {theirs[:200]}, rdp answers {mine[:1]}")
            else:
                difference = compare(types, names, theirs, mine, "ORDER BY c0" in query or "ORDER BY 3" in query)
                if difference:
                    findings.append(f"{query}: {difference}")
                else:
                    counts["agree"] += 1
        if arguments.show:
            for query, error in wider:
                print("wider", query, "\n   ", error[:120].replace("\n", " "), file=sys.stderr)
    if arguments.readme:
        findings += readme(Path(arguments.readme))
    json.dump({"queries": len(queries), "agree": counts["agree"], "refused": counts["refused"], "wider": counts["wider"], "findings": findings}, sys.stdout, indent=1)
    print()
    return 1 if findings else 0


def readme(page):
    """Runs what a page has after `duckdb -c`, where payload fields bear the names of folders and files lack columns."""
    queries = [line.split('"', 1)[1].rsplit('"', 1)[0] for line in page.read_text().splitlines() if "duckdb -c " in line]
    findings = [] if queries else [f"{page} has no query for DuckDB"]
    with tempfile.TemporaryDirectory() as folder:
        def write(partition, start, columns):
            path = Path(folder) / f"landing/topic=orders/partition={partition}/{start:020}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(columns), path)

        amounts = pa.array([Decimal("1.50"), None], pa.decimal128(10, 2))
        write(0, 0, {"amount": amounts, "topic": ["tea", "coffee"], "partition": ["north", None], "_kafka_offset": [0, 1]})
        write(0, 2, {"topic": ["milk"], "partition": ["south"], "_kafka_offset": [2]})
        write(1, 0, {"_kafka_offset": pa.array([], pa.int64())})
        for query in queries:
            query = query.replace("'landing/", f"'{folder}/landing/")
            source = query[query.index("FROM"):]
            try:
                sums = duckdb.sql(query).fetchall()
                names = duckdb.sql(f'SELECT topic, "partition" {source} ORDER BY _kafka_offset').fetchall()
            except duckdb.Error as error:
                findings.append(f"{query} fails: {error}")
                continue
            if sums != [(3, Decimal("1.50"))]:
                findings.append(f"{query} gives {sums}")
            if names != [("tea", "north"), ("coffee", None), ("milk", "south")]:
                findings.append(f"{query}: folders stand for fields: {names}")
    return findings


# What was once answered wrongly, and what a person writes.
FIXED = [
    "SELECT SUM(i32) AS c0, SUM(i8) AS c1, SUM(u64) AS c2 FROM a",
    "SELECT i8 * 1000 AS c0, i32 + i32 AS c1, i64 - 1 AS c2 FROM a",
    "SELECT COUNT(*) AS n FROM a LEFT JOIN b ON a.k = b.k AND a._kafka_offset > b._kafka_offset",
    "SELECT COUNT(*) AS n FROM a LEFT JOIN b ON a.k = b.k AND b._kafka_offset > 5",
    "SELECT COUNT(*) AS n FROM a JOIN b ON a.k = b.k AND b._kafka_offset > 5 AND a._kafka_offset < 10",
    "SELECT COUNT(*) AS n FROM a WHERE u64 = 18446744073709551615",
    "SELECT COUNT(*) AS n FROM a WHERE f64 > 1e307",
    "SELECT f64 AS c0, f32 AS c1 FROM a",
    "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY _kafka_key ORDER BY _kafka_offset DESC, _kafka_partition) AS nth FROM a) WHERE nth = 1 AND NOT _kafka_tombstone",
    "SELECT * EXCLUDE (nest, tags) FROM a ORDER BY _kafka_partition, _kafka_offset LIMIT 3",
    "SELECT s AS status, COUNT(*) AS n FROM a GROUP BY status ORDER BY n DESC, status",
    "SELECT a.* FROM a JOIN b USING (k)",
    "SELECT * FROM a WHERE ts >= '2026-01-01'",
    "SELECT 1 AS c0 FROM a", "SELECT SUM(1) AS c0, COUNT(*) AS n FROM none", "SELECT 1 + 1 AS c0", "SELECT AVG(d) AS c0, AVG(i64) AS c1 FROM a",
    "SELECT BOOL_AND(k = i8) AS c0 FROM a", "SELECT SUM(d) > 1.234 AS c0 FROM a", "SELECT COALESCE(d, 0.125) AS c0 FROM a", "SELECT MAX(f64) AS c0, MIN(f64) AS c1 FROM a",
    "SELECT DISTINCT k FROM a ORDER BY k", "SELECT _kafka_offset % 2 AS odd, COUNT(*) AS n FROM a GROUP BY odd HAVING n > 3 ORDER BY odd",
    "SELECT CASE WHEN i8 > 0 THEN 1 ELSE 2.5 END AS c0 FROM a", "SELECT k / 0 AS c0, 0 / 0 AS c1 FROM a",
]

if __name__ == "__main__":
    sys.exit(main())
