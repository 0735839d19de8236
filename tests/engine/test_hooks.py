"""Tests of albert.engine.hooks."""

import io
import logging
import os
import signal
import subprocess
import sys
import threading
import types

import pytest
import runs
import tensorflow.compat.v1 as tf

from albert.common import console
from albert.engine.hooks import ProgressHook, StopOnSignal
from albert.engine.model_fn import StepValues


def on_a_terminal(monkeypatch, is_one):
    stderr = io.StringIO()
    monkeypatch.setattr(console, "columns", lambda: 80 if is_one else 0)
    monkeypatch.setattr("sys.stderr", stderr)
    return stderr


@pytest.fixture
def graph(monkeypatch):
    """Yields a graph with a global step, with stderr not a terminal."""
    on_a_terminal(monkeypatch, False)
    with tf.Graph().as_default() as graph:
        tf.train.get_or_create_global_step()
        yield graph


def values_of_two_replicas():
    step_values = StepValues()
    for loss, num_tokens in ((0.75, 60), (0.25, 40)):
        step_values.add(
            loss=tf.constant(loss),
            num_tokens=tf.constant(num_tokens),
            learning_rate=tf.constant(2e-5),
            num_skipped=tf.constant(0),
        )
    return step_values


def started_hook(folder, train_steps, examples_per_step, step=0):
    hook = ProgressHook(values_of_two_replicas(), train_steps, examples_per_step, str(folder))
    hook.begin()
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(tf.train.get_global_step().assign(step))
        hook.after_create_session(session, None)
    return hook


def run_steps(hook, clock, seconds, losses=None):
    """Runs one step of 100 tokens for each duration; the loss is 0.5 unless given."""
    for duration, loss in zip(seconds, losses or [0.5] * len(seconds)):
        hook.before_run(None)
        clock.now += duration
        values = {"loss": loss, "learning_rate": 2e-5, "num_tokens": 100, "num_skipped": 0}
        hook.after_run(None, tf.train.SessionRunValues(values, None, None))


def events_of(folder):
    """Yields the events of a folder's only file."""
    tf.summary.FileWriterCache.clear()
    (path,) = folder.glob("events*")
    return list(tf.train.summary_iterator(str(path)))


def scalars_of(folder):
    """Returns {(step, tag): value}."""
    return {
        (event.step, value.tag): value.simple_value
        for event in events_of(folder)
        for value in event.summary.value
    }


def test_values_of_all_replicas_are_combined():
    with tf.Graph().as_default(), tf.Session() as session:
        values = session.run(values_of_two_replicas().fetches())
    assert values == {
        "loss": 0.5,
        "learning_rate": pytest.approx(2e-5),
        "num_tokens": 100,
        "num_skipped": 0,
    }


def test_progress_counts_only_the_time_inside_steps(tmp_path, graph, clock):
    hook = started_hook(tmp_path, 100, 32, step=40)
    run_steps(hook, clock, [30.0, 2.0])
    clock.now += 500.0  # an evaluation
    run_steps(hook, clock, [4.0])
    assert hook.progress.step == 43
    assert hook.progress.seconds == pytest.approx(36.0)
    assert hook.progress.examples_per_second == pytest.approx(2 * 32 / 6.0)
    assert hook.progress.tokens_per_second == pytest.approx(2 * 100 / 6.0)


def test_a_line_is_printed_at_most_every_ten_seconds(tmp_path, graph, clock, caplog):
    hook = started_hook(tmp_path, 100, 32)
    with caplog.at_level(logging.INFO):
        run_steps(hook, clock, [4.0] * 10)  # 40 s: steps 3, 6 and 9 see 12 s since the last line
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0] for line in lines] == [
        "Step 3 of 100",
        "Step 6 of 100",
        "Step 9 of 100",
    ]
    assert lines[0] == (
        "Step 3 of 100: loss 0.5000, learning rate 2.00e-05, 8.00 examples/s, 25.0 tokens/s, "
        "06:28 left."
    )


def test_a_slow_first_step_is_reported_without_a_speed(tmp_path, graph, clock, caplog):
    hook = started_hook(tmp_path, 100, 32)
    with caplog.at_level(logging.INFO):
        run_steps(hook, clock, [90.0])
    (record,) = caplog.records
    assert record.getMessage() == "Step 1 of 100: loss 0.5000, learning rate 2.00e-05."


def test_a_terminal_has_one_line_whose_text_leaves_room_for_the_bar_in_80_columns(
    tmp_path, graph, clock, caplog, monkeypatch
):
    stderr = on_a_terminal(monkeypatch, True)
    with caplog.at_level(logging.INFO):
        hook = started_hook(tmp_path, 33112, 32, step=30000)
        run_steps(hook, clock, [90.0] + [2.0] * 9, losses=[10.5] * 10)
    hook.close()
    assert caplog.records == []
    assert stderr.getvalue().count("\n") == 1
    shown = [text.strip() for text in stderr.getvalue().split("\r")]
    assert shown[-1].startswith("30010/33112 ")
    assert shown[-1].endswith(" loss 10.5000 lr 2.0e-05 16.0 examples/s 50.0 tokens/s 1:43:24 left")
    text = shown[-1][shown[-1].index("loss") :]
    assert len("33112/33112 # ") + len(text) <= 80


