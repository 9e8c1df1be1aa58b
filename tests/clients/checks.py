"""What both Python scripts share: naming checks, running them, and asking the upstream."""

import json
import os
import time
import traceback
import urllib.request

CHORUS = os.environ["CHORUS_URL"]
UPSTREAM = os.environ["UPSTREAM_URL"]
SKIPPED = os.environ.get("CHORUS_SKIP", "").split()
ONLY = os.environ.get("CHORUS_ONLY", "")

ANSWER = "The sky is blue: 蓝色."
FIRST_PIECES = "The sky is blue: "
THOUGHT = "Blue scatters most."
VECTOR = [0.25, -0.5, 1.0]
# The tokens of a call of the upstream. A workflow tells those of its last call as the answer's, and
# those of all three, two workers and the synthesizer, in its `chorus` object.
TOKENS, TOGETHER = (9, 4), (27, 12)
BOTH = ("talks", "chorus")

TOOL_RESULT = "21 degrees in Rome"
TOOL_ANSWER = f"The tool said: {TOOL_RESULT}"
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells the weather", "parameters": PARAMETERS},
}

checks = []


def check(endpoint, what):
    """Marks a function as a check. It gets a prompt of its own, by which the upstream knows it."""

    def add(function):
        checks.append((endpoint, what, function))
        return function

    return add


def run(client):
    """Runs every check of a client, one line each."""
    for endpoint, what, function in checks:
        name = f"{client}  {endpoint}  {what}"
        if ONLY not in name:
            continue
        if endpoint in SKIPPED:
            print(f"off   {name}", flush=True)
            continue
        try:
            function(f"[{name}]")
        except Exception:  # whatever it is, the next check should run
            print(f"FAIL  {name}", flush=True)
            print("      " + traceback.format_exc().strip().replace("\n", "\n      "), flush=True)
        else:
            print(f"ok    {name}", flush=True)


def same(got, wanted):
    assert got == wanted, f"got {got!r} instead of {wanted!r}"


def has(text, wanted):
    assert wanted in text, f"{text!r} lacks {wanted!r}"


def raised(kind, action):
    """The exception of exactly this class that the action raises."""
    try:
        result = action()
    except Exception as error:
        assert type(error) is kind, f"raised {type(error).__name__}, not {kind.__name__}: {error}"
        return error
    raise AssertionError(f"raised nothing; returned {result!r}")


def seen(prompt):
    """The upstream's calls for a prompt."""
    with urllib.request.urlopen(f"{UPSTREAM}/seen", timeout=10) as reply:
        return [call for call in json.load(reply) if call["prompt"] == prompt]


def endings(prompt):
    """How the upstream's calls for a prompt ended. It notes an end a moment after the last byte."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        ends = [call["end"] for call in seen(prompt)]
        if ends and None not in ends:
            return ends
        time.sleep(0.05)
    raise AssertionError(f"the model was left talking to nobody: {seen(prompt)}")


def hung_up_on(prompt):
    """Waits until the upstream has seen its only caller hang up."""
    same(endings(prompt), ["hung up"])
