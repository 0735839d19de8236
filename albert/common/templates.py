"""Templates of the pages that packages write, in files beside their modules."""

import os
import re

import jinja2


def environment_of(module_file: str) -> jinja2.Environment:
    """Returns the environment of templates that lie beside a module."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(os.path.dirname(module_file)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def encodable(text: str) -> str:
    """Returns a text without lone surrogates, which JSON allows and UTF-8 does not have."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
