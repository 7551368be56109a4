#!/usr/bin/env bash
# cargo calls this in rustc's place (RUSTC_WRAPPER), with rustc's path and arguments. What load does, and what reads JSON
# beside it, gets the coverage that libFuzzer steers by, with cargo-fuzz's flags but for the sanitizer. Arrow and the rest
# build as ever: it would double the time of a first build, and tell the fuzzer nothing.
set -euo pipefail

crate=
for ((place = 1; place < $#; place++)); do
  if [ "${!place}" = --crate-name ]; then
    after=$((place + 1))
    crate="${!after}"
  fi
done
case "$crate" in
  rdp_elt | load | serde_json | base64)
    set -- "$@" --cfg fuzzing -Cpasses=sancov-module
    for option in coverage-level=4 coverage-inline-8bit-counters coverage-pc-table coverage-trace-compares; do
      set -- "$@" "-Cllvm-args=-sanitizer-$option"
    done
    set -- "$@" -Cllvm-args=-simplifycfg-branch-fold-threshold=0
    ;;
esac
exec "$@"
