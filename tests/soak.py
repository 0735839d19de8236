"""Kills training at random moments, starts it again each time, and compares the end with a run that
was left alone.

    python tests/soak.py --kills=25
    python tests/soak.py --kills=10 --workers=2

SIGKILL comes after some time, or as soon as a file appears that the run is just writing: features,
a checkpoint, or the copy of the best one. In a cluster it comes to one worker, and all others must
end within a minute, with a line that names it.
"""

import argparse
import json
import os
import pathlib
import random
import re
import shutil
import signal
import sys
import tempfile
import time

if __name__ == "__main__":
    REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]
    from albert.cli import quiet

    quiet.ready_tensorflow()

import tensorflow.compat.v1 as tf
import workers

from albert.engine import checkpoints

# {moment: the file whose appearance is that moment}
MOMENTS = {
    "some time": None,
    "features": re.compile(r".*\.tf_record\..*\.part"),
    "a checkpoint": re.compile(r"model\.ckpt-\d+(_temp|\..*tempstate)"),
    "the best": re.compile(r"\.incoming-best\..*"),
}
SPEEDS = ("Total time", "Speed", "Tokens per second")
SECONDS_TO_END = 60.0
# Large enough for files that take a while to be written.
SETTINGS = {
    "train_steps": 60,
    "save_checkpoints_steps": 5,
    "num_examples": 2000,
    "model": {"embedding_size": 512, "vocab_size": 5000, "hidden_dropout_prob": 0.1},
}


class Soak:
    """Disturbs runs in a folder.

    Attributes:
        log: one line for each kill.
    """

    def __init__(self, num_workers, seed, settings):
        self.log = []
        self._num_workers = num_workers
        self._random = random.Random(seed)
        self._settings = settings

    def start(self, folder):
        hosts = workers.free_hosts(self._num_workers) if self._num_workers > 1 else None
        return [
            workers.start(folder, hosts, rank, **self._settings)
            for rank in range(self._num_workers)
        ]

    def finish(self, folder):
        """Runs to the end, which must be a good one; returns the seconds that it took."""
        started = time.monotonic()
        for status, stderr in workers.ends(self.start(folder), timeout=1200):
            assert status == 0, stderr
        return time.monotonic() - started

    def kill_once(self, folder, seconds):
        """Starts the run and kills it; returns whether it was still there.

        Args:
            seconds: what an undisturbed run takes.
        """
        moment = self._random.choice(list(MOMENTS))
        if moment == "features":
            for path in folder.glob("*.tf_record*"):
                path.unlink()
        processes = self.start(folder)
        victim = self._random.randrange(len(processes))
        try:
            self._wait_for(moment, folder, processes[0], self._random.uniform(0.0, 0.7) * seconds)
            is_there = processes[victim].poll() is None
            processes[victim].send_signal(signal.SIGKILL)
            killed = time.monotonic()
            ends = workers.ends(processes, SECONDS_TO_END)
        finally:
            for process in processes:
                process.kill()
        for rank, (status, stderr) in enumerate(ends):
            if rank != victim and is_there and status != 0:
                self._check_end(victim, status, stderr)
            assert "Traceback" not in stderr, stderr
        if is_there:
            step = max(
                (int(path.stem[11:]) for path in folder.glob("model.ckpt-*[0-9].index")), default=0
            )
            self.log.append(
                f"worker {victim} at {moment}, step {step}; the others ended after "
                f"{time.monotonic() - killed:.1f} s"
            )
        return is_there

    def _check_end(self, victim, status, stderr):
        name = f"worker {victim}" if victim else "the chief"
        assert status == 1 and re.search(rf"{name} \(\S+\) is gone", stderr), (status, stderr)

    def _wait_for(self, moment, folder, chief, seconds):
        """Waits for a moment, or for the end of the chief."""
        ends = None
        left_behind = _names(folder)  # by the last kill
        while chief.poll() is None:
            pattern = MOMENTS[moment]
            if pattern and any(pattern.match(name) for name in _names(folder) - left_behind):
                return
            # From then on all workers are there, so that the others notice the death of one.
            if ends is None and _holder(folder) == chief.pid:
                ends = time.monotonic() + seconds
            if not pattern and ends is not None and time.monotonic() > ends:
                return
            time.sleep(0.001 if pattern else 0.02)


def _names(folder):
    return set(os.listdir(str(folder))) if folder.exists() else set()


def _holder(folder):
    """Returns the id of the process that has the lock of a folder, or had it last."""
    try:
        match = re.match(r"process (\d+)", (folder / ".lock").read_text())
    except OSError:
        return None
    return match and int(match.group(1))


def values(folder, name):
    """Returns {name: value} of the variables of a checkpoint."""
    reader = tf.train.load_checkpoint(str(folder / name))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def results(folder):
    """Returns the evaluations in eval_results.json, and the lines of eval_results.txt."""
    texts = [(folder / f"eval_results.{kind}").read_text() for kind in ("json", "txt")]
    stored, text = (text.replace(str(folder), "") for text in texts)
    lines = [line for line in text.splitlines() if not line.startswith(SPEEDS)]
    return json.loads(stored)["evaluations"], lines


def assert_same(folder, other):
    """Asserts that two runs have the same weights, the same best ones, and the same results."""
    last = checkpoints.latest(str(other))
    for name in (os.path.basename(last), checkpoints.BEST):
        found, expected = values(folder, name), values(other, name)
        assert found.keys() == expected.keys()
        differing = [each for each in found if (found[each] != expected[each]).any()]
        assert not differing, (name, differing)
    assert results(folder) == results(other)


def run(kills, num_workers=1, seed=0, folder=None, settings=None):
    """Kills a run so many times; returns (the log, seconds of the undisturbed run)."""
    folder = pathlib.Path(folder or tempfile.mkdtemp())
    soak = Soak(num_workers, seed, dict(SETTINGS, num_devices=2, **settings or {}))
    seconds = soak.finish(folder / "undisturbed")
    disturbed = folder / "disturbed"
    count = 0
    while count < kills:
        if not soak.kill_once(disturbed, seconds):  # it has ended: begin a new one
            assert_same(disturbed, folder / "undisturbed")
            shutil.rmtree(str(disturbed))
        else:
            count += 1
            print(soak.log[-1], flush=True)
    soak.finish(disturbed)
    assert_same(disturbed, folder / "undisturbed")
    return soak.log, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    log, seconds = run(arguments.kills, arguments.workers, arguments.seed)
    print(
        f"{len(log)} kills: the same weights, the same best checkpoint and the same results as "
        f"undisturbed, which took {seconds:.0f} s."
    )


if __name__ == "__main__":
    main()