def test_a_terminal_has_no_bar_if_only_warnings_are_logged(tmp_path, graph, clock, monkeypatch):
    stderr = on_a_terminal(monkeypatch, True)
    monkeypatch.setattr(logging.getLogger("albert.engine.hooks"), "level", logging.WARNING)
    run_steps(started_hook(tmp_path, 100, 32), clock, [4.0])
    assert stderr.getvalue() == ""


def test_tensorboard_has_every_step_of_a_short_run(tmp_path, graph, clock):
    hook = started_hook(tmp_path, 3, 32)
    run_steps(hook, clock, [4.0, 2.0, 0.5], losses=[3.0, 2.0, 1.0])
    scalars = scalars_of(tmp_path)
    assert [scalars[step, "loss"] for step in (1, 2, 3)] == [3.0, 2.0, 1.0]
    assert [scalars[step, "examples_per_second"] for step in (1, 2, 3)] == [8.0, 16.0, 64.0]
    assert [scalars[step, "tokens_per_second"] for step in (1, 2, 3)] == [25.0, 50.0, 200.0]
    assert scalars[3, "learning_rate"] == pytest.approx(2e-5)
    assert len(scalars) == 12


def test_tensorboard_has_means_of_a_long_run_and_its_last_step(tmp_path, graph, clock):
    hook = started_hook(tmp_path, 3001, 32, step=2994)  # a point every 3 steps
    run_steps(hook, clock, [1.0, 1.0, 4.0] * 2 + [2.0], losses=[1.0, 2.0, 6.0] * 2 + [4.0])
    scalars = scalars_of(tmp_path)
    losses = {step: value for (step, tag), value in scalars.items() if tag == "loss"}
    assert losses == {2997: 3.0, 3000: 3.0, 3001: 4.0}
    assert scalars[2997, "examples_per_second"] == 16.0


def test_points_are_written_to_disk_at_once(tmp_path, graph, clock):
    run_steps(started_hook(tmp_path, 3, 32), clock, [4.0])
    (path,) = tmp_path.glob("events*")  # read while the writer is open
    steps = [event.step for event in tf.train.summary_iterator(str(path)) if event.summary.value]
    assert steps == [1]


def test_tensorboard_is_told_at_which_step_a_run_resumes(tmp_path, graph, clock):
    started_hook(tmp_path, 100, 32, step=40).close()
    logs = [(event.step, event.session_log.status) for event in events_of(tmp_path)]
    assert (41, tf.SessionLog.START) in logs


def test_the_hook_works_in_a_session(tmp_path, graph):
    train_op = tf.assign_add(tf.train.get_global_step(), 1)
    hook = ProgressHook(values_of_two_replicas(), 3, 2, str(tmp_path))
    with tf.train.MonitoredSession(hooks=[hook]) as session:
        for _ in range(3):
            session.run(train_op)
    assert hook.progress.examples_per_second > 0
    scalars = scalars_of(tmp_path)
    assert [scalars[step, "loss"] for step in (1, 2, 3)] == [0.5] * 3
    # The sum over the replicas, and examples of all of them.
    for step in (1, 2, 3):
        ratio = scalars[step, "tokens_per_second"] / scalars[step, "examples_per_second"]
        assert ratio == pytest.approx(50)


def run_context():
    return tf.train.SessionRunContext(None, None)


@pytest.fixture
def own_handlers():
    """Replaces the handlers of pytest by known ones; yields an object that records signals."""
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


def test_a_second_signal_reaches_the_previous_handler(own_handlers, clock):
    with StopOnSignal():
        os.kill(os.getpid(), signal.SIGINT)
        clock.now += 1.1
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert own_handlers.received == [signal.SIGTERM, signal.SIGINT]


def test_a_second_signal_ends_a_process_without_handlers():
    code = """
import os, signal, time
from albert.engine import hooks
hooks.SECONDS_OF_ONE_SIGNAL = 0.0
signal.signal(signal.SIGTERM, signal.SIG_DFL)
with hooks.StopOnSignal():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    print("still here")
"""
    environment = dict(os.environ, PYTHONPATH=str(runs.REPOSITORY))
    finished = subprocess.run(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, timeout=60
    )
    assert (finished.returncode, finished.stdout) == (-signal.SIGTERM, b"")


def test_a_signal_repeated_within_a_second_counts_once(own_handlers, clock):
    context = run_context()
    with StopOnSignal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        clock.now += 0.5
        os.kill(os.getpid(), signal.SIGTERM)
        stop.after_run(context, None)
    assert context.stop_requested
    assert own_handlers.received == []


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


def test_a_signal_is_logged_in_one_line(own_handlers, caplog):
    with StopOnSignal():
        os.kill(os.getpid(), signal.SIGINT)
    (record,) = caplog.records
    assert "Stopping after this step" in record.getMessage()


def test_outside_the_main_thread_no_handler_is_installed(own_handlers):
    seen = []

    def use():
        with StopOnSignal() as stop:
            seen.append((stop.signal, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [(None, own_handlers.handler)]
