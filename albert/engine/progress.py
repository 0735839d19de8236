"""Progress and speed of a training run, as numbers and as text."""

import time
from typing import Optional

import tqdm

from albert.common.console import duration


class Progress:
    """Counts steps and measures speeds in examples and real tokens.

    Speeds count only the time inside steps and exclude the first step, which includes start-up
    work; they are None before the second step.

    Attributes:
        step: number of the last completed step.
        last_step: number of the step at which training ends.
        num_steps: how many steps this process has completed.
        seconds: wall time spent inside steps.

    Args:
        examples_per_step: the global batch.
    """

    def __init__(self, last_step: int, examples_per_step: int) -> None:
        self.step = 0
        self.last_step = last_step
        self.num_steps = 0
        self.seconds = 0.0
        self._examples_per_step = examples_per_step
        self._created_at = time.monotonic()
        self._first_step_ended_at: Optional[float] = None
        self._timed_seconds = 0.0
        self._timed_tokens = 0

    def add(self, seconds: float, num_tokens: int) -> None:
        """Counts a step that took `seconds` for that many tokens, not counting padding."""
        self.step += 1
        self.num_steps += 1
        self.seconds += seconds
        if self._first_step_ended_at is None:
            self._first_step_ended_at = time.monotonic()
        else:
            self._timed_seconds += seconds
            self._timed_tokens += num_tokens

    @property
    def wall_seconds(self) -> float:
        """Seconds since this object was created."""
        return time.monotonic() - self._created_at

    @property
    def examples_per_second(self) -> Optional[float]:
        return self._per_second((self.num_steps - 1) * self._examples_per_step)

    @property
    def tokens_per_second(self) -> Optional[float]:
        return self._per_second(self._timed_tokens)

    @property
    def seconds_left(self) -> Optional[float]:
        """Estimated wall time to the last step, with saving and evaluating at the pace so far."""
        if self.num_steps < 2 or self._first_step_ended_at is None:
            return None
        per_step = (time.monotonic() - self._first_step_ended_at) / (self.num_steps - 1)
        return per_step * (self.last_step - self.step)

    def _per_second(self, amount):
        return amount / max(self._timed_seconds, 1e-9) if self.num_steps > 1 else None


def speed(progress: Progress) -> str:
    """Returns the speed, such as "912 examples/s, 14.2k tokens/s"; "" if it is not known yet."""
    if progress.examples_per_second is None or progress.tokens_per_second is None:
        return ""
    return f"{count(progress.examples_per_second)} examples/s, " + (
        f"{count(progress.tokens_per_second)} tokens/s"
    )


def summary(progress: Progress) -> str:
    """Returns a sentence that sums up a finished training run."""
    steps = "1 step" if progress.num_steps == 1 else f"{progress.num_steps} steps"
    took = f"{steps} in {duration(progress.wall_seconds)}"
    inside = f"{duration(progress.seconds)} of it in the steps"
    return f"Trained {took}, {inside}: {speed(progress) or 'too few for a speed'}."


def count(number: float) -> str:
    """Returns a number of 0 or more in about three digits: 2.91, 912, 14.2k."""
    return tqdm.tqdm.format_sizeof(number)
