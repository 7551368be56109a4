"""Does the simulation find what it is there for? Takes one mend after the other out of a copy of the sources, plays
schedules on what is left, and counts those that break. A bug that none finds fails.

    python3 testing/seeded_bugs.py [--schedules 300] [NAME…]

A bug is texts that stand once in a file, and what takes their place; one that stands there no more is an error: the code
has moved on, and so has its bug.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys

LANE = "loader/lane.rs"
COMMITS = "loader/lane/commits.rs"
MEND = "loader/lane/mend.rs"
WATCH = "loader/lane/watch.rs"
SOURCE = "loader/source.rs"
CONSUMER = "kafka/consumer/mod.rs"
PARTITION = "kafka/consumer/partition.rs"
ASSIGNMENT = "kafka/consumer/assignment.rs"

# Several layers hold some of it up, and each holds by itself; then all of them have to go.
NOT_SOUGHT_AFTER_AN_ERROR = (
    CONSUMER,
    "        owned.must_seek = true;\n        owned.disturb();\n        match failed.kind() {",
    "        match failed.kind() {",
)
EVERY_HOLE_BELIEVED = (PARTITION, "            Hole::Doubted => false,\n", "            Hole::Doubted => true,\n")
NOT_SOUGHT_WHEN_RESUMED = (
    ASSIGNMENT,
    "                owned.must_seek |= !paused && !self.stalled.contains(&owned.partition);\n",
    "",
)
NOT_SOUGHT_WHEN_KEPT = (
    ASSIGNMENT,
    "        for owned in self.owned.iter_mut().filter(|owned| !self.stalled.contains(&owned.partition)) {\n",
    "        for owned in self.owned.iter_mut().filter(|_| false) {\n",
)
NO_LOST_SLICE_IS_MISSED = (
    LANE,
    "            if self.taken.position(&reached.partition) != Some(reached.from) {",
    "            if self.taken.position(&reached.partition).is_none() {",
)
NO_REWIND_TO_THE_SINK = (
    MEND,
    "        match self.consumer.seek(&places(&starts)) {",
    "        match self.consumer.resume() {",
)

BUGS = {
    "after an error and a pause the client's position counts": [
        NOT_SOUGHT_AFTER_AN_ERROR,
        NOT_SOUGHT_WHEN_RESUMED,
        EVERY_HOLE_BELIEVED,
    ],
    "after an error and a rebalance the client's position counts": [
        NOT_SOUGHT_AFTER_AN_ERROR,
        NOT_SOUGHT_WHEN_KEPT,
        EVERY_HOLE_BELIEVED,
    ],
    "a record behind its successors is dropped": [
        (
            PARTITION,
            "            _ if offset < self.position => return Verdict::OutOfOrder,",
            "            _ if offset < self.position => return Verdict::Pass,",
        )
    ],
    "a log that was cut and grew again is read on": [
        (
            PARTITION,
            "        let Some(newest) = self.newest else { return false };\n        match mark.offset",
            "        let Some(newest) = self.newest.filter(|_| false) else { return false };\n        match mark.offset",
        )
    ],
    "what is polled and lost goes unnoticed, and reading is not rewound": [NO_LOST_SLICE_IS_MISSED, NO_REWIND_TO_THE_SINK],
    "reading goes on where it was, not where the sink stands": [NO_REWIND_TO_THE_SINK],
    "an open window survives a rebalance": [
        (
            LANE,
            "        self.discard();\n        self.must_rewind = true;\n        if let Err(error) = self.consumer.revoke",
            "        if let Err(error) = self.consumer.revoke",
        )
    ],
    "the start is not in the sink before the first record is read": [
        (
            SOURCE,
            "            self.claim(&unknown, &topics, executor)?;\n            held = executor.block_on(self.sink.positions(of))?;",
            "            let found = self.brokers.starts(&unknown, &self.start)?;\n"
            "            for partition in &unknown {\n"
            "                let position = found.position(partition).ok_or_else(|| no_answer(\"find\", partition))?;\n"
            "                let source = topics[&partition.topic].identity.clone();\n"
            "                held.insert(partition.clone(), LandedPosition { position, source, window: None, newest: None });\n"
            "            }",
        )
    ],
    "the sink lets an overtaken writer land": [
        (
            "sink/memory.rs",
            "            Some(position) if position != range.start() => {",
            "            Some(position) if position != range.start() && position < 0 => {",
        )
    ],
    "what was given up after an error is not read again": [
        (
            MEND,
            "        self.discard();\n        self.must_rewind = true;\n        let mut error = error;",
            "        self.discard();\n        let mut error = error;",
        ),
        NO_LOST_SLICE_IS_MISSED,
    ],
    "who stands still does not say so": [
        (
            WATCH,
            "            self.run.tell(LoadEvent::Waiting { reason, since: lasted });\n            self.run.nudge_lookout();",
            "            self.run.nudge_lookout();",
        )
    ],
}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--schedules", type=int, default=300)
    arguments.add_argument("names", nargs="*")
    wanted = arguments.parse_args()
    root = pathlib.Path(__file__).resolve().parent.parent
    target = pathlib.Path(os.environ["CARGO_TARGET_DIR"])
    copy = target.with_name(target.name + "-seeded-bugs")
    sources = copy / "sources"
    shutil.rmtree(sources, ignore_errors=True)
    copy.mkdir(exist_ok=True)
    if not (copy / "target").exists() and target.exists():
        subprocess.run(["cp", "-a", target, copy / "target"], check=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        (sources / name).parent.mkdir(parents=True, exist_ok=True)
        # With a new time, or the build would take what it has for up to date.
        shutil.copy(root / name, sources / name)
    unfound = []
    for bug, changes in {"none": [], **BUGS}.items():
        if bug != "none" and not any(name in bug for name in wanted.names or [""]):
            continue
        whole = {}
        for file, before, after in changes:
            path = sources / "crates/rdp-elt/src" / file
            text = path.read_text()
            whole.setdefault(path, text)
            if text.count(before) != 1:
                sys.exit(f"{bug}: stands {text.count(before)} times in {file}: {before!r}")
            path.write_text(text.replace(before, after))
        count, first = play(sources, copy / "target", wanted.schedules)
        for path, text in whole.items():
            path.write_text(text)
        print(f"{count:>5} of {wanted.schedules}  {bug}  ({first})", flush=True)
        if (count == 0) != (bug == "none"):
            unfound.append(bug)
    if unfound:
        sys.exit("not as it should be: " + "; ".join(unfound))


def play(sources, target, schedules):
    """How many schedules broke, and what the first of them said."""
    command = ["cargo", "test", "--release", "--workspace", "--locked", "--lib", "schedules_of_faults_lose", "--", "--nocapture"]
    setting = {"CARGO_TARGET_DIR": str(target), "RDP_SIMULATION_COUNT": str(schedules), "RUST_BACKTRACE": "0"}
    done = subprocess.run(command, cwd=sources, env={**os.environ, **setting}, capture_output=True, text=True)
    broke = re.search(r"(\d+) of \d+ schedules broke:\n(?:seed \d+: )?(.*)", done.stdout + done.stderr)
    if broke:
        return int(broke[1]), broke[2][:90]
    if done.returncode != 0:
        sys.exit(done.stdout[-2000:] + done.stderr[-4000:])
    return 0, "nothing"


main()
