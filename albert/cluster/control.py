"""What the workers of a cluster say to each other beside TensorFlow: who lives, and where they are.

TensorFlow gives no clean end when a worker dies: 1.15 waits for ever, 2.15 tries for ever. So every
worker holds one TCP connection to the chief, on which both sides send a heartbeat. If it breaks, or
is silent for too long, the process ends with one line that names the dead worker; restarted with
the same command, all resume from the last checkpoint.

The messages are JSON, one a line:

    {"hello": rank, "cluster": [address, ...]}     worker -> chief, the first
    {"beat": 1}                                     both ways, every few seconds
    {"point": name, "value": ...}                   worker -> chief: has come to `exchange(name)`
    {"point": name, "values": [...]}                chief -> workers: so have all
    {"signal": number}                              worker -> chief: it is to stop the run
    {"end": null, or why}                           both ways: leaves, in peace or all must end
    {"lost": message}                               chief -> workers: one of them is gone

Whoever reaches the port and knows the cluster can stop a run, and no more: values are compared or
shown. (TensorFlow's own ports, which are as open, execute what they receive.)
"""

import contextlib
import json
import logging
import os
import re
import signal
import socket
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, NoReturn, Optional

from albert.cluster.spec import Cluster
from albert.common.errors import UsageError

SECONDS_BETWEEN_BEATS = 5.0
SECONDS_OF_SILENCE = 30.0  # then a worker counts as dead
SECONDS_TO_JOIN = 1800.0  # pods and nodes of one job may start many minutes apart
SECONDS_BETWEEN_LINES = 30.0
_LONGEST_LINE = 1 << 24
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NO_MESSAGE = (ValueError, TypeError, KeyError, RecursionError)  # what else than JSON raises

_log = logging.getLogger(__name__)


def end_process(message: str) -> NoReturn:
    """Prints one line and ends the process with status 1, whatever its threads are doing.

    The main thread may wait in TensorFlow for a dead worker, where no exception reaches it.
    """
    advice = "The same command on every worker resumes from the last checkpoint."
    with contextlib.suppress(OSError):
        line = f"{os.path.basename(sys.argv[0])}: {message.rstrip('.')}. {advice}"
        print(line, file=sys.stderr, flush=True)
    os._exit(1)


