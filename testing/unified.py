#!/usr/bin/env python3
"""Says whether the demo's build is a part of the tests' build: what both need, they compile alike, and so once.

  testing/unified.py CARGO_FLAG...

Runs both builds, which is quick once they are built. `rdp` itself is another one in each.
"""

import json
import subprocess
import sys


def artifacts(*arguments):
    """What a build consists of, freshly compiled or not: each file by the name that tells its features, and its crate."""
    command = ["cargo", *arguments, *sys.argv[1:], "--message-format", "json"]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = {}
    for line in ran.stdout.splitlines():
        if not line.startswith("{"):
            continue
        message = json.loads(line)
        names = message.get("filenames", []) + [message[key] for key in ("executable", "out_dir") if message.get(key)]
        found.update((name, message["package_id"]) for name in names)
    return found


# The tests' build comes last: it leaves the `rdp` that has SQL in its place.
demo = artifacts("build", "--no-default-features", "--bin", "rdp")
tests = artifacts("test", "--no-run", "--lib", "--bins", "--tests")
twice = {crate for name, crate in demo.items() if name not in tests}
if twice:
    print("make demo and make test compile these with different features, so each anew:", *sorted(twice), sep="\n  ")
    print("name the features in [workspace.dependencies], where both builds see them")
    sys.exit(1)
shared = len(set(demo.values()))
print(f"{shared} packages of the demo's build are shared with the tests'")
