"""Every Python block of the READMEs and the manual, run as it stands but for the address."""

import contextlib
import io
import os
import pathlib
import re

import checks

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("README*.md"), *ROOT.glob("docs/*/src/**/*.md")])


def runs(code):
    def check(_prompt):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(code.replace("http://127.0.0.1:11435", checks.CHORUS), {})
        assert checks.ANSWER in said.getvalue(), said.getvalue()

    return check


for document in DOCUMENTS:
    text = document.read_text(encoding="utf-8")
    for block in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, block.start()) + 1
        name = os.path.relpath(document, ROOT)
        checks.check(name, f"the block at line {line}")(runs(block[1]))

checks.run("documents")
