"""Predicts the inputs of many requests together.

While the model computes, in a thread of its own, requests gather in a queue; when it is free, it
takes those that have come. Nothing waits for a batch to fill, so a lone request is answered as soon
as it can be. All state belongs to the event loop; only `_predict_parts` runs in the thread.
"""

import asyncio
import collections
import concurrent.futures
import math
import time
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

Results = List[Dict[str, Any]]


class BatchLimits(NamedTuple):
    """Bounds of the queue, and of what the model computes at a time.

    Attributes:
        max_waiting: inputs in the queue.
        max_batch_size: inputs of a batch.
        max_batch_length: their sum of lengths, but a batch has at least one input. More would not
            be faster, and the first input of a batch waits for its last.
    """

    max_waiting: int
    max_batch_size: int
    max_batch_length: int


class Example(NamedTuple):
    """An input, ready to be predicted, and its length in characters."""

    value: Any
    length: int


class QueueFull(Exception):
    """The queue has no room for the inputs of a request."""


class GivenUp(Exception):
    """Nobody waits for the answer to a request any more."""


class _Request:
    """The examples of a request: those to compute, and the results of the others."""

    def __init__(self, examples: Sequence[Example], is_given_up: Callable[[], bool]) -> None:
        self.waiting: Deque[Example] = collections.deque(examples)
        self.num_examples = len(examples)
        self.results: Results = []
        self.is_given_up = is_given_up
        self.answer: asyncio.Future[Results] = asyncio.get_event_loop().create_future()

    def expire(self) -> None:
        """Ends the wait for the answer."""
        if not self.answer.done():
            self.answer.set_exception(asyncio.TimeoutError())


class Batcher:
    """A bounded queue of inputs, and the loop that predicts them; made in a running event loop.

    Args:
        predict: returns the results of examples, in order; called in one thread, one call at a
            time.
        observe: called with the number of inputs of each batch that was computed.
    """

    def __init__(
        self,
        predict: Callable[[List[Any]], Results],
        limits: BatchLimits,
        observe: Callable[[int], None] = lambda num_inputs: None,
    ) -> None:
        self._predict = predict
        self._limits = limits
        self._observe = observe
        self._requests: Dict[_Request, None] = collections.OrderedDict()  # those with any waiting
        self._num_waiting = 0
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "predict")
        self._has_requests = asyncio.Event()
        self._seconds_per_input: Optional[float] = None

    @property
    def num_waiting(self) -> int:
        """How many inputs are in the queue."""
        return self._num_waiting

    @property
    def seconds_to_wait(self) -> int:
        """How long it takes to predict what is in the queue, at the latest speed; at least 1."""
        return max(math.ceil(self.num_waiting * (self._seconds_per_input or 0.0)), 1)

    async def predict(
        self,
        examples: Sequence[Example],
        is_given_up: Callable[[], bool] = lambda: False,
        timeout: Optional[float] = None,
    ) -> Results:
        """Returns the results of a request's examples. Cancelling it frees their places at once.

        Args:
            is_given_up: whether the request still needs an answer; asked when its examples would
                be computed, or when the queue is full.
            timeout: seconds until it is given up; None waits for ever.

        Raises:
            QueueFull: there is no room for all examples.
            asyncio.TimeoutError: there was no answer in time.
            GivenUp: `is_given_up` returned True.
            Exception: what `predict` raises for the examples of this request alone.
        """
        if not self._has_room(len(examples)):
            self._drop_given_up()
        if not self._has_room(len(examples)):
            raise QueueFull
        request = _Request(examples, is_given_up)
        self._requests[request] = None
        self._num_waiting += len(examples)
        self._has_requests.set()
        # Not asyncio.wait_for, which makes a task for every request.
        timer = timeout and asyncio.get_event_loop().call_later(timeout, request.expire)
        try:
            return await request.answer
        finally:
            self._remove(request)
            if timer:
                timer.cancel()

    async def run(self) -> None:
        """Predicts what comes, until it is cancelled; a batch that is being computed goes on."""
        try:
            while True:
                await self._has_requests.wait()
                batch = self._take()
                if batch:
                    await self._predict_batch(batch)
                if not self._requests:
                    self._has_requests.clear()
        finally:
            self._thread.shutdown(wait=False)

    def _has_room(self, num_examples: int) -> bool:
        return self._num_waiting + num_examples <= self._limits.max_waiting

    def _take(self) -> List[Tuple[_Request, List[Example]]]:
        """Returns the next batch: requests, each with those of its examples that are in it."""
        limits = self._limits
        batch: List[Tuple[_Request, List[Example]]] = []
        size = length = 0
        while self._requests:
            request = next(iter(self._requests))
            if request.is_given_up():
                self._give_up(request)
                continue
            taken: List[Example] = []
            while request.waiting and size < limits.max_batch_size:
                length += request.waiting[0].length
                if size and length > limits.max_batch_length:
                    break
                taken.append(request.waiting.popleft())
                size += 1
            if taken:
                batch.append((request, taken))
            if request.waiting:
                break
            del self._requests[request]
        self._num_waiting -= size
        return batch

    async def _predict_batch(self, batch: List[Tuple[_Request, List[Example]]]) -> None:
        parts = [[example.value for example in taken] for _, taken in batch]
        start = time.monotonic()
        loop = asyncio.get_event_loop()
        outcomes = await loop.run_in_executor(self._thread, self._predict_parts, parts)
        self._record(sum(map(len, parts)), time.monotonic() - start)
        for (request, _), outcome in zip(batch, outcomes):
            self._hand_back(request, outcome)

    def _predict_parts(self, parts: List[List[Any]]) -> List[Union[Results, Exception]]:
        """Returns the results of each request's part of a batch, or why there are none.

        If the batch fails, each part is predicted alone, so that only the requests fail that cause
        it.
        """
        try:
            results = iter(self._predict([value for part in parts for value in part]))
        except Exception as error:  # whatever it is, it must reach its request and end no other one
            if len(parts) == 1:
                return [error]
            return [outcome for part in parts for outcome in self._predict_parts([part])]
        return [[next(results) for _ in part] for part in parts]

    def _hand_back(self, request: _Request, outcome: Union[Results, Exception]) -> None:
        if request.answer.done():
            return
        if isinstance(outcome, Exception):
            self._remove(request)
            request.answer.set_exception(outcome)
            return
        request.results += outcome
        if len(request.results) == request.num_examples:
            request.answer.set_result(request.results)

    def _record(self, num_inputs: int, seconds: float) -> None:
        latest = seconds / num_inputs
        before = latest if self._seconds_per_input is None else self._seconds_per_input
        self._seconds_per_input = 0.8 * before + 0.2 * latest
        self._observe(num_inputs)

    def _drop_given_up(self) -> None:
        for request in list(self._requests):
            if request.is_given_up():
                self._give_up(request)

    def _give_up(self, request: _Request) -> None:
        self._remove(request)
        if not request.answer.done():
            request.answer.set_exception(GivenUp())

    def _remove(self, request: _Request) -> None:
        if request in self._requests:
            del self._requests[request]
            self._num_waiting -= len(request.waiting)
