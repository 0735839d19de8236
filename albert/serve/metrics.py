"""What the server counts, in the text format of Prometheus."""

import prometheus_client
from prometheus_client import Counter, Gauge, Histogram

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST

_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """The metrics of one server, in a registry of its own.

    Attributes:
        requests: by path and status.
        seconds: from the head of a request to predict to its answer, of those with status 200.
        batch_inputs: inputs of each batch.
        waiting: inputs in the queue.
        predicted: inputs that were computed.
    """

    def __init__(self) -> None:
        self._registry = registry = prometheus_client.CollectorRegistry()
        self.requests = Counter(
            "albert_requests", "Requests by path and status.", ["path", "status"], registry=registry
        )
        self.seconds = Histogram(
            "albert_request_seconds", "Time to answer a request to predict.", registry=registry
        )
        self.batch_inputs = Histogram(
            "albert_batch_inputs",
            "Inputs that were computed together.",
            buckets=_BATCH_SIZES,
            registry=registry,
        )
        self.waiting = Gauge(
            "albert_waiting_inputs", "Inputs that wait to be computed.", registry=registry
        )
        self.predicted = Counter(
            "albert_predicted_inputs", "Inputs that were computed.", registry=registry
        )

    def observe_batch(self, num_inputs: int) -> None:
        """Counts a batch that was computed."""
        self.batch_inputs.observe(num_inputs)
        self.predicted.inc(num_inputs)

    def text(self) -> bytes:
        """Returns all metrics."""
        return prometheus_client.generate_latest(self._registry)
