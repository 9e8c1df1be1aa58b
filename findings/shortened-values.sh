#!/usr/bin/env bash
# json_repair mends the JSON of models. What does it make of a value that lacks its quotes?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check json_repair==0.64.6
cat >"$folder/run.py" <<'PYTHON'
import importlib.metadata
import json_repair

print("json_repair", importlib.metadata.version("json_repair"))
for value in ["2026-01-02", "1/3", "1,200", "12:30", "10%", "3 + 4", "+49 30 123", "5 to 8 apples"]:
    mended = json_repair.loads('{"a": %s}' % value)["a"]
    print(f"{value} becomes {mended!r}")
PYTHON
timeout 60 "$folder/venv/bin/python" "$folder/run.py" | tee "$folder/seen"
cat >"$folder/expected" <<'TEXT'
json_repair 0.64.6
2026-01-02 becomes '2026-01-02'
1/3 becomes '1/3'
1,200 becomes '1,200'
12:30 becomes 12
10% becomes 10
3 + 4 becomes 3
+49 30 123 becomes 49
5 to 8 apples becomes 5
TEXT
diff "$folder/expected" "$folder/seen"
