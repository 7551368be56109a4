"""The loader that a good engineer writes by hand, for the benchmark to compare with: confluent-kafka and pyarrow.

It does what matters, and does it well: large consume calls, a queue that does not stall, one file per partition and
window whose name holds its range, fsynced and renamed into place, positions read back from the names, Parquet with zstd
and with dictionaries only where they pay, encoding and writing on a thread of their own. Payloads are decoded by
pyarrow's JSON reader, which took two thirds of the CPU of orjson and columns made from its dicts on the same payloads.
What it lacks is what RDP is for: a payload that does not fit stops it, decimals and int64 are as exact as the reader
makes them, tombstones and headers are not kept, and two of them on one folder are not fenced.
"""

import argparse
import json
import os
import re
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

PAYLOAD = pa.schema(
    [
        ("order_id", pa.int64()),
        ("customer_id", pa.int64()),
        ("sku", pa.string()),
        ("quantity", pa.int32()),
        ("price", pa.float64()),
        ("currency", pa.string()),
        ("paid", pa.bool_()),
        ("created_at", pa.timestamp("ms", tz="UTC")),
        ("channel", pa.string()),
        ("note", pa.string()),
    ]
)
LANDING = pa.schema(
    [
        *PAYLOAD,
        ("_kafka_partition", pa.int32()),
        ("_kafka_offset", pa.int64()),
        ("_kafka_timestamp", pa.timestamp("ms", tz="UTC")),
        ("_kafka_key", pa.binary()),
    ]
)
FEW_VALUES = ["currency", "channel", "note", "_kafka_partition"]

CONSUME_RECORDS = 20_000
ROW_GROUP_RECORDS = 250_000
WINDOW_RECORDS = 1_000_000
WINDOW_SECONDS = 60
PENDING_WRITES = 4


def load(payloads: list[bytes]) -> pa.Table:
    return pj.read_json(
        pa.BufferReader(b"\n".join(payloads)),
        read_options=pj.ReadOptions(use_threads=False, block_size=64 << 20),
        parse_options=pj.ParseOptions(explicit_schema=PAYLOAD, unexpected_field_behavior="ignore"),
    )


def to_rows(partition: int, messages: list[Message]) -> pa.Table:
    payload = load([message.value() or b"{}" for message in messages])
    envelope = [
        pa.repeat(pa.scalar(partition, pa.int32()), len(messages)),
        pa.array([message.offset() for message in messages], pa.int64()),
        pa.array([message.timestamp()[1] for message in messages], pa.timestamp("ms", tz="UTC")),
        pa.array([message.key() for message in messages], pa.binary()),
    ]
    return pa.Table.from_arrays([*payload.columns, *envelope], schema=LANDING)


class OpenFile:
    """The file of one partition in the open window."""

    def __init__(self, folder: Path, start: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.start, self.end = folder, start, start
        self.rows: list[pa.Table] = []
        self.row_count = 0
        self.path = folder / f".{start:020}.tmp"
        self.file = open(self.path, "wb")
        self.writer = pq.ParquetWriter(
            self.file, LANDING, compression="zstd", compression_level=1, use_dictionary=FEW_VALUES
        )

    def take_rows(self) -> list[pa.Table]:
        rows, self.rows, self.row_count = self.rows, [], 0
        return rows

    def write(self, rows: list[pa.Table]) -> None:
        if rows:
            self.writer.write_table(pa.concat_tables(rows), row_group_size=ROW_GROUP_RECORDS)

    def finish(self, rows: list[pa.Table]) -> None:
        self.write(rows)
        self.writer.close()
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.rename(self.path, self.folder / f"{self.start:020}-{self.end:020}.parquet")
        folder = os.open(self.folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


class Writer:
    """Encodes and writes on one thread, in order, with few pieces of work outstanding."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1)
        self.pending: deque = deque()

    def do(self, work, *args) -> None:
        self.pending.append(self.pool.submit(work, *args))
        while len(self.pending) > PENDING_WRITES:
            self.pending.popleft().result()

    def finish(self) -> None:
        while self.pending:
            self.pending.popleft().result()


def landed_until(folder: Path) -> int | None:
    ends = [int(found[1]) for name in folder.glob("*.parquet") if (found := re.search(r"-(\d+)\.parquet$", name.name))]
    return max(ends, default=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--landing", type=Path, required=True)
    args = parser.parse_args()

    consumer = Consumer(
        {
            "bootstrap.servers": args.brokers,
            "group.id": "handwritten",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "check.crcs": True,
            "fetch.queue.backoff.ms": 20,
        }
    )
    partitions = consumer.list_topics(args.topic, timeout=10).topics[args.topic].partitions
    folders = {partition: args.landing / f"partition={partition}" for partition in partitions}
    assignment = []
    for partition, folder in folders.items():
        start = landed_until(folder)
        if start is None:
            start = consumer.get_watermark_offsets(TopicPartition(args.topic, partition), timeout=10)[0]
        assignment.append(TopicPartition(args.topic, partition, start))
    consumer.assign(assignment)

    reading = set(partitions)
    writer = Writer()
    window: dict[int, OpenFile] = {}
    window_records, opened_at, record_count = 0, time.monotonic(), 0

    def close_window() -> None:
        for file in window.values():
            writer.do(file.finish, file.take_rows())
        window.clear()

    while reading:
        polled = consumer.consume(CONSUME_RECORDS, timeout=0.05)
        messages = []
        for message in polled:
            error = message.error()
            if error is None:
                messages.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                reading.discard(message.partition())
            else:
                raise KafkaException(error)
        for partition, run in groupby(messages, Message.partition):
            run = list(run)
            file = window.get(partition)
            if file is None:
                file = window[partition] = OpenFile(folders[partition], run[0].offset())
            file.rows.append(to_rows(partition, run))
            file.row_count += len(run)
            file.end = run[-1].offset() + 1
            if file.row_count >= ROW_GROUP_RECORDS:
                writer.do(file.write, file.take_rows())
        window_records += len(messages)
        record_count += len(messages)
        if window_records >= WINDOW_RECORDS or time.monotonic() - opened_at > WINDOW_SECONDS:
            close_window()
            window_records, opened_at = 0, time.monotonic()
    close_window()
    writer.finish()
    consumer.close()
    print(json.dumps({"record_count": record_count}))


if __name__ == "__main__":
    main()
