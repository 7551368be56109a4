#!/usr/bin/env python3
"""Says whether the demo's build is a part of the tests' build: what both need, they compile alike, and so once.

  python3 testing/unified.py CARGO_FLAG...

Runs both builds, which is quick once they are built. `rdp` itself is another one in each, under one name.
"""

import json
import subprocess
import sys


def artifacts(*arguments):
    """What a build consists of, freshly compiled or not: crates, each with the files that it became.

    Their names tell the features that they were compiled with, but for those that stand beside `deps`.
    """
    command = ["cargo", *arguments, *sys.argv[1:], "--message-format", "json"]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    for line in ran.stdout.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("reason") == "compiler-artifact":
            yield message["package_id"], set(message["filenames"])
        elif message.get("reason") == "build-script-executed":
            yield message["package_id"], {message["out_dir"]}


# The tests' build comes last: it leaves the `rdp` that has SQL in its place.
demo = list(artifacts("build", "--no-default-features", "--bin", "rdp"))
tests = set().union(*(files for _, files in artifacts("test", "--no-run", "--lib", "--bins", "--tests")))
twice = {crate for crate, files in demo if not files & tests}
if twice:
    print("make demo and make test compile these with different features, so each anew:", *sorted(twice), sep="\n  ")
    print("name the features in [workspace.dependencies], where both builds see them")
    sys.exit(1)
print(f"all {len(demo)} parts of the demo's build are parts of the tests' build")
