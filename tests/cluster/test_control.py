"""Tests of albert.cluster.control: real connections, of members in one process."""

import contextlib
import functools
import json
import signal
import socket
import threading
import time

import pytest
import workers

from albert.cluster import control
from albert.cluster.spec import Cluster
from albert.common.errors import UsageError


class Crowd:
    """All members of a cluster.

    Attributes:
        members: those that have joined, by rank.
        lost: {rank: message} of what members were told of a loss.
    """

    def __init__(self, count):
        hosts = tuple(workers.free_hosts(count))
        self.lost = {}
        self.members = [
            control.Member(Cluster(hosts, rank), functools.partial(self.lost.__setitem__, rank))
            for rank in range(count)
        ]

    def wait_for_losses(self, *ranks):
        """Waits until these members have been told of a loss."""
        ends = time.monotonic() + 30
        while not set(ranks) <= self.lost.keys():
            assert time.monotonic() < ends
            time.sleep(0.02)

    def together(self, call):
        """Returns what `call(member)` returns or raises, of each member, called at once."""
        results = [None] * len(self.members)

        def run(rank):
            try:
                results[rank] = call(self.members[rank])
            except UsageError as error:
                results[rank] = error

        threads = [threading.Thread(target=run, args=(rank,)) for rank in range(len(results))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        return results


@contextlib.contextmanager
def joined(count):
    crowd = Crowd(count)
    assert crowd.together(lambda member: member.join()) == [None] * count
    yield crowd
    for member in crowd.members:
        member.leave()


def test_all_receive_the_values_of_all_in_order_of_rank():
    with joined(3) as crowd:
        values = crowd.together(lambda member: member.exchange("a", member.cluster.rank * 10))
        assert values == [[0, 10, 20]] * 3
        assert (
            crowd.together(lambda member: member.exchange("b", {"x": [None]}))
            == [[{"x": [None]}] * 3] * 3
        )
        assert not crowd.lost


def test_nobody_goes_on_before_the_last_has_come():
    with joined(2) as crowd:
        early = threading.Thread(target=crowd.members[1].exchange, args=("point",))
        early.start()
        early.join(0.3)
        assert early.is_alive()
        crowd.members[0].exchange("point")
        early.join(30)
        assert not early.is_alive()


def test_leaving_is_no_loss():
    with joined(3) as crowd:
        crowd.members[1].leave()
        time.sleep(0.2)
        crowd.members[0].leave()
        time.sleep(0.2)
    assert not crowd.lost


def test_a_broken_connection_is_told_to_all_others():
    with joined(3) as crowd:
        crowd.members[1]._is_over = True  # a dead process says nothing
        crowd.members[1]._connections[0].close()
        crowd.wait_for_losses(0, 2)
        name = crowd.members[0].cluster.name(1)
        assert crowd.lost.keys() == {0, 2}
        assert all(message.startswith(f"{name} is gone (") for message in crowd.lost.values())


def test_a_chief_that_dies_is_named():
    with joined(2) as crowd:
        crowd.members[0]._is_over = True
        crowd.members[0]._connections[1].close()
        crowd.wait_for_losses(1)
        assert crowd.lost[1].startswith(f"{crowd.members[0].cluster.name(0)} is gone (")


def test_silence_is_death(monkeypatch):
    monkeypatch.setattr(control, "SECONDS_OF_SILENCE", 0.5)
    monkeypatch.setattr(control, "SECONDS_BETWEEN_BEATS", 0.1)
    with joined(2) as crowd:
        time.sleep(1.5)
        assert not crowd.lost  # as long as the hearts beat
        crowd.members[1]._connections[0].send = lambda **message: None
        crowd.wait_for_losses(0)
        assert crowd.lost[0] == f"{crowd.members[0].cluster.name(1)} has been silent for 0 s"


def test_the_reason_of_a_failure_reaches_all():
    with joined(3) as crowd:
        crowd.members[2].leave("--train_step=0 must be 1 or more.")
        crowd.wait_for_losses(0, 1)
        assert crowd.lost[0] == crowd.lost[1]
        assert crowd.lost[0].endswith(" has ended: --train_step=0 must be 1 or more.")


def test_the_block_of_a_member_leaves_with_what_it_raises():
    hosts = tuple(workers.free_hosts(2))
    chief = control.Member(Cluster(hosts, 0), lambda message: lost.append(message))
    lost = []
    thread = threading.Thread(target=chief.join)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        with control.joined(Cluster(hosts, 1), lost.append):
            thread.join(30)
            raise KeyboardInterrupt
    ends = time.monotonic() + 30
    while not lost and time.monotonic() < ends:
        time.sleep(0.05)
    assert lost == [f"worker 1 ({hosts[1]}) has ended: KeyboardInterrupt"]


def test_differences_are_named_to_the_worker_and_to_the_chief():
    with joined(3) as crowd:
        values = {"<seed>": 1, "<steps>": 5}

        def agree(member):
            member.agree("a", dict(values, **{"<seed>": 2} if member.cluster.rank == 1 else {}))

        chief, differing, other = crowd.together(agree)
        assert other is None
        text = f"{crowd.members[0].cluster.name(1)} differs from the chief: seed is 2, and 1 there."
        assert (str(chief), str(differing)) == (text, text)


def test_a_signal_goes_to_the_chief(monkeypatch):
    received = []
    has_come = threading.Event()

    def handler(number, frame):
        received.append(number)
        has_come.set()

    previous = signal.signal(signal.SIGTERM, handler)
    try:
        with joined(2) as crowd:
            crowd.members[1].forward(signal.SIGTERM)
            assert has_come.wait(30)
            assert received == [signal.SIGTERM] and not crowd.lost
    finally:
        signal.signal(signal.SIGTERM, previous)


def test_signals_that_all_workers_receive_are_one(monkeypatch):
    sent = []
    monkeypatch.setattr(control.signal, "pthread_kill", lambda thread, number: sent.append(number))
    with joined(3) as crowd:
        for _ in range(2):
            crowd.members[1].forward(signal.SIGTERM)
            crowd.members[2].forward(signal.SIGINT)
            crowd.together(lambda member: member.exchange("a"))
            time.sleep(0.2)
        assert len(sent) == 1
    with joined(2) as crowd:
        crowd.members[0].forward(signal.SIGTERM)  # the chief has had its own
        crowd.members[1].forward(signal.SIGTERM)
        time.sleep(0.3)
        assert len(sent) == 1 and not crowd.lost


@pytest.mark.parametrize(
    "content",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"{}\n",
        b'{"hello": "1", "cluster": []}\n',
        b'{"hello": 7, "cluster": ["a:1"]}\n',
        b"[" * 100000 + b"\n",
        b"\n",
    ],
)
def test_a_stranger_is_sent_away_and_changes_nothing(content):
    with joined(2) as crowd:
        address = crowd.members[0].cluster.control_address
        with socket.create_connection(address, timeout=10) as stranger:
            stranger.sendall(content)
            stranger.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while stranger.recv(1000):
                    pass
        assert crowd.together(lambda member: member.exchange("a")) == [[None, None]] * 2
        assert not crowd.lost


