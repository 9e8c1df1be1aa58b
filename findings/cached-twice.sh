#!/usr/bin/env bash
# A prompt of 1,000 tokens, 900 of them from the cache. What does litellm's cost_per_token say that it costs, at the prices
# of its own table and at prices that the caller gives?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check litellm==1.110.2
cat >"$folder/run.py" <<'PYTHON'
from importlib.metadata import version
import litellm

print("litellm", version("litellm"))
MILLION = 1_000_000
for name in ("gpt-5", "my-model"):
    known = litellm.model_cost.get(name, {"input_cost_per_token": 1.25 / MILLION, "cache_read_input_token_cost": 0.125 / MILLION})
    read, cached = known["input_cost_per_token"], known["cache_read_input_token_cost"]
    own = {} if name in litellm.model_cost else {"custom_cost_per_token": known | {"output_cost_per_token": 10 / MILLION}}
    cost, _ = litellm.cost_per_token(model=name, prompt_tokens=1000, completion_tokens=100, cache_read_input_tokens=900, **own)
    paid = round((cost - 900 * cached) / read)
    whose = "given" if own else "litellm's"
    print(f"{name}, prices {whose}: {cost * MILLION:.1f} millionths for the prompt, so 900 tokens from the cache and {paid} beside them")
PYTHON
export LITELLM_LOCAL_MODEL_COST_MAP=True
timeout 60 "$folder/venv/bin/python" "$folder/run.py" | tee "$folder/seen"
cat >"$folder/expected" <<'TEXT'
litellm 1.110.2
gpt-5, prices litellm's: 237.5 millionths for the prompt, so 900 tokens from the cache and 100 beside them
my-model, prices given: 1362.5 millionths for the prompt, so 900 tokens from the cache and 1000 beside them
TEXT
diff "$folder/expected" "$folder/seen"
