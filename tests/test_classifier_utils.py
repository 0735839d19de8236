"""Tests of albert.classifier_utils: tasks by their names."""

import pytest
from tiny_glue import make_task

from albert.common.errors import UsageError
from albert.glue import table


def test_task_names_ignore_case(tmp_path):
    assert make_task(tmp_path, "STS-B").name == "sts-b"


def test_an_unknown_task_is_a_usage_error_that_lists_the_known_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "OWN_TASKS", {})
    with pytest.raises(UsageError) as caught:
        make_task(tmp_path, "race")
    assert caught.value.text("--{}".format) == (
        "--task_name=race is unknown; it must be one of "
        "ax, cola, mnli, mrpc, qnli, qqp, rte, sst-2, sts-b, wnli."
    )


@pytest.mark.parametrize(
    "name, meant",
    [
        ("SST2", "SST-2"),
        ("STSB", "STS-B"),
        ("sts_b", "STS-B"),
        ("mnli-mm", "MNLI"),
        ("CoLa2", "CoLA"),
        ("diagnostic", "AX"),
    ],
)
def test_a_misspelt_task_is_a_usage_error_that_proposes_the_right_one(tmp_path, name, meant):
    with pytest.raises(UsageError) as caught:
        make_task(tmp_path, name)
    assert caught.value.text("--{}".format).startswith(
        f"--task_name={name} is unknown: did you mean --task_name={meant}? It must be one of ax, "
    )
