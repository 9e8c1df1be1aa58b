#!/usr/bin/env bash
# Shows `chorus migrate` on test-old-config.toml: what is written, what stays, and that a second run
# has nothing to do. Works on a copy.
#
#   cargo build && scripts/test_migration.sh
#
# CHORUS_BIN  the binary   default: the newest of release and debug below CARGO_TARGET_DIR or target
# Needs bash. Prints one line per check; exits 1 when one fails.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
binary=${CHORUS_BIN:-}
if [ -z "$binary" ]; then
  for candidate in "$target/release/chorus" "$target/debug/chorus"; do
    if [ -x "$candidate" ] && { [ -z "$binary" ] || [ "$candidate" -nt "$binary" ]; }; then
      binary=$candidate
    fi
  done
fi
if [ -z "$binary" ]; then
  echo "no chorus below $target; run: cargo build"
  exit 1
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
file=$folder/config.toml
cp test-old-config.toml "$file"
chmod 640 "$file"
checked=0 failed=0 code=0

# chorus ARGUMENTS: leaves $code, $folder/out and $folder/err.
chorus() {
  code=0
  "$binary" --config "$file" "$@" >"$folder/out" 2>"$folder/err" || code=$?
}

# check WHAT COMMAND...: one line; what was printed too when it fails.
check() {
  local what=$1
  shift
  checked=$((checked + 1))
  if "$@" >/dev/null 2>&1; then
    echo "ok    $what"
  else
    failed=$((failed + 1))
    echo "FAIL  $what"
    sed 's/^/      /' "$folder/out" "$folder/err"
  fi
}

ended() { [ "$code" -eq "$1" ]; }
says() { grep -qF -- "$1" "$folder/out"; }
remarks() { grep -qF -- "$1" "$folder/err"; }
silent() { ! grep -qF -- "$1" "$folder/out"; }
# The tree and the calls of `chorus check`, without the notices below them and the path above.
meaning() { sed -e 1d -e '/^Notices$/,$d' -e 's/ *$//' "$folder/out" | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'; }

chorus check
check 'the old file loads' ended 0
check 'and is told to be old' says 'chorus migrate'
meaning >"$folder/before"

chorus migrate --dry-run
check 'a dry run succeeds' ended 0
check 'and shows the new form' says '[[model]]'
check 'and says that nothing was written' remarks 'Nothing was written'
check 'and writes nothing' cmp test-old-config.toml "$file"
cp "$folder/out" "$folder/shown"

chorus migrate
check 'the migration succeeds' ended 0
check 'it names the backup' says 'config.toml.bak'
check 'the backup is the old file' cmp test-old-config.toml "$file.bak"
check 'the new file is what the dry run showed' cmp "$folder/shown" "$file"
check 'its mode stays' [ -n "$(find "$file" -perm 640)" ]
check 'a comment explains a change' grep -qF 'was 90000, which is milliseconds' "$file"
check 'the comments of the old file are there' grep -qF 'A file as earlier versions wrote it.' "$file"

chorus check
check 'the new file loads' ended 0
check 'without a notice' silent 'Notices'
meaning >"$folder/after"
check 'with the same models, workflow and calls' cmp "$folder/before" "$folder/after"

chorus migrate
check 'a second migration succeeds' ended 0
check 'and has nothing to do' says 'nothing to do'
check 'and leaves the file as it is' cmp "$folder/shown" "$file"
check 'and makes no second backup' [ ! -e "$file.bak.1" ]

echo
diff -u test-old-config.toml "$file" || true
echo
echo "$checked checks, $failed failed"
[ "$failed" -eq 0 ]
