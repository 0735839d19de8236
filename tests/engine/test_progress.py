"""Tests of albert.engine.progress."""

import pytest

from albert.engine.progress import Progress, count, speed, summary


def add(progress, clock, *steps):
    """Adds steps of (seconds, tokens)."""
    for seconds, num_tokens in steps:
        clock.now += seconds
        progress.add(seconds, num_tokens)


def test_no_speed_is_known_before_the_second_step(clock):
    progress = Progress(100, 32)
    for _ in range(2):
        assert progress.examples_per_second is None
        assert progress.tokens_per_second is None
        assert progress.seconds_left is None
        assert speed(progress) == ""
        add(progress, clock, (30.0, 500))
    assert progress.examples_per_second is not None


def test_speeds_exclude_the_first_step(clock):
    progress = Progress(100, 32)
    add(progress, clock, (30.0, 500), (2.0, 400), (4.0, 800))
    assert progress.examples_per_second == pytest.approx(2 * 32 / 6.0)
    assert progress.tokens_per_second == pytest.approx(1200 / 6.0)


def test_speeds_exclude_the_time_between_steps(clock):
    progress = Progress(100, 32)
    add(progress, clock, (30.0, 500), (2.0, 400))
    clock.now += 500.0  # an evaluation
    add(progress, clock, (4.0, 800))
    assert progress.seconds == pytest.approx(36.0)
    assert progress.examples_per_second == pytest.approx(2 * 32 / 6.0)
    assert progress.wall_seconds == pytest.approx(536.0)


def test_time_left_includes_the_time_between_steps(clock):
    progress = Progress(12, 32)
    progress.step = 6  # from the run before
    add(progress, clock, (30.0, 500), (2.0, 400))
    clock.now += 4.0
    add(progress, clock, (2.0, 400))
    assert progress.step == 9
    assert progress.num_steps == 3
    assert progress.seconds_left == pytest.approx(3 * (2.0 + 4.0 + 2.0) / 2)


def test_steps_that_take_no_time_do_not_divide_by_zero(clock):
    progress = Progress(4, 32)
    add(progress, clock, (0.0, 1), (0.0, 1))
    assert progress.examples_per_second > 0


def test_speed_and_summary_in_words(clock):
    progress = Progress(4, 32)
    add(progress, clock, (30.0, 500))
    assert summary(progress) == (
        "Trained 1 step in 00:30, 00:30 of it in the steps: too few for a speed."
    )
    add(progress, clock, (2.0, 40960))
    clock.now += 3600.0
    assert speed(progress) == "16.0 examples/s, 20.5k tokens/s"
    assert summary(progress) == (
        "Trained 2 steps in 1:00:32, 00:32 of it in the steps: 16.0 examples/s, 20.5k tokens/s."
    )


@pytest.mark.parametrize(
    "number, text", [(0.0, "0.00"), (2.914, "2.91"), (912.4, "912"), (14200, "14.2k")]
)
def test_count(number, text):
    assert count(number) == text
