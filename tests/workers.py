"""Trains the tiny task in a cluster of processes on this machine; some may be made to fail.

`python workers.py SETTINGS` is one worker; SETTINGS is a JSON object, see `start`.
"""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

from albert.cli import quiet
from albert.cluster import lockstep
from albert.cluster.spec import Cluster

if __name__ == "__main__":
    quiet.ready_tensorflow()

import numpy as np
import tensorflow.compat.v1 as tf
import tiny
import tiny_task

from albert.cli import program
from albert.engine import evaluation, training, training_loop
from albert.engine.config import FinetuneConfig

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
GLOBAL_BATCH = 8
NUM_UPDATES = 20
LEARNING_RATE = 5e-3


class Task(tiny_task.TinyTask):
    """Sequences of 3 to 20 tokens, gradients that are clipped, and a metric that often improves."""

    best_metric = "confidence"
    num_examples = 30  # neither a multiple of the global batch nor of a worker's
    lengths = (3, 21)
    dropout_prob = 0.0

    def evaluate(self, predictions, metrics=None):
        largest = [row["probabilities"].max() for row in predictions["dev"]]
        return {"number": float(len(largest)), "confidence": float(np.mean(largest))}

    def head(self, model, features, is_training):
        output = super().head(model, features, is_training)
        return output._replace(loss_sums=[20.0 * term for term in output.loss_sums])


def config(folder, **changes):
    """Returns the FinetuneConfig of a run; `train_batch_size` makes up the global batch."""
    settings = {
        "learning_rate": LEARNING_RATE,
        "train_steps": NUM_UPDATES,
        "save_checkpoints_steps": 8,
        "device_type": "cpu",
        "seed": 11,
        **changes,
    }
    model = tiny.config(initializer_range=0.2, **settings.pop("model", {}))
    trial = FinetuneConfig(model, str(folder), train_batch_size=1, **settings)
    return FinetuneConfig(
        model,
        str(folder),
        train_batch_size=GLOBAL_BATCH // trial.global_batch_size,
        **settings,
    )


def free_hosts(count):
    """Returns addresses on free ports; the port above them, for the chief, is free too."""
    while True:
        first = random.randrange(20000, 30000)
        try:
            for port in range(first, first + count + 1):
                with socket.socket() as probe:
                    probe.bind(("", port))
        except OSError:
            continue
        return [f"localhost:{first + rank}" for rank in range(count)]


def start(folder, hosts=None, rank=0, fails=None, data="", num_examples=30, patience=60, **changes):
    """Starts a worker.

    Args:
        hosts: of all workers; None for a process of its own.
        fails: (step, signal) that the worker sends itself after that step; 0 stands for the
            evaluation of what an earlier start has left.
        data: other data have another text.
        num_examples: of each split.
        patience: seconds in which the chief's folder must be seen.
        changes: of the FinetuneConfig.
    """
    names = ("folder", "hosts", "rank", "fails", "data", "num_examples", "patience")
    given = (str(folder), hosts, rank, fails, data, num_examples, patience)
    return subprocess.Popen(
        [sys.executable, __file__, json.dumps(dict(zip(names, given), **changes))],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join([str(REPOSITORY), *sys.path])),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ends(processes, timeout=240):
    """Returns (exit status, stderr) of processes that end within seconds."""
    deadline = time.monotonic() + timeout
    try:
        found = [
            process.communicate(timeout=max(deadline - time.monotonic(), 1))
            for process in processes
        ]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, stderr) for process, (_, stderr) in zip(processes, found)]


def train(folder, num_workers=2, of_rank=None, **changes):
    """Trains with workers of two replicas; returns (exit status, stderr) of each.

    Args:
        of_rank: {rank: changes of one worker}.
    """
    hosts = free_hosts(num_workers)
    of_rank = of_rank or {}
    settings = dict({"num_devices": 2}, **changes)
    return ends(
        [
            start(
                **dict(
                    dict(folder=folder, hosts=hosts, rank=rank, **settings), **of_rank.get(rank, {})
                )
            )
            for rank in range(num_workers)
        ]
    )


def _fail_after(step, number):
    if step == 0:
        evaluation.Evaluator.evaluate_all = lambda *_: os.kill(os.getpid(), number)
        return
    real = lockstep.Lockstep.after_run

    def after_run(self, run_context, run_values):
        real(self, run_context, run_values)
        if run_context.session.run(tf.train.get_global_step()) == step:
            os.kill(os.getpid(), number)
            time.sleep(0.2 if number == signal.SIGTERM else 60)

    lockstep.Lockstep.after_run = after_run


def main(settings):
    folder, hosts, rank = (settings.pop(name) for name in ("folder", "hosts", "rank"))
    if hosts:
        settings.update(strategy_type="multi_worker", cluster=Cluster(tuple(hosts), rank))
    training_loop.SECONDS_TO_SHARE = settings.pop("patience")
    task = Task()
    data = settings.pop("data")
    task.fingerprint = lambda split: {"split": split + data}
    task.num_examples = settings.pop("num_examples")
    fails = settings.pop("fails")
    if fails:
        _fail_after(*fails)
    try:
        training.Engine(task, config(folder, **settings)).train(evaluate=True)
    except training.Interrupted as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(stopped.exit_status)


if __name__ == "__main__":
    quiet.show_log(0)
    program.run("worker", lambda: main(json.loads(sys.argv[1])))
