#!/usr/bin/env python3
"""Says whether a Parquet landing is exactly what the broker has.

Reads the whole topic by confluent-kafka (read_committed, to the end-of-partition event) and every landed file by
pyarrow, and compares them record by record. Shares no code with the engine. Prints one JSON verdict, and exits with 0
only where nothing is lost, duplicated, altered or untiled.
"""

import argparse
import json
import re
import sys
import time
from collections import deque
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from exactness import Schema, plain_type, same, same_type
from kinds import Ambiguous, Misfit

HEADERS = pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))
OWN_COLUMNS = [
    ("_kafka_topic", pa.string()),
    ("_kafka_partition", pa.int32()),
    ("_kafka_offset", pa.int64()),
    ("_kafka_timestamp", pa.timestamp("ms", "UTC")),
    ("_kafka_key", pa.binary()),
    ("_kafka_headers", HEADERS),
    ("_kafka_tombstone", pa.bool_()),
    ("_kafka_value", pa.binary()),
    ("_rdp_error", pa.string()),
]
ROWS_AT_ONCE = 65_536


class Verdict:
    """What was found, counted."""

    def __init__(self):
        self.counts = dict.fromkeys(
            "lost duplicated altered untiled unverifiable ambiguous quarantined tombstones records partitions files".split(), 0
        )
        self.findings = []

    def count(self, what, number=1):
        self.counts[what] += number

    def find(self, what, text):
        self.count(what)
        if len(self.findings) < 20:
            self.findings.append(f"{what}: {text}")

    def is_exact(self):
        return not any(self.counts[what] for what in ("lost", "duplicated", "altered", "untiled"))


def reader(brokers):
    """The one consumer that reads all partitions, one after the other."""
    return Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "rdp-oracle",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "check.crcs": True,
            "fetch.queue.backoff.ms": 20,
        }
    )


class Log:
    """One partition of the topic, read in order; it can go back."""

    def __init__(self, consumer, at, marks):
        self.consumer = consumer
        self.at = at
        self.low, self.high = marks
        self.end = None
        self._begin(None)

    def read(self, start, end):
        """The records of [start, end); without an end, all to the end of the log."""
        if start < self.position:
            self._begin(start)
        while True:
            while self.waiting:
                record = self.waiting[0]
                if end is not None and record.offset() >= end:
                    self.position = max(self.position, end)
                    return
                self.waiting.popleft()
                self.position = record.offset() + 1
                if record.offset() >= start:
                    yield record
            if self.end is not None or (end is not None and self.position >= end):
                return
            self._poll()

    def log_end(self):
        """The offset at which a read_committed reader finds the end. All records before it must have been read."""
        while self.end is None:
            self._poll()
        return self.end

    def _begin(self, offset):
        self.waiting, self.position, self.end = deque(), self.low if offset is None else offset, None
        if self.low == self.high:
            # There is nothing to wait for.
            self.end = self.high
            return
        start = TopicPartition(self.at.topic, self.at.partition, OFFSET_BEGINNING if offset is None else offset)
        self.consumer.assign([start])
        self.patience = time.monotonic() + 60

    def _poll(self):
        # It waits for as many as it may bring, so the wait is short.
        messages = self.consumer.consume(5_000, timeout=0.1)
        if messages:
            self.patience = time.monotonic() + 60
        elif time.monotonic() > self.patience:
            raise TimeoutError(f"{self.at.topic}[{self.at.partition}]: neither a record nor the end for 60 s")
        for message in messages:
            error = message.error()
            if message.partition() != self.at.partition and (error is None or error.code() == KafkaError._PARTITION_EOF):
                continue  # of the partition before
            if error is None:
                self.waiting.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                self.end = message.offset()
            elif error.fatal() or not error.retriable():
                raise KafkaException(error)


