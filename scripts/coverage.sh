#!/usr/bin/env bash
# Prints which share of the product's lines the tests run, and fails below 85 %. Tests, benches and
# examples are not counted as product, nor is what a test runs in a process of its own. It takes a
# while: everything is built and run instrumented. A test binary in which a test fails is not counted.
#
#   scripts/coverage.sh [OPTIONS OF TARPAULIN]
#
# Needs cargo-tarpaulin 0.37 (`cargo install cargo-tarpaulin --version 0.37.5 --locked`), whose llvm
# engine reads what the compiler's own instrumentation writes, without a toolchain component that would
# have to be installed. Its ptrace engine crashes in the middle of the unit tests. Builds into a folder
# of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo tarpaulin --version >/dev/null 2>&1 || { sed -n '8,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
# Processes that a test starts with an empty environment write their profiles where they run.
trap 'find . -maxdepth 2 -name "default_*.profraw" -delete' EXIT
cargo tarpaulin --locked --engine llvm --no-dead-code --skip-clean --target-dir target/coverage \
  --timeout 1200 --tests --no-fail-fast --fail-under 85 --out Stdout \
  --exclude-files 'tests/*' 'benches/*' 'bench/*' 'xtask/*' 'examples/*' 'src/*/tests/*' 'src/*/tests.rs' \
  'src/*/test_support.rs' 'src/*/growth.rs' "$@"
