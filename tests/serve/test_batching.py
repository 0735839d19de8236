"""Tests of albert.serve.batching, with a stand-in for the model."""

import asyncio
import threading
import types

import pytest

from albert.serve import batching
from albert.serve.batching import Batcher, BatchLimits, Example, GivenUp, QueueFull

LIMITS = BatchLimits(max_waiting=8, max_batch_size=4, max_batch_length=100)


class GatedModel:
    """Doubles numbers. It computes nothing before `gate` is set, and fails at those in `bad`.

    Attributes:
        batches: what it was called with.
    """

    def __init__(self, bad=()):
        self.gate = threading.Event()
        self.bad = bad
        self.batches = []

    def __call__(self, values):
        self.batches.append(values)
        assert self.gate.wait(60)
        if set(values) & set(self.bad):
            raise ZeroDivisionError(values)
        return [2 * value for value in values]


def run(model, steps, limits=LIMITS, **more):
    """Runs `await steps(batcher)` beside the batcher's loop; returns what it returns."""

    async def both():
        batcher = Batcher(model, limits, **more)
        predicting = asyncio.ensure_future(batcher.run())
        try:
            return await asyncio.wait_for(steps(batcher), 60)
        finally:
            model.gate.set()
            predicting.cancel()

    return asyncio.run(both())


def ask(batcher, *values, length=1, **more):
    """Starts a request."""
    examples = [Example(value, length) for value in values]
    return asyncio.ensure_future(batcher.predict(examples, **more))


async def until(is_true):
    while not is_true():
        await asyncio.sleep(0.001)


async def asked_while_busy(model, batcher, *requests):
    """Returns requests that came while the model computed another one, which is the first."""
    first = ask(batcher, 0)
    await until(lambda: model.batches)
    others = [ask(batcher, *values) for values in requests]
    await asyncio.sleep(0)
    return [first, *others]


def test_what_comes_while_the_model_computes_is_computed_together():
    model = GatedModel()
    observed = []

    async def steps(batcher):
        asked = await asked_while_busy(model, batcher, (1,), (2, 3), (4,), (5, 6))
        assert batcher.num_waiting == 6
        model.gate.set()
        return await asyncio.gather(*asked)

    found = run(model, steps, observe=observed.append)
    assert found == [[0], [2], [4, 6], [8], [10, 12]]
    assert model.batches == [[0], [1, 2, 3, 4], [5, 6]]  # at most 4
    assert observed == [1, 4, 2]


def test_a_request_with_more_inputs_than_a_batch_has_all_its_results_in_order():
    model = GatedModel()

    async def steps(batcher):
        asked = await asked_while_busy(model, batcher, (1, 2, 3, 4, 5, 6), (7,))
        model.gate.set()
        return await asyncio.gather(*asked)

    assert run(model, steps) == [[0], [2, 4, 6, 8, 10, 12], [14]]
    assert model.batches == [[0], [1, 2, 3, 4], [5, 6, 7]]


def test_long_inputs_make_small_batches():
    model = GatedModel()

    async def steps(batcher):
        (first,) = await asked_while_busy(model, batcher)
        asked = [ask(batcher, n, length=length) for n, length in enumerate((60, 30, 30, 500), 1)]
        model.gate.set()
        await asyncio.gather(first, *asked)

    run(model, steps)
    assert model.batches == [[0], [1, 2], [3], [4]]


def test_a_request_that_does_not_fit_into_the_queue_is_refused_and_others_are_not():
    model = GatedModel()

    async def steps(batcher):
        asked = await asked_while_busy(model, batcher, (1, 2, 3, 4, 5, 6, 7))
        with pytest.raises(QueueFull):
            await ask(batcher, 8, 9)
        asked.append(ask(batcher, 10))
        await asyncio.sleep(0)
        model.gate.set()
        return await asyncio.gather(*asked)

    assert run(model, steps)[1:] == [[2, 4, 6, 8, 10, 12, 14], [20]]


def test_a_request_that_is_cancelled_frees_its_places_at_once_and_is_not_computed():
    model = GatedModel()

    async def steps(batcher):
        first, second, third = await asked_while_busy(model, batcher, (1, 2), (3,))
        second.cancel()
        await asyncio.sleep(0)
        assert batcher.num_waiting == 1
        model.gate.set()
        return await asyncio.gather(first, third)

    assert run(model, steps) == [[0], [6]]
    assert model.batches == [[0], [3]]


def test_a_request_that_is_given_up_makes_room_and_is_not_computed():
    model = GatedModel()

    async def steps(batcher):
        (first,) = await asked_while_busy(model, batcher)
        is_gone = []
        gone = ask(batcher, 1, 2, 3, 4, 5, 6, 7, 8, is_given_up=lambda: bool(is_gone))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await ask(batcher, 9)
        is_gone.append(True)
        last = ask(batcher, 9)
        with pytest.raises(GivenUp):
            await gone
        later = ask(batcher, 10, is_given_up=lambda: True)
        model.gate.set()
        with pytest.raises(GivenUp):
            await later
        return await asyncio.gather(first, last)

    assert run(model, steps) == [[0], [18]]
    assert model.batches == [[0], [9]]


def test_an_error_fails_only_the_request_that_causes_it():
    model = GatedModel(bad=[2])

    async def steps(batcher):
        asked = await asked_while_busy(model, batcher, (1,), (2,), (3,))
        model.gate.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
        return found, await ask(batcher, 4)

    (first, before, bad, after), later = run(model, steps)
    assert (first, before, after, later) == ([0], [2], [6], [8])
    assert isinstance(bad, ZeroDivisionError)
    assert model.batches == [[0], [1, 2, 3], [1], [2], [3], [4]]


def test_what_is_left_of_a_request_that_failed_is_not_computed():
    model = GatedModel(bad=[1])

    async def steps(batcher):
        first, bad = await asked_while_busy(model, batcher, (1, 2, 3, 4, 5, 6))
        model.gate.set()
        with pytest.raises(ZeroDivisionError):
            await bad
        assert batcher.num_waiting == 0
        return await ask(batcher, 7)

    assert run(model, steps) == [14]
    assert model.batches == [[0], [1, 2, 3, 4], [7]]


def test_the_time_to_wait_follows_from_the_speed(monkeypatch):
    model = GatedModel()
    now = [0.0]
    clock = types.SimpleNamespace(monotonic=lambda: now[0])  # not that of the event loop
    monkeypatch.setattr(batching, "time", clock)

    async def steps(batcher):
        assert batcher.seconds_to_wait == 1  # no speed is known yet
        asked = await asked_while_busy(model, batcher)
        now[0] += 2.5  # for one input
        model.gate.set()
        await asyncio.gather(*asked)
        model.gate.clear()
        asked = [ask(batcher, 1)]
        await until(lambda: len(model.batches) == 2)
        asked += [ask(batcher, 2, 3, 4)]
        await asyncio.sleep(0)
        found = batcher.seconds_to_wait
        model.gate.set()
        await asyncio.gather(*asked)
        return found

    assert run(model, steps) == 8  # 3 inputs of 2.5 s
