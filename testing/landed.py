#!/usr/bin/env python3
"""Says what is in the landed files of one topic, for a judge that knows by itself what should be.

Reads lines of JSON from stdin, {"landing": folder, "topic": name}, and answers each with one line: every landed file by
partition and start, with its ledger, its columns, its rows, and a digest of its bytes. Shares no code with the engine.
"""

import hashlib
import json
import re
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ENVELOPE = ["_kafka_offset", "_kafka_timestamp", "_kafka_key", "_kafka_tombstone", "_kafka_value", "_rdp_error"]
PLACE = re.compile(r"topic=(.+)/partition=([0-9]+)/([0-9]{20})\.parquet")


def text(raw):
    return None if raw is None else raw.decode("latin-1")


def rows(table, topic, partition):
    """The table's rows; one that says another topic or partition than its folder is no row of it."""
    columns = {name: table.column(name) for name in table.column_names}
    columns["_kafka_timestamp"] = columns["_kafka_timestamp"].cast(pa.int64())
    columns = {name: column.to_pylist() for name, column in columns.items()}
    payload = [name for name in columns if not name.startswith(("_kafka_", "_rdp_"))]
    for row in range(table.num_rows):
        where = (columns["_kafka_topic"][row], columns["_kafka_partition"][row])
        if where != (topic, partition):
            raise ValueError(f"row {row} is of {where}")
        offset, timestamp, key, tombstone, value, error = (columns[name][row] for name in ENVELOPE)
        yield {
            "offset": offset,
            "timestamp": timestamp,
            "key": text(key),
            "value": text(value),
            "tombstone": tombstone,
            "quarantined": error is not None,
            "payload": {name: columns[name][row] for name in payload},
        }


def file(path, topic, partition, start):
    """What one landed file holds."""
    content = path.read_bytes()
    found = {"partition": partition, "start": start, "end": start, "path": str(path), "error": None, "columns": [], "rows": []}
    found["digest"] = hashlib.blake2b(content, digest_size=8).hexdigest()
    try:
        parquet = pq.ParquetFile(pa.BufferReader(content))
        ledger = json.loads(parquet.metadata.metadata[b"rdp.ledger"])
        table = parquet.read()
        found["end"] = ledger["end"]
        found["columns"] = [name for name in table.column_names if not name.startswith(("_kafka_", "_rdp_"))]
        found["rows"] = list(rows(table, topic, partition))
        said = (ledger["topic"], ledger["partition"], ledger["start"], ledger["record_count"])
        if said != (topic, partition, start, len(found["rows"])):
            found["error"] = f"the ledger is of {said}; the file has {len(found['rows'])} rows"
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
        found["error"] = f"{type(error).__name__}: {error}"
    return found


def landed(folder, topic):
    files, strangers = [], []
    root = Path(folder)
    for path in sorted(root.rglob("*.parquet")):
        place = PLACE.fullmatch(str(path.relative_to(root)))
        if place and place.group(1) == topic:
            files.append(file(path, topic, int(place.group(2)), int(place.group(3))))
        else:
            strangers.append(str(path))
    return {"files": files, "strangers": strangers}


def main():
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = landed(question["landing"], question["topic"])
        except OSError as error:
            # A folder may go while it is read.
            answer = {"files": [], "strangers": [f"{type(error).__name__}: {error}"]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