class _Connection:
    """A socket for messages, one a line."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.settimeout(SECONDS_OF_SILENCE)
        self._socket = connected
        self._reader = connected.makefile("rb")
        self._lock = threading.Lock()

    def send(self, **message: Any) -> None:
        """Raises OSError if the connection is broken."""
        with self._lock:
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> Dict[str, Any]:
        """Returns the next message.

        Raises:
            OSError: the connection broke, or was silent for SECONDS_OF_SILENCE.
            ValueError, RecursionError: what came is no message.
        """
        line = self._reader.readline(_LONGEST_LINE)
        if not line:
            raise ConnectionResetError("the connection broke")
        message = json.loads(line.decode())
        if not line.endswith(b"\n") or not isinstance(message, dict):
            raise ValueError(line)
        return message

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.close()
        self._socket.close()


class Member:
    """This process as one of a cluster's workers; see `joined`.

    Attributes:
        cluster: the spec.Cluster.

    Args:
        on_loss: called in another thread, with a message, when a worker is gone. The process
            cannot go on.
    """

    def __init__(self, cluster: Cluster, on_loss: Callable[[str], Any] = end_process) -> None:
        self.cluster = cluster
        self._on_loss = on_loss
        self._changed = threading.Condition()
        # Of the chief to each worker, {rank: connection}; of a worker to the chief, {0: ...}.
        self._connections: Dict[int, _Connection] = {}
        self._arrived: Dict[str, Dict[int, Any]] = {}  # {point: {worker: value}}, of the chief
        self._values: Dict[str, List[Any]] = {}  # {point: values of all workers}
        self._left: List[int] = []  # workers that are not waited for any more
        self._is_over = False
        self._signal: Optional[int] = None  # to be passed on
        self._is_stopping = False  # the chief has had its signal; those of others follow
        self._wakes = threading.Event()
        self._server: Optional[socket.socket] = None

    def exchange(self, point: str, value: Any = None) -> List[Any]:
        """Waits until all workers have come to a point; returns the value that each has brought.

        Args:
            point: a name that is used once in a run.
            value: JSON; those of all together have at most 16 MB.
        """
        if self.cluster.is_chief:
            self._arrive(point, 0, value)
        else:
            self._send(0, point=point, value=value)
        with self._changed:
            self._changed.wait_for(lambda: point in self._values)
            return self._values.pop(point)

    def agree(self, point: str, values: Dict[str, Any]) -> None:
        """Checks that all workers have the chief's values.

        Args:
            values: {what it is, as in a UsageError: JSON}.

        Raises:
            UsageError: this worker differs, or for the chief, another one.
        """
        of_all = self.exchange(point, values)
        for rank, other in enumerate(of_all):
            if not self.cluster.is_chief and rank != self.cluster.rank:
                continue
            differences = [
                f"{name} is {other.get(name)!r}, and {of_all[0].get(name)!r} there"
                for name in sorted({*other, *of_all[0]})
                if other.get(name) != of_all[0].get(name)
            ]
            if differences:
                text = "; ".join(differences)
                raise UsageError(
                    f"{self.cluster.name(rank)} differs from the chief: {text}.",
                    **dict.fromkeys(re.findall(r"<(\w+)>", text)),
                )

    def forward(self, number: int) -> None:
        """Passes a signal that this worker has received on to the chief, which stops the run.

        A signal's handler may call it: another thread sends. The chief takes the first one as if it
        had been sent itself; where a scheduler signals all workers, the others are not a second.
        """
        if self.cluster.is_chief:
            self._is_stopping = True
        else:
            self._signal = number
            self._wakes.set()

    def wait_for_loss(self) -> None:
        """Waits for as long as it may take to notice that a worker is dead, which ends all.

        What TensorFlow raises then may come first, and does not say who died.
        """
        time.sleep(SECONDS_OF_SILENCE + SECONDS_BETWEEN_BEATS)

    # Coming and going

    def join(self) -> None:
        """Waits until all workers have joined; `leave` must be called then.

        Raises:
            UsageError: the chief's port is taken, the workers have different clusters, or not all
                have come in SECONDS_TO_JOIN.
        """
        if self.cluster.is_chief:
            self._server = self._listening()
            _start(self._accept, self._server)
            _start(self._beat)  # while it waits for the others, too
            self._wait_for_workers()
        else:
            self._connections[0] = self._connect()
            _start(self._listen, 0)
            _start(self._beat)

    def leave(self, reason: Optional[str] = None) -> None:
        """Ends all connections, once; with a reason, the other workers end, too, and say it."""
        with self._changed:
            if self._is_over:
                return
            self._is_over = True
        for connection in self._connections.values():
            with contextlib.suppress(OSError):
                connection.send(end=reason)
            connection.close()
        if self._server:
            with contextlib.suppress(OSError):
                self._server.shutdown(socket.SHUT_RDWR)  # ends `accept`, too
            self._server.close()

    def _listening(self):
        port = self.cluster.control_address[1]
        for family in (socket.AF_INET6, socket.AF_INET):  # the former takes both, where it exists
            try:
                server = socket.socket(family, socket.SOCK_STREAM)
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                server.bind(("", port))
                server.listen(len(self.cluster.hosts))
                return server
            except OSError as error:
                failure = error
        raise UsageError(
            f"The chief cannot listen on port {port}, the first above those of the workers on its "
            f"host: {failure.strerror}."
        )

    def _wait_for_workers(self):
        count = len(self.cluster.hosts)
        ends = time.monotonic() + SECONDS_TO_JOIN
        with self._changed:
            while len(self._connections) < count - 1:
                arrived = self._changed.wait(min(SECONDS_BETWEEN_LINES, ends - time.monotonic()))
                missing = [rank for rank in range(1, count) if rank not in self._connections]
                names = ", ".join(map(self.cluster.name, missing))
                if time.monotonic() >= ends:
                    raise UsageError(
                        f"{names} did not come within {SECONDS_TO_JOIN:.0f} s: start the same "
                        "command on every worker, and let them reach "
                        f"{self.cluster.hosts[0]} and port {self.cluster.control_address[1]}."
                    )
                if missing and not arrived:
                    _log.info("Waiting for %s.", names)

    def _connect(self):
        """Returns a connection to the chief, once that listens."""
        host, port = self.cluster.control_address
        ends = time.monotonic() + SECONDS_TO_JOIN
        next_line = time.monotonic() + SECONDS_BETWEEN_LINES
        while True:
            try:
                connection = _Connection(socket.create_connection((host, port), timeout=10))
                connection.send(hello=self.cluster.rank, cluster=self.cluster.hosts)
                return connection
            except OSError as error:
                reason = error.strerror or str(error)
            if time.monotonic() >= ends:
                raise UsageError(
                    f"The chief did not answer on {host}:{port} within {SECONDS_TO_JOIN:.0f} s "
                    f"({reason}): start it, and open that port."
                )
            if time.monotonic() >= next_line:
                _log.info("Waiting for the chief on %s:%d: %s.", host, port, reason)
                next_line += SECONDS_BETWEEN_LINES
            time.sleep(1.0)

    def _accept(self, server):
        while True:
            try:
                connected, _ = server.accept()
            except OSError:  # it was closed
                return
            _start(self._welcome, _Connection(connected))

    def _welcome(self, connection):
        """Serves a connection if it is that of a worker; closes it if it is a stranger's."""
        try:
            message = connection.receive()
            rank, hosts = message["hello"], tuple(message["cluster"])
            if not isinstance(rank, int):
                raise TypeError
            refusal = self._admit(rank, hosts, connection)
            if refusal:
                connection.send(lost=refusal)
                raise ConnectionAbortedError
        except (OSError, *_NO_MESSAGE):
            connection.close()
            return
        self._listen(rank)

    def _admit(self, rank, hosts, connection):
        """Lets a process be that worker from now on, or returns why it cannot be."""
        own = self.cluster.hosts
        if hosts != own or not 0 < rank < len(own):
            return (
                f"The cluster of {self.cluster.name(0)} is {', '.join(own)}, and not "
                f"{', '.join(map(str, hosts))}"
            )
        with self._changed:
            if rank in self._connections:
                return f"{self.cluster.name(rank)} has come already: each has its own rank"
            self._connections[rank] = connection
            self._changed.notify_all()
        return None

    # Messages

    def _listen(self, rank):
        """Handles the messages of a connection until it ends."""
        connection = self._connections[rank]
        try:
            while True:
                message = connection.receive()
                if "end" in message or "lost" in message:
                    break
                self._handle(rank, message)
        except (OSError, *_NO_MESSAGE) as error:
            self._lose(rank, _reason(error))
            return
        if "lost" in message:
            self._end(str(message["lost"]))
        elif message["end"] is None:
            self._left.append(rank)
        else:
            self._lose(rank, f"has ended: {message['end']}")

    def _handle(self, rank, message):
        is_chief = self.cluster.is_chief
        if "values" in message and not is_chief:
            self._set(message["point"], message["values"])
        elif "value" in message and is_chief:
            self._arrive(message["point"], rank, message["value"])
        elif "signal" in message and is_chief and message["signal"] in _SIGNALS:
            if self._is_stopping:
                return
            self._is_stopping = True
            signal.pthread_kill(threading.main_thread().ident or 0, message["signal"])

    def _arrive(self, point, rank, value):
        """Notes, in the chief, that a worker has come to a point; the last one lets all go on."""
        with self._changed:
            arrived = self._arrived.setdefault(point, {})
            arrived[rank] = value
            if len(arrived) < len(self.cluster.hosts):
                return
            del self._arrived[point]
        values = [arrived[worker] for worker in range(len(self.cluster.hosts))]
        for worker in self._connections:
            self._send(worker, point=point, values=values)
        self._set(point, values)

    def _set(self, point, values):
        with self._changed:
            self._values[point] = values
            self._changed.notify_all()

    def _beat(self):
        while not self._is_over:
            for rank in list(self._connections):
                self._send(rank, beat=1)
            if self._signal is not None:
                self._send(0, signal=self._signal)
                self._signal = None
            self._wakes.wait(SECONDS_BETWEEN_BEATS)
            self._wakes.clear()

    def _send(self, rank, **message):
        try:
            self._connections[rank].send(**message)
        except OSError as error:
            self._lose(rank, _reason(error))

    def _lose(self, rank, reason):
        """Ends this process because a worker is gone; the chief first tells the others."""
        if rank in self._left:
            return
        message = f"{self.cluster.name(rank)} {reason}"
        if self.cluster.is_chief and not self._is_over:
            for connection in list(self._connections.values()):
                with contextlib.suppress(OSError):
                    connection.send(lost=message)
        self._end(message)

    def _end(self, message):
        with self._changed:
            if self._is_over:
                return
            self._is_over = True
        self._on_loss(message)


@contextlib.contextmanager
def joined(
    cluster: Cluster,
    on_loss: Callable[[str], Any] = end_process,
    text_of: Callable[[BaseException], str] = str,
) -> Iterator[Member]:
    """Yields the Member of this process, once all workers are there.

    The block leaves the cluster, or calls Member.leave before its end; if it fails, all end.

    Args:
        on_loss: see Member.
        text_of: returns what the other workers say of an exception that ends the block.

    Raises:
        UsageError: see Member.join.
    """
    member = Member(cluster, on_loss)
    try:
        member.join()
        yield member
    except BaseException as error:
        member.leave(text_of(error) or type(error).__name__)
        raise
    member.leave()


def _start(target, *args):
    threading.Thread(target=target, args=args, daemon=True).start()


def _reason(error):
    """Returns what to say of a worker whose connection ended with an error."""
    if isinstance(error, socket.timeout):
        return f"has been silent for {SECONDS_OF_SILENCE:.0f} s"
    if isinstance(error, OSError):
        return f"is gone ({error.strerror or error})"
    return "has sent what is no message"
