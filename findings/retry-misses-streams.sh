#!/usr/bin/env bash
# A stream fails before its first piece, so that a second try would harm nobody. Which of the tools that try three times do so?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tenacity==9.1.2 backoff==2.2.1 stamina==26.1.0 langchain-core==1.8.3
cat >"$folder/run.py" <<'PYTHON'
import asyncio, logging
from importlib.metadata import version
import backoff, stamina, tenacity
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel

logging.disable()
tries = 0

def pieces():
    global tries
    tries += 1
    raise ConnectionError
    yield "never"

async def pieces_later():
    for piece in pieces():
        yield piece

def whole():
    return list(pieces())

async def gather(stream):
    return [piece async for piece in stream]

class Model(GenericFakeChatModel):
    def _generate(self, *_, **__):
        return whole()
    def _stream(self, *_, **__):
        return pieces()

ways = {
    "tenacity": tenacity.retry(stop=tenacity.stop_after_attempt(3), reraise=True),
    "backoff": backoff.on_exception(backoff.constant, ConnectionError, max_tries=3, interval=0),
    "stamina": stamina.retry(on=ConnectionError, attempts=3, wait_initial=0, wait_jitter=0),
}
asked = {
    name: {
        "a call": way(whole), "a generator": lambda way=way: list(way(pieces)()),
        "an async generator": lambda way=way: asyncio.run(gather(way(pieces_later)())),
    }
    for name, way in ways.items()
}
model = Model(messages=iter([])).with_retry(stop_after_attempt=3, wait_exponential_jitter=False)
asked["langchain-core"] = {"invoke": lambda: model.invoke("hi"), "stream": lambda: list(model.stream("hi"))}
for name, ways in asked.items():
    counts = []
    for way, ask in ways.items():
        tries = 0
        try:
            ask()
        except ConnectionError:
            counts.append(f"{way} {tries}")
    print(name, version(name) + ", tries:", ", ".join(counts))
PYTHON
timeout 60 "$folder/venv/bin/python" "$folder/run.py" | tee "$folder/seen"
cat >"$folder/expected" <<'TEXT'
tenacity 9.1.2, tries: a call 3, a generator 1, an async generator 1
backoff 2.2.1, tries: a call 3, a generator 1, an async generator 1
stamina 26.1.0, tries: a call 3, a generator 3, an async generator 3
langchain-core 1.8.3, tries: invoke 3, stream 1
TEXT
diff "$folder/expected" "$folder/seen"
