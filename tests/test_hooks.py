"""Tests of albert.hooks."""

import logging
import os
import signal
import threading
import types

import pytest
import tensorflow.compat.v1 as tf

from albert import hooks
from albert.hooks import ProgressHook, StopOnSignal


class Clock:
    """Stands in for the time module; advanced by hand."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(hooks, "time", clock)
    monkeypatch.setattr(hooks, "sys", types.SimpleNamespace(stderr=open(os.devnull, "w")))
    yield clock
    hooks.sys.stderr.close()


@pytest.fixture
def graph():
    """Yields a graph with a global step and a loss, as Estimator makes it."""
    with tf.Graph().as_default() as graph:
        tf.train.get_or_create_global_step()
        tf.add_to_collection(tf.GraphKeys.LOSSES, tf.constant(0.5))
        yield graph


def started_hook(train_steps, examples_per_step):
    hook = ProgressHook(train_steps, examples_per_step)
    hook.begin()
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        hook.after_create_session(session, None)
    return hook


def run_steps(hook, clock, seconds):
    """Runs one step for each duration, with a loss of 0.5."""
    for duration in seconds:
        hook.before_run(None)
        clock.now += duration
        hook.after_run(None, tf.train.SessionRunValues(0.5, None, None))


def test_speed_is_unknown_until_the_second_step(graph, clock):
    hook = started_hook(100, 32)
    assert hook.examples_per_second is None
    run_steps(hook, clock, [30.0])
    assert hook.examples_per_second is None


def test_speed_leaves_out_the_first_step(graph, clock):
    hook = started_hook(100, 32)
    run_steps(hook, clock, [30.0, 2.0, 4.0])
    assert hook.examples_per_second == pytest.approx(2 * 32 / 6.0)


def test_seconds_count_every_step_and_nothing_between_them(graph, clock):
    hook = started_hook(100, 32)
    run_steps(hook, clock, [30.0, 2.0])
    clock.now += 500.0  # an evaluation
    run_steps(hook, clock, [4.0])
    assert hook.seconds == pytest.approx(36.0)
    assert hook.examples_per_second == pytest.approx(2 * 32 / 6.0)


def test_a_line_is_printed_at_most_every_ten_seconds(graph, clock, caplog):
    hook = started_hook(100, 32)
    with caplog.at_level(logging.INFO):
        run_steps(hook, clock, [4.0] * 10)  # 40 s: steps 3, 6 and 9 see 12 s since the last line
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0] for line in lines] == [
        "Step 3 of 100",
        "Step 6 of 100",
        "Step 9 of 100",
    ]
    assert lines[0] == "Step 3 of 100: loss 0.5000, 8.0 examples/s."


def test_the_hook_works_in_a_session(caplog):
    with tf.Graph().as_default():
        step = tf.train.get_or_create_global_step()
        tf.add_to_collection(tf.GraphKeys.LOSSES, tf.constant(7.0))  # the replica's own
        tf.add_to_collection(tf.GraphKeys.LOSSES, tf.constant(0.5))  # Estimator's, added last
        train_op = tf.assign_add(step, 1)
        hook = ProgressHook(3, 2)
        with tf.train.MonitoredSession(hooks=[hook]) as session:
            for _ in range(3):
                session.run(train_op)
    assert hook.examples_per_second > 0
    assert hook.seconds > 0


def run_context():
    return tf.train.SessionRunContext(None, None)


@pytest.fixture
def own_handlers():
    """Puts known handlers in place of pytest's; yields {signal number: signals received}."""
    received = []

    def handler(number, frame):
        received.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, handler) for number in numbers}
    yield types.SimpleNamespace(handler=handler, received=received, numbers=numbers)
    for number, old in previous.items():
        signal.signal(number, old)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_for_a_stop_after_the_step(own_handlers, number):
    context = run_context()
    with StopOnSignal() as stop:
        stop.after_run(context, None)
        assert not context.stop_requested
        os.kill(os.getpid(), number)
        assert stop.signal == number
        stop.after_run(context, None)
    assert context.stop_requested
    assert own_handlers.received == []


def test_a_second_signal_reaches_the_handler_from_before(own_handlers):
    with StopOnSignal():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
    assert own_handlers.received == [signal.SIGTERM]


@pytest.mark.parametrize("sent", [[], [signal.SIGTERM]])
def test_handlers_are_restored_at_the_end(own_handlers, sent):
    with StopOnSignal():
        for number in sent:
            os.kill(os.getpid(), number)
    for number in own_handlers.numbers:
        assert signal.getsignal(number) is own_handlers.handler


def test_handlers_are_restored_after_an_error(own_handlers):
    with pytest.raises(ZeroDivisionError):
        with StopOnSignal():
            raise ZeroDivisionError
    for number in own_handlers.numbers:
        assert signal.getsignal(number) is own_handlers.handler


def test_a_signal_is_told_in_one_line(own_handlers, caplog):
    with StopOnSignal():
        os.kill(os.getpid(), signal.SIGINT)
    (record,) = caplog.records
    assert "Stopping after this step" in record.getMessage()


def test_outside_the_main_thread_signals_are_left_alone(own_handlers):
    seen = []

    def use():
        with StopOnSignal() as stop:
            seen.append((stop.signal, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [(None, own_handlers.handler)]