class Landing:
    """The landed files of one topic."""

    def __init__(self, folder, topic):
        self.files = {}
        self.strangers = []
        root = Path(folder)
        for path in sorted(root.rglob("*.parquet")):
            place = re.fullmatch(r"topic=(.+)/partition=([0-9]+)/([0-9]{20})\.parquet", str(path.relative_to(root)))
            if not place:
                self.strangers.append(path)
            elif place.group(1) == topic:
                self.files.setdefault(int(place.group(2)), []).append((int(place.group(3)), path))


class Comparison:
    """The broker's log of one topic against its landing."""

    def __init__(self, arguments, verdict):
        load = json.loads(arguments.load)
        self.topic = arguments.topic
        self.compacted = arguments.compacted
        self.keep_value = load.get("keep_value", False)
        unknown_fields = load.get("unknown_fields", "ignore")
        self.schema = Schema(load["schema"], unknown_fields) if load.get("format", "raw") == "json" else None
        self.keep_extra = self.schema is not None and unknown_fields == "keep"
        self.verdict = verdict

    def partition(self, log, files, start, until):
        """Compares one partition. `start` is the first offset that had to land, `until` where comparing ends (None: the
        end of the log; "landed": the end of the last file)."""
        where = f"{self.topic}[{log.at.partition}]"
        position, first = max(log.low, start), True
        for file_start, path in files:
            self.verdict.count("files")
            ledger = self.ledger(path, log.at.partition, file_start)
            if ledger is None:
                continue
            end = ledger["end"]
            if file_start > position:
                missing = sum(1 for record in log.read(position, file_start) if self.lost(where, record))
                if not first:
                    self.verdict.find("untiled", f"{where} [{position}, {file_start}) is in no file, {missing} records")
            elif file_start < position and not first:
                self.verdict.find("untiled", f"{where} [{file_start}, {position}) is in two files, one is {path}")
            self.file(log, path, ledger, position if not first else file_start)
            position, first = max(position, end), False
        if until != "landed":
            for record in log.read(position, until):
                self.lost(where, record)
            if until is None and files and position > log.log_end():
                self.verdict.find("altered", f"{where} has landed up to {position}; its log ends at {log.log_end()}")

    def lost(self, where, record):
        self.verdict.count("records")
        self.verdict.find("lost", f"{where} offset {record.offset()}")
        return True

    def ledger(self, path, partition, start):
        """The ledger of a file, checked against its name; None where the file cannot be read."""
        try:
            metadata = pq.read_metadata(path)
            ledger = json.loads((metadata.metadata or {})[b"rdp.ledger"])
            said = (ledger["topic"], ledger["partition"], ledger["start"])
            counts = [ledger[name] for name in ("end", "record_count", "quarantined_count", "tombstone_count")]
        except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
            self.verdict.find("altered", f"{path}: {type(error).__name__}: {error}")
            return None
        if said != (self.topic, partition, start):
            self.verdict.find("altered", f"{path}: the ledger is of {said}")
        if not all(isinstance(count, int) for count in counts) or ledger["end"] < start:
            self.verdict.find("altered", f"{path}: the ledger is {ledger}")
            return None
        return ledger

    def file(self, log, path, ledger, landed_before):
        """Compares one file with the log. Records below `landed_before` are in an earlier file already."""
        start, end = ledger["start"], ledger["end"]
        records = log.read(start, end)
        pending, seen, done = {}, set(), False
        counts = {"record_count": 0, "quarantined_count": 0, "tombstone_count": 0}
        try:
            parquet = pq.ParquetFile(path)
            self.types(path, parquet.schema_arrow)
            for rows in parquet.iter_batches(ROWS_AT_ONCE):
                columns = {name: self.plain(rows.column(name)) for name in rows.schema.names}
                offsets = columns["_kafka_offset"]
                furthest = max(offsets, default=start)
                while not done and (not pending or max(pending) < furthest):
                    for record in records:
                        pending[record.offset()] = record
                        if record.offset() >= furthest:
                            break
                    else:
                        done = True
                for row, offset in enumerate(offsets):
                    counts["record_count"] += 1
                    counts["quarantined_count"] += columns["_rdp_error"][row] is not None
                    counts["tombstone_count"] += bool(columns["_kafka_tombstone"][row])
                    where = f"{path.name} row {counts['record_count'] - 1}, {self.topic}[{log.at.partition}] offset {offset}"
                    if offset in seen or (offset in pending and offset < landed_before):
                        self.verdict.find("duplicated", where)
                        pending.pop(offset, None)
                        seen.add(offset)
                    elif offset in pending:
                        seen.add(offset)
                        self.verdict.count("records")
                        self.row(where, pending.pop(offset), columns, row, log.at.partition)
                    elif not start <= offset < end:
                        self.verdict.find("altered", f"{where}: outside the file's range [{start}, {end})")
                    elif offset < log.low or self.compacted:
                        self.verdict.count("unverifiable")
                    else:
                        self.verdict.find("altered", f"{where}: no record stands behind this row")
        except (OSError, pa.ArrowException, KeyError) as error:
            self.verdict.find("altered", f"{path}: {type(error).__name__}: {error}")
        pending.update((record.offset(), record) for record in records)
        for offset, record in sorted(pending.items()):
            if offset >= landed_before:
                self.lost(f"{self.topic}[{log.at.partition}] in {path.name}", record)
        for name, count in counts.items():
            if ledger[name] != count:
                self.verdict.find("altered", f"{path}: the ledger says {name} {ledger[name]}, the rows say {count}")

    def types(self, path, schema):
        """Checks the columns' names, order and types."""
        wanted = (self.schema.columns() if self.schema else []) + OWN_COLUMNS
        wanted += [("_rdp_extra", pa.string())] if self.keep_extra else []
        names = [name for name, _ in wanted]
        if schema.names != names:
            self.verdict.find("altered", f"{path}: columns {schema.names}, expected {names}")
        for name, kind in wanted:
            if name in schema.names and not same_type(schema.field(name).type, kind):
                self.verdict.find("altered", f"{path}: {name} is {schema.field(name).type}, expected {kind}")

    @staticmethod
    def plain(column):
        return column.cast(plain_type(column.type)).to_pylist()

    def row(self, where, record, columns, row, partition):
        """Compares one row with its record."""
        expected = self.expected(record, where)
        if expected is None:
            return
        timestamp = record.timestamp()[1]
        headers = [{"name": name, "value": value} for name, value in record.headers() or []]
        expected |= {
            "_kafka_topic": self.topic,
            "_kafka_partition": partition,
            "_kafka_offset": record.offset(),
            "_kafka_timestamp": None if timestamp == -1 else timestamp,
            "_kafka_key": record.key(),
            "_kafka_headers": headers,
            "_kafka_tombstone": record.value() is None,
        }
        landed = {name: values[row] for name, values in columns.items()}
        quarantined = landed.pop("_rdp_error") is not None
        rightly = expected.pop("_rdp_error")
        if rightly is Ambiguous:
            # The engine's choice counts; what the envelope says must hold either way.
            self.verdict.count("ambiguous")
            for name in list(landed):
                if not name.startswith("_kafka_") or name == "_kafka_value":
                    landed.pop(name)
        elif quarantined != (rightly is not None):
            said = "quarantined, and fits" if quarantined else f"not quarantined: {rightly}"
            self.verdict.find("altered", f"{where}: {said}")
            return
        elif quarantined:
            self.verdict.count("quarantined")
        if record.value() is None:
            self.verdict.count("tombstones")
        if "_rdp_extra" in landed and self.schema:
            landed["_rdp_extra"] = self.schema.extra_of(landed["_rdp_extra"])
        if landed.get("_kafka_headers", 0) is None:
            landed["_kafka_headers"] = []
        for name in landed:
            if name not in expected or not same(landed[name], expected[name]):
                self.verdict.find("altered", f"{where}: {name} is {landed[name]!r:.200}, expected {expected.get(name)!r:.200}")
                return

    def expected(self, record, where):
        """The row's payload columns, `_kafka_value`, and in `_rdp_error` why it must be quarantined, or None."""
        value = record.value()
        if self.schema is None:
            return {"_kafka_value": value, "_rdp_error": None}
        names = [name for name, _ in self.schema.columns()]
        nothing = dict.fromkeys(names)
        extra = {"_rdp_extra": []} if self.keep_extra else {}
        if value is None:
            return nothing | extra | {"_kafka_value": None, "_rdp_error": None}
        try:
            values, unknown = self.schema.expected(value)
        except Misfit as misfit:
            return nothing | extra | {"_kafka_value": value, "_rdp_error": str(misfit) or "misfit"}
        except Ambiguous:
            return nothing | extra | {"_kafka_value": value, "_rdp_error": Ambiguous}
        extra = {"_rdp_extra": unknown} if self.keep_extra else {}
        return dict(zip(names, values)) | extra | {"_kafka_value": value if self.keep_value else None, "_rdp_error": None}


