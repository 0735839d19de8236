"""The page on which people try the model: a form made from what the task reads."""

import base64
import hashlib
import re
from typing import Any, NamedTuple

from albert.common import templates


class Page(NamedTuple):
    """The page, and the Content-Security-Policy that lets a browser run only its own code."""

    body: bytes
    policy: str


def render(task: Any) -> Page:
    """Returns the page for a task: a field for each text of its `input_columns`."""
    text = templates.encodable(
        templates.environment_of(__file__)
        .get_template("page.html")
        .render(name=task.name, columns=task.input_columns, letters="ABCDEFGH")
    )
    sources = {tag: _hash_of(text, tag) for tag in ("style", "script")}
    policy = (
        f"default-src 'none'; style-src {sources['style']}; script-src {sources['script']}; "
        "connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(text.encode(), policy)


def _hash_of(text: str, tag: str) -> str:
    """Returns the source expression that allows the one element of that name."""
    (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"