def test_a_second_process_with_one_rank_is_refused():
    with joined(2) as crowd:
        second = control.Member(crowd.members[1].cluster, lambda message: lost.append(message))
        lost = []
        second.join()
        ends = time.monotonic() + 30
        while not lost and time.monotonic() < ends:
            time.sleep(0.05)
        assert "has come already: each has its own" in lost[0]
        assert not crowd.lost


@pytest.mark.parametrize("message", [{"point": []}, {"point": [], "value": 1}, 7, "x"])
def test_what_is_no_message_is_a_loss_and_no_error_of_ours(message):
    with joined(2) as crowd:
        connection = crowd.members[1]._connections[0]
        connection._socket.sendall(json.dumps(message).encode() + b"\n")
        if message == {"point": []}:  # it asks for nothing
            assert crowd.together(lambda member: member.exchange("a")) == [[None, None]] * 2
        else:
            crowd.wait_for_losses(0)
            assert crowd.lost[0].endswith("has sent what is no message")


def test_a_port_that_is_taken_is_one_line():
    hosts = tuple(workers.free_hosts(2))
    chief = control.Member(Cluster(hosts, 0), lambda message: None)
    with socket.socket(socket.AF_INET6) as other:
        other.bind(("", chief.cluster.control_address[1]))
        other.listen(1)
        with pytest.raises(UsageError, match="cannot listen on port .*Address already in use"):
            chief.join()


def test_workers_that_do_not_come_are_named(monkeypatch):
    monkeypatch.setattr(control, "SECONDS_TO_JOIN", 0.3)
    hosts = tuple(workers.free_hosts(2))
    with pytest.raises(UsageError, match=r"^worker 1 \(.*did not come within 0 s"):
        with control.joined(Cluster(hosts, 0), lambda message: None):
            pass
    with pytest.raises(UsageError, match="^The chief did not answer on localhost:"):
        with control.joined(Cluster(hosts, 1), lambda message: None):
            pass
