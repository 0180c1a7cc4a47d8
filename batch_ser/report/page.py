"""The page: a template, a style, scripts and data in one file that opens offline.

Nothing in the data can become markup: it is JSON in which no `<` is left, and the scripts write it
as text. A policy in the page forbids what is not in it: only these scripts run, and nothing loads.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

MARK = "<!DOCTYPE html>\n<!-- a report of batch-ser -->"
SCRIPTS = ("elements.js", "charts.js", "clips.js", "tables.js", "call.js", "archive.js")
STYLE, TEMPLATE = "page.css", "page.html"
SLOT = re.compile(r"\{\{(\w+)\}\}")
POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src data:; media-src data:; "
    "base-uri 'none'; form-action 'none'"
)
CONTENT_BYTES = 20_000_000  # of a report, at most


def make_page(title: str, content: Mapping[str, Any]) -> bytes:
    """The page of a report, in UTF-8; `content` is what its scripts show.

    Raises:
        ValueError: it holds a number that is not finite.
    """
    script = "\n".join(["(() => {", '"use strict";', *map(_text, SCRIPTS), "})();"])
    style = _text(STYLE)
    slots = {
        "title": html.escape(title),
        "policy": POLICY.format(script=_source(script), style=_source(style)),
        "style": style,
        "script": script,
        "data": as_script_data(content),
    }
    page = SLOT.sub(lambda slot: slots[slot[1]], _text(TEMPLATE))
    return f"{MARK}\n{page}".encode(errors="replace")


def is_page(data: bytes) -> bool:
    """Whether a file is a page that `make_page` made."""
    return data.startswith(MARK.encode())


def as_script_data(content: Mapping[str, Any]) -> str:
    """JSON that ends no `<script>` and begins no comment in it, whatever texts it has."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _text(name: str) -> str:
    return files("batch_ser.report").joinpath(name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
