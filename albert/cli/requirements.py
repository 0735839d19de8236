"""What the project needs, as requirements.txt or the installed distribution states it.

Imports nothing outside the standard library until it is used, and works without `packaging`.
"""

import importlib
import pathlib
import re
from typing import Dict, List, NamedTuple, Optional

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_DISTRIBUTION = "albert-multigpu"  # the name in setup.py


class Installed(NamedTuple):
    """An installed distribution: its version, and its requirements as its metadata writes them."""

    version: str
    requirements: List[str]


def find_installed(distribution: str) -> Optional[Installed]:
    """Returns an installed distribution, or None."""
    try:
        metadata = importlib.import_module("importlib.metadata")
    except ImportError:
        return _find_in_python_3_7(distribution)
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return None
    return Installed(found.version, list(found.requires or ()))


def _find_in_python_3_7(distribution: str) -> Optional[Installed]:
    try:
        working_set = importlib.import_module("pkg_resources").working_set
    except ImportError:  # no setuptools
        return None
    found = working_set.by_key.get(distribution)
    return found and Installed(found.version, [str(row) for row in found.requires()])


def read() -> List[str]:
    """Returns the project's requirements, one a line, in the order in which they are written."""
    path = _ROOT / "requirements.txt"
    if (_ROOT / "scripts" / "setup_env.sh").exists() and path.exists():  # a checkout
        return path.read_text(encoding="utf-8").splitlines()
    installed = find_installed(_DISTRIBUTION)
    return installed.requirements if installed else []


def for_python(python: str, lines: List[str]) -> Dict[str, str]:
    """Returns {package: allowed versions, such as "<1.19" or ""} for one version of Python.

    Without `packaging` every package that a line names is returned, and any version is allowed.
    """
    lines = [line for line in (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines) if line]
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return {re.split(r"[^\w.-]", line)[0]: "" for line in lines}
    environment = {
        "python_version": ".".join(python.split(".")[:2]),
        "python_full_version": python,
        "extra": "",
    }
    parsed = [Requirement(line) for line in lines]
    return {
        row.name: str(row.specifier)
        for row in parsed
        if row.marker is None or row.marker.evaluate(environment)
    }


def allows(versions: str, version: str) -> bool:
    """Returns whether a version is among the allowed ones; always True without `packaging`."""
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:
        return True
    return SpecifierSet(versions).contains(version, prereleases=True)
