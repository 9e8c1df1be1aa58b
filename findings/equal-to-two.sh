#!/usr/bin/env bash
# Which answers does `math-verify` take for the same? Five voters, counted with it, depend on who speaks first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check math-verify==0.9.0
cat >"$folder/run.py" <<'PYTHON'
from importlib.metadata import version
from math_verify import parse, verify

def same(one, other):
    return verify(parse(one), parse(other))

print("math-verify", version("math-verify"))
for one, other in (("50%", "0.5"), ("50%", "50"), ("50", "0.5"), ("12:30", "12:45"), ("2026-01-02", "2026-11-30"), ("$x=5$", "$5$"), ("$(1,2)$", "$[1,2]$")):
    print(f"{one} and {other}: {'the same' if same(one, other) else 'different'}")
for answers in (["50%", "50", "0.5", "50", "0.5"], ["0.5", "50", "50%", "50", "50%"]):
    groups = []
    for answer in answers:
        group = next((it for it in groups if same(it[0], answer)), None)
        if group is None:
            groups.append([answer])
        else:
            group.append(answer)
    print(f"{', '.join(answers)}: groups of {', '.join(str(len(it)) for it in groups)}")
PYTHON
timeout 100 "$folder/venv/bin/python" "$folder/run.py" 2>"$folder/log" | tee "$folder/seen" || { tail -n 5 "$folder/log" >&2; exit 1; }
cat >"$folder/expected" <<'TEXT'
math-verify 0.9.0
50% and 0.5: the same
50% and 50: the same
50 and 0.5: different
12:30 and 12:45: the same
2026-01-02 and 2026-11-30: different
$x=5$ and $5$: the same
$(1,2)$ and $[1,2]$: different
50%, 50, 0.5, 50, 0.5: groups of 5
0.5, 50, 50%, 50, 50%: groups of 3, 2
TEXT
diff "$folder/expected" "$folder/seen"
