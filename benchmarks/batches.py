"""Batches of examples of about the same length; standard library only, as the peer needs it."""

import math
import random

_BATCHES_PER_GROUP = 50  # as Hugging Face's sampler that groups by length


def grouped_batches(pool, batch_size, seed):
    """Yields batches (lists of examples of about the same length) for ever.

    An epoch is shuffled and cut into groups, each of which is sorted by length. The batches of a
    group are visited in wide steps, so that any few in a row have long and short sequences.
    """
    numbers = random.Random(seed)
    while True:
        shuffled = numbers.sample(pool, len(pool))
        group_size = batch_size * _BATCHES_PER_GROUP
        for start in range(0, len(pool), group_size):
            group = sorted(shuffled[start : start + group_size], key=length_of)
            num_batches = len(group) // batch_size
            for number in in_wide_steps(num_batches):
                yield group[number * batch_size : (number + 1) * batch_size]


def length_of(row):
    return len(row["input_ids"])


def in_wide_steps(number):
    """Returns 0 to number - 1 in an order in which successive numbers are far apart."""
    step = round(0.618 * number)
    while math.gcd(step, number) > 1:
        step += 1
    return [index * step % number for index in range(number)]
