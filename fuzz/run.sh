#!/usr/bin/env bash
# Builds the fuzz target and lets libFuzzer run it for a bounded time: fuzz/run.sh [SECONDS, 60 by default]
#
# It needs neither nightly nor cargo-fuzz: the coverage that libFuzzer steers by comes from flags that a stable rustc
# passes on to LLVM (instrument.sh). There is no address sanitizer, which takes nightly; debug assertions and overflow
# checks are on. The folder is laid out as cargo-fuzz has it.
#
# Under ${RDP_CACHE:-$HOME/.cache/rdp}/fuzz: target (takes some minutes to build, once), corpus (grows from run to run; the
# seeds are in fuzz/corpus), findings (inputs that failed).
set -euo pipefail

seconds="${1:-60}"
[[ "$seconds" =~ ^[0-9]+$ ]] || { echo "usage: $0 [SECONDS]" >&2; exit 2; }

fuzz="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${RDP_CACHE:-$HOME/.cache/rdp}/fuzz"

RUSTC_WRAPPER="$fuzz/instrument.sh" cargo build --release --locked --manifest-path "$fuzz/Cargo.toml" \
  --target-dir "$cache/target" --bin load

mkdir -p "$cache/corpus/load" "$cache/findings"
status=0
"$cache/target/release/load" "$cache/corpus/load" "$fuzz/corpus/load" -dict="$fuzz/load.dict" \
  -max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=1 \
  -artifact_prefix="$cache/findings/load-" || status=$?
if [ "$status" -ne 0 ]; then
  echo "fuzz: load failed on an input under $cache/findings; run it alone:" >&2
  echo "  $cache/target/release/load $cache/findings/load-<kind>-<hash>" >&2
fi
exit "$status"
