#!/usr/bin/env bash
# Prints which share of the product's lines the tests run, and fails below 85 %. Tests, benches and
# examples are not counted as product.
#
#   scripts/coverage.sh [OPTIONS OF TARPAULIN]
#
# Needs cargo-tarpaulin 0.37 (`cargo install cargo-tarpaulin --version 0.37.5 --locked`), which counts
# without a toolchain component that would have to be installed. Builds into a folder of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo tarpaulin --version >/dev/null 2>&1 || { sed -n '7,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
cargo tarpaulin --locked --engine ptrace --skip-clean --target-dir target/coverage --timeout 600 \
  --lib --tests --follow-exec --fail-under 85 --out Stdout \
  --exclude-files 'tests/*' 'benches/*' 'bench/*' 'xtask/*' 'examples/*' 'src/*/tests/*' 'src/*/tests.rs' "$@"
