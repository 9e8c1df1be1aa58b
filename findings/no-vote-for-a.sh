#!/usr/bin/env bash
# Which answer has the majority, as `dspy.majority` counts it?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dspy==3.4.1
cat >"$folder/run.py" <<'PYTHON'
from importlib.metadata import version
import dspy

print("dspy", version("dspy"))
for answers in ("A A A B", "B C C", "1.5 15 2", "-5 5 7", "1/2 12 3", "x>3 x<3 x=4", "C C++ Go", "The_Who Who Queen"):
    answers = [it.replace("_", " ") for it in answers.split()]
    print(", ".join(answers), "->", dspy.majority([{"answer": it} for it in answers]).answer)
PYTHON
export LITELLM_LOCAL_MODEL_COST_MAP=True DSPY_CACHEDIR="$folder/cache"
timeout 60 "$folder/venv/bin/python" "$folder/run.py" | tee "$folder/seen"
cat >"$folder/expected" <<'TEXT'
dspy 3.4.1
A, A, A, B -> B
B, C, C -> C
1.5, 15, 2 -> 1.5
-5, 5, 7 -> -5
1/2, 12, 3 -> 1/2
x>3, x<3, x=4 -> x>3
C, C++, Go -> C
The Who, Who, Queen -> The Who
TEXT
diff "$folder/expected" "$folder/seen"
