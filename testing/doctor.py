#!/usr/bin/env python3
"""Doctors a landing as a bug of the engine would, so that tests can see whether the bug is found.

doctor.py --list names the bugs; doctor.py FOLDER BUG changes one file (or its name) under FOLDER.

A bug of the engine would seal what it wrote, so a doctored file gets checksums that are right: what finds it must look at
what it says. Only the bugs at the end of the list are the disk's.
"""

import json
import re
import struct
import sys
import zlib
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


class File:
    """A landed file that can be written back with other rows, another ledger, or under another name."""

    def __init__(self, path):
        self.path = path
        table = pq.ParquetFile(path).read()
        self.schema = table.schema
        self.rows = table.to_pylist()
        self.ledger = json.loads(pq.read_metadata(path).metadata[b"rdp.ledger"])

    def write(self, path=None):
        own = {b"rdp.ledger": json.dumps(self.ledger), b"rdp.checksum": "crc32:" + "0" * 16 + ":" + "0" * 8 + ":" + "0" * 8}
        metadata = dict(self.schema.metadata or {}) | own
        table = pa.Table.from_pylist(self.rows, schema=self.schema.with_metadata(metadata))
        pq.write_table(table, path or self.path, compression="zstd")
        seal(path or self.path)

    def row(self, fits):
        """The first row that a bug can strike."""
        return next(row for row in self.rows if fits(row))

    def recount(self):
        """Makes the ledger agree with the rows again: a bug that counts what it wrote."""
        self.ledger["record_count"] = len(self.rows)
        self.ledger["quarantined_count"] = sum(row["_rdp_error"] is not None for row in self.rows)
        self.ledger["tombstone_count"] = sum(row["_kafka_tombstone"] for row in self.rows)


def seal(path):
    """Fills in the checksums: of the data, and of the footer with its own digits as zeros."""
    content = path.read_bytes()
    (footer,) = struct.unpack("<I", content[-8:-4])
    data = content[: len(content) - 8 - footer]
    tail = content[len(data) :]
    unsealed = list(re.finditer(rb"crc32:0{16}:0{8}:0{8}", tail))[-1]
    digits = b"crc32:%016x:%08x:" % (len(data), zlib.crc32(data))
    tail = tail[: unsealed.start()] + digits + b"0" * 8 + tail[unsealed.end() :]
    at = unsealed.start() + len(digits)
    tail = tail[:at] + b"%08x" % zlib.crc32(tail) + tail[at + 8 :]
    path.write_bytes(data + tail)


