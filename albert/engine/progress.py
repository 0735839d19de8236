"""How far a training run is and how fast it goes, in numbers and in words."""

import time
from typing import Optional

import tqdm


class Progress:
    """Counts steps, and the examples and real tokens that they took.

    Speeds count only the time inside steps, and leave out the first step, which includes warming
    up; they are None before the second step.

    Attributes:
        step: the last step that was done.
        last_step: the step to reach.
        num_steps: how many steps this process has done.
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
        self._made_at = time.monotonic()
        self._warm_since: Optional[float] = None
        self._timed_seconds = 0.0
        self._timed_tokens = 0

    def add(self, seconds: float, num_tokens: int) -> None:
        """Counts a step that took `seconds` for that many tokens, padding left out."""
        self.step += 1
        self.num_steps += 1
        self.seconds += seconds
        if self._warm_since is None:
            self._warm_since = time.monotonic()
        else:
            self._timed_seconds += seconds
            self._timed_tokens += num_tokens

    @property
    def wall_seconds(self) -> float:
        """Seconds since this object was made."""
        return time.monotonic() - self._made_at

    @property
    def examples_per_second(self) -> Optional[float]:
        return self._per_second((self.num_steps - 1) * self._examples_per_step)

    @property
    def tokens_per_second(self) -> Optional[float]:
        return self._per_second(self._timed_tokens)

    @property
    def seconds_left(self) -> Optional[float]:
        """Wall time to the last step at the pace so far, which includes saving and evaluating."""
        if self.num_steps < 2 or self._warm_since is None:
            return None
        per_step = (time.monotonic() - self._warm_since) / (self.num_steps - 1)
        return per_step * (self.last_step - self.step)

    def _per_second(self, amount):
        return amount / max(self._timed_seconds, 1e-9) if self.num_steps > 1 else None


def speed(progress: Progress) -> str:
    """Returns the speed, such as "912 examples/s, 14.2k tokens/s"; "" before there is one."""
    if progress.examples_per_second is None or progress.tokens_per_second is None:
        return ""
    return f"{count(progress.examples_per_second)} examples/s, " + (
        f"{count(progress.tokens_per_second)} tokens/s"
    )


def summary(progress: Progress) -> str:
    """Returns a sentence on a training that has ended."""
    steps = "1 step" if progress.num_steps == 1 else f"{progress.num_steps} steps"
    took = f"{steps} in {duration(progress.wall_seconds)}"
    inside = f"{duration(progress.seconds)} of it in the steps"
    return f"Trained {took}, {inside}: {speed(progress) or 'too few for a speed'}."


def count(number: float) -> str:
    """Returns a number of 0 or more in about three digits: 2.91, 912, 14.2k."""
    return tqdm.tqdm.format_sizeof(number)


def duration(seconds: float) -> str:
    """Returns a time as mm:ss or h:mm:ss."""
    return tqdm.tqdm.format_interval(seconds)
