#!/usr/bin/env bash
# jiter reads the unfinished JSON of a stream for the openai, anthropic and pydantic packages. What
# does a program see while "amount": 1250.75 arrives?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jiter==0.14.0
cat >"$folder/run.py" <<'PYTHON'
import importlib.metadata
import jiter

print("jiter", importlib.metadata.version("jiter"))
text = '{"amount": 1250.75, "to": "Ann"} and more'
for end in [12, 13, 15, 16, 17, 18, 19, 29, 32, len(text)]:
    seen = jiter.from_json(text[:end].encode(), partial_mode=True)
    print(f"{text[:end]} is {seen}")
PYTHON
timeout 60 "$folder/venv/bin/python" "$folder/run.py" | tee "$folder/seen"
cat >"$folder/expected" <<'TEXT'
jiter 0.14.0
{"amount": 1 is {'amount': 1}
{"amount": 12 is {'amount': 12}
{"amount": 1250 is {'amount': 1250}
{"amount": 1250. is {}
{"amount": 1250.7 is {'amount': 1250.7}
{"amount": 1250.75 is {'amount': 1250.75}
{"amount": 1250.75, is {'amount': 1250.75}
{"amount": 1250.75, "to": "An is {'amount': 1250.75}
{"amount": 1250.75, "to": "Ann"} is {'amount': 1250.75, 'to': 'Ann'}
{"amount": 1250.75, "to": "Ann"} and more is {'amount': 1250.75, 'to': 'Ann'}
TEXT
diff "$folder/expected" "$folder/seen"
