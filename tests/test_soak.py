"""A short form of tests/soak.py, which kills training at random moments."""

import pytest
import soak

pytestmark = pytest.mark.slow


def test_a_run_that_is_killed_twice_ends_as_if_nothing_had_happened(tmp_path):
    log, _ = soak.run(2, seed=4, folder=tmp_path, settings={"train_steps": 15, "num_examples": 200})
    assert len(log) == 2