def positions(text):
    """{"0": 120} as numbers."""
    return {int(partition): int(offset) for partition, offset in json.loads(text).items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--landing", required=True, help="the folder that holds topic=…/partition=…/*.parquet")
    parser.add_argument("--load", default="{}", help='the config\'s [load] as JSON: {"format": "json", "schema": […]}')
    parser.add_argument("--from", dest="start", type=positions, default={}, help='where landing began: {"0": 120}')
    parser.add_argument(
        "--until", default="log-end", help='"log-end"; "landed" to compare only what has landed; or positions: {"0": 500}'
    )
    parser.add_argument("--compacted", action="store_true", help="rows without a record are counted, not held against it")
    arguments = parser.parse_args()

    verdict = Verdict()
    comparison = Comparison(arguments, verdict)
    landing = Landing(arguments.landing, arguments.topic)
    for stranger in landing.strangers:
        verdict.find("altered", f"{stranger} is no landed file")
    until = positions(arguments.until) if arguments.until.startswith("{") else arguments.until
    consumer = reader(arguments.brokers)
    for at, marks in watermarks(arguments.brokers, partitions(consumer, arguments.topic)):
        partition = at.partition
        verdict.count("partitions")
        log = Log(consumer, at, marks)
        end = until.get(partition) if isinstance(until, dict) else {"log-end": None, "landed": "landed"}[until]
        comparison.partition(log, landing.files.pop(partition, []), arguments.start.get(partition, 0), end)
    consumer.close()
    for partition, files in landing.files.items():
        verdict.find("altered", f"{files[0][1]} is of partition {partition}, which the topic does not have")
    json.dump(verdict.counts | {"findings": verdict.findings}, sys.stdout, indent=2, ensure_ascii=False)
    print()
    return 0 if verdict.is_exact() else 1


def partitions(consumer, topic):
    metadata = consumer.list_topics(topic, timeout=30).topics[topic]
    if metadata.error is not None:
        raise KafkaException(metadata.error)
    return [TopicPartition(topic, partition) for partition in sorted(metadata.partitions)]


def watermarks(brokers, partitions):
    """Each partition with the offset of its first record and the position behind its last, asked for all at once."""
    admin = AdminClient({"bootstrap.servers": brokers})

    def offsets(spec):
        answers = admin.list_offsets({at: spec for at in partitions}, request_timeout=30)
        return {(at.topic, at.partition): answer.result().offset for at, answer in answers.items()}

    low, high = offsets(OffsetSpec.earliest()), offsets(OffsetSpec.latest())
    return [(at, (low[at.topic, at.partition], high[at.topic, at.partition])) for at in partitions]


if __name__ == "__main__":
    sys.exit(main())