def record_dropped(file):
    file.rows.pop(len(file.rows) // 2)
    file.recount()


def record_landed_twice(file):
    file.rows.insert(1, dict(file.rows[0]))
    file.recount()


def record_counted_once_too_often(file):
    file.ledger["record_count"] += 1


def offsets_one_too_high(file):
    for row in file.rows:
        row["_kafka_offset"] += 1


def offsets_one_too_low(file):
    for row in file.rows:
        row["_kafka_offset"] -= 1


def tombstone_dropped(file):
    file.rows.remove(file.row(lambda row: row["_kafka_tombstone"]))
    file.recount()


def tombstone_as_empty_value(file):
    row = file.row(lambda row: row["_kafka_tombstone"])
    row["_kafka_tombstone"], row["_kafka_value"] = False, b""
    file.recount()


def key_made_text(file):
    row = file.row(lambda row: row["_kafka_key"])
    row["_kafka_key"] = row["_kafka_key"][:-1] + "\ufffd".encode()


def null_key_made_empty(file):
    row = file.rows[0]
    row["_kafka_key"] = b"" if row["_kafka_key"] is None else None


def headers_swapped(file):
    row = file.row(lambda row: len(row["_kafka_headers"]) > 1)
    row["_kafka_headers"].reverse()


def null_header_made_empty(file):
    row = file.row(lambda row: any(header["value"] is None for header in row["_kafka_headers"]))
    for header in row["_kafka_headers"]:
        header["value"] = header["value"] or b""


def header_repeat_dropped(file):
    """Headers taken for a map: of two with one name the later wins."""
    row = file.row(lambda row: len({header["name"] for header in row["_kafka_headers"]}) < len(row["_kafka_headers"]))
    row["_kafka_headers"] = list({header["name"]: header for header in row["_kafka_headers"]}.values())


def timestamp_cut_to_seconds(file):
    row = file.row(lambda row: row["_kafka_timestamp"].microsecond)
    row["_kafka_timestamp"] = row["_kafka_timestamp"].replace(microsecond=0)


def decimal_through_a_float(file):
    row = file.row(lambda row: row["amount"] is not None)
    row["amount"] += Decimal("0.01")


def number_one_bit_off(file):
    row = file.row(lambda row: row["weight"])
    row["weight"] = row["weight"] * (1 + 2**-52)


def null_made_a_default(file):
    row = file.row(lambda row: row["gift"] is None and row["_rdp_error"] is None and not row["_kafka_tombstone"])
    row["gift"] = False


def text_cut_short(file):
    row = file.row(lambda row: row["city"])
    row["city"] = row["city"][:-1]


def rows_change_places(file):
    """Two records land under each other's offsets: every offset is there, and once."""
    one, other = file.rows[0], file.rows[1]
    one["_kafka_offset"], other["_kafka_offset"] = other["_kafka_offset"], one["_kafka_offset"]


def aborted_record_landed(file):
    """A record of a transaction that was aborted: no committed reader sees it."""
    before = next(
        index
        for index, (one, other) in enumerate(zip(file.rows, file.rows[1:]))
        if other["_kafka_offset"] > one["_kafka_offset"] + 2
    )
    row = dict(file.rows[before])
    row["_kafka_offset"] += 1
    file.rows.insert(before + 1, row)
    file.recount()


def quarantine_forgotten(file):
    file.row(lambda row: row["_rdp_error"] is not None)["_rdp_error"] = None
    file.recount()


def good_record_quarantined(file):
    row = file.row(lambda row: row["_rdp_error"] is None and not row["_kafka_tombstone"])
    row["_rdp_error"] = "it did not fit"
    file.recount()


def quarantined_bytes_lost(file):
    file.row(lambda row: row["_rdp_error"] is not None and row["_kafka_value"])["_kafka_value"] = None


def window_landed_by_a_zombie(file):
    """The file's second half lands once more, under a start inside its range."""
    zombie = File(file.path)
    zombie.rows = zombie.rows[len(zombie.rows) // 2 :]
    zombie.ledger["start"] = zombie.rows[0]["_kafka_offset"]
    zombie.recount()
    zombie.write(file.path.with_name(f"{zombie.ledger['start']:020}.parquet"))


def window_landed_twice_in_a_row(file):
    """The newest commit was reported as failed, and done again under the next range."""
    again = File(max(file.path.parent.glob("*.parquet")))
    start, end = again.ledger["start"], again.ledger["end"]
    again.ledger["start"], again.ledger["end"] = end, 2 * end - start
    again.write(again.path.with_name(f"{end:020}.parquet"))


def range_ends_too_late(file):
    """A position that ran ahead of the rows: the next file begins later than it did."""
    last = max(file.path.parent.glob("*.parquet"))
    late = File(last)
    late.ledger["end"] += 5
    late.write()


def window_overlaps_the_one_before(file):
    before = max(path for path in file.path.parent.glob("*.parquet") if path < file.path)
    row = dict(File(before).rows[-1])
    file.path.unlink()
    file.rows.insert(0, row)
    file.ledger["start"] = row["_kafka_offset"]
    file.recount()
    file.path = file.path.with_name(f"{row['_kafka_offset']:020}.parquet")


def quarantined_record_as_good(file):
    row = file.row(lambda row: row["_rdp_error"] is not None)
    row["_rdp_error"] = row["_kafka_value"] = None
    file.recount()


def rows_of_another_partition(file):
    for row in file.rows:
        row["_kafka_partition"] += 1


def window_of_another_topic(file):
    """A topic that was deleted and created again, and landed behind the old one."""
    file.ledger["source"]["topic_id"] = "AAAAAAAAAAAAAAAAAAAAAA"


def file_lost(file):
    file.path.unlink()
    file.path = None


def range_ends_too_early(file):
    file.rows.pop()
    file.ledger["end"] = file.rows[-1]["_kafka_offset"] + 1
    file.recount()


def file_cut_short(file):
    content = file.path.read_bytes()
    file.path.write_bytes(content[: len(content) // 2])
    file.path = None


def bit_flipped(file):
    content = bytearray(file.path.read_bytes())
    content[len(content) // 3] ^= 0x10
    file.path.write_bytes(content)
    file.path = None


def oldest_file_lost(file):
    min(file.path.parent.glob("*.parquet")).unlink()
    file.path = None


def newest_file_lost(file):
    max(file.path.parent.glob("*.parquet")).unlink()
    file.path = None


def file_copied_into_a_foreign_folder(file):
    folder = file.path.parent.with_name(file.path.parent.name.replace("=", "=0"))
    folder.mkdir()
    file.write(folder / file.path.name)
    file.path = None


def file_copied_to_the_root(file):
    file.write(file.path.parent.parent.parent / "all.parquet")
    file.path = None


NOT_BUGS = {"main", "seal"}
BUGS = {
    name: bug
    for name, bug in list(globals().items())
    if callable(bug) and getattr(bug, "__module__", None) == __name__ and not isinstance(bug, type) and name not in NOT_BUGS
}


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(BUGS))
        return
    folder, name = sys.argv[1:]
    # A file between two others, so that what it does to its neighbours shows on both sides; and no tiny ones, which a
    # bug could turn into what is right.
    candidates = sorted(Path(folder).rglob("*.parquet"))
    candidates = [path for path in candidates if path.parent == candidates[0].parent]
    for before, path, _ in zip(candidates, candidates[1:], candidates[2:]):
        file = File(path)
        if min(len(file.rows), len(File(before).rows)) < 10:
            continue
        try:
            BUGS[name](file)
        except StopIteration:
            continue  # no row that the bug could strike; the next file may have one
        if file.path is not None:
            file.write()
        return
    sys.exit(f"no file in {folder} has a row for {name}")


if __name__ == "__main__":
    main()
