"""How far a training run is and how fast it goes, in numbers and in words."""

import time

import tqdm


class Progress:
    """Counts steps, and the examples and real tokens that they took.

    Speeds are those inside steps, without the first one, which includes warming up; they are None
    before the second step.

    Attributes:
        step: int, the last step that was done.
        last_step: int, the step to reach.
        num_steps: int, how many were done here.
        seconds: wall time spent inside steps.

    Args:
        last_step: int.
        examples_per_step: int, the global batch.
    """

    def __init__(self, last_step, examples_per_step):
        self.step = 0
        self.last_step = last_step
        self.num_steps = 0
        self.seconds = 0.0
        self._examples_per_step = examples_per_step
        self._since = time.monotonic()
        self._warm_since = None
        self._timed_seconds = 0.0
        self._timed_tokens = 0

    def add(self, seconds, num_tokens):
        """Counts a step that took so long for so many tokens, padding not among them."""
        self.step += 1
        self.num_steps += 1
        self.seconds += seconds
        if self._warm_since is None:
            self._warm_since = time.monotonic()
        else:
            self._timed_seconds += seconds
            self._timed_tokens += num_tokens

    @property
    def wall_seconds(self):
        """Time since this was made."""
        return time.monotonic() - self._since

    @property
    def examples_per_second(self):
        return self._per_second((self.num_steps - 1) * self._examples_per_step)

    @property
    def tokens_per_second(self):
        return self._per_second(self._timed_tokens)

    @property
    def seconds_left(self):
        """Wall time to the last step if all between steps goes on taking its share; or None."""
        if self.num_steps < 2:
            return None
        per_step = (time.monotonic() - self._warm_since) / (self.num_steps - 1)
        return per_step * (self.last_step - self.step)

    def _per_second(self, amount):
        return amount / max(self._timed_seconds, 1e-9) if self.num_steps > 1 else None


def speed(progress):
    """Returns such as "912 examples/s, 14.2k tokens/s", or "" where that is not known yet."""
    if progress.examples_per_second is None:
        return ""
    return f"{count(progress.examples_per_second)} examples/s, " + (
        f"{count(progress.tokens_per_second)} tokens/s"
    )


def summary(progress):
    """Returns what to say when training has ended."""
    steps = "1 step" if progress.num_steps == 1 else f"{progress.num_steps} steps"
    took = f"{steps} in {duration(progress.wall_seconds)}"
    inside = f"{duration(progress.seconds)} of it in the steps"
    return f"Trained {took}, {inside}: {speed(progress) or 'too few for a speed'}."


def count(number):
    """Returns a number that is not negative in about three digits: 2.91, 912, 14.2k."""
    return tqdm.tqdm.format_sizeof(number)


def duration(seconds):
    """Returns a time as mm:ss or h:mm:ss."""
    return tqdm.tqdm.format_interval(seconds)
