"""Tests of the documents: what they name is there."""

import pathlib
import re

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
DIFFERENCES = (REPOSITORY / "docs" / "differences.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "file, name", sorted(set(re.findall(r"`(test_\w+\.py)::(\w+)`", DIFFERENCES)))
)
def test_every_test_that_the_differences_name_exists(file, name):
    assert (
        f"def {name}(" in (REPOSITORY / "tests" / file).read_text(encoding="utf-8")
        if name
        else True
    )


def test_every_row_of_the_differences_names_a_test():
    rows = re.findall(r"^\| \d+ \|.*$", DIFFERENCES, re.MULTILINE)
    assert len(rows) >= 18
    assert all("`test_" in row for row in rows)
