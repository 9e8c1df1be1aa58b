#!/usr/bin/env bash
# What does the `flexible-extract` filter of lm-eval's GSM8K take for the answer? The task's own settings are read from the package.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# The filter needs none of the rest.
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps lm-eval==0.4.13 pyyaml==6.0.3
cat >"$folder/run.py" <<'PYTHON'
import re
from importlib.metadata import files, version
import yaml
from lm_eval.filters.extraction import RegexFilter

print("lm-eval", version("lm-eval"))
task = next(it for it in files("lm-eval") if it.as_posix().endswith("tasks/gsm8k/gsm8k.yaml"))
task = yaml.safe_load(task.locate().read_text())
settings = next(it for it in task["filter_list"] if it["name"] == "flexible-extract")["filter"][0]
ignored = next(it for it in task["metric_list"] if it["metric"] == "exact_match")["regexes_to_ignore"]
regex = RegexFilter(**{key: value for key, value in settings.items() if key != "function"})
for answer in ("The answer is 42.", "The answer is 42. I hope this helps...", "The answer is 42 (that is 7 x 6).", "42 $", "So 42, ..."):
    [[found]] = regex.apply([[answer]], [{}])
    kept = found
    for it in ignored:
        kept = re.sub(it, "", kept)
    print(f"{answer!r}: {found!r}, compared as {kept!r}")
PYTHON
timeout 100 "$folder/venv/bin/python" "$folder/run.py" 2>"$folder/log" | tee "$folder/seen" || { tail -n 5 "$folder/log" >&2; exit 1; }
cat >"$folder/expected" <<'TEXT'
lm-eval 0.4.13
'The answer is 42.': '42.', compared as '42'
'The answer is 42. I hope this helps...': '...', compared as '..'
'The answer is 42 (that is 7 x 6).': '6', compared as '6'
'42 $': '42', compared as '42'
'So 42, ...': '...', compared as '..'
TEXT
diff "$folder/expected" "$folder/seen"
