"""Installs the package `albert`; requirements.txt is the only list of what it requires."""

import pathlib

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).resolve().parent


def read_text(name):
    """Returns the text of a file beside this one, or "" if it does not exist."""
    path = ROOT / name
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def read_requirements(name):
    """Returns the lines of a requirements file, without comments, blank lines and pip options.

    Raises RuntimeError if there are none: the package would install without its requirements, and
    fail at the first import.
    """
    lines = [line.split(" #")[0].strip() for line in read_text(name).splitlines()]
    requirements = [line for line in lines if line and not line.startswith(("#", "-"))]
    if not requirements:
        raise RuntimeError(f"{ROOT / name} is missing or lists no requirement.")
    return requirements


setup(
    name="albert-multigpu",
    version="0.1.0",
    description="Fine-tunes ALBERT on GLUE, SQuAD and RACE, on one or many GPUs, with TensorFlow",
    long_description=read_text("README.md"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["albert", "albert.*"]),
    package_data={"albert.report": ["page.html"], "albert.serve": ["page.html"]},
    python_requires=">=3.7,!=3.8.*,<3.12",
    install_requires=read_requirements("requirements.txt"),
    extras_require={"dev": read_requirements("requirements-dev.txt")},
)
