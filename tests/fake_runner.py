"""Replaces the runner in tests of programs that start one: `python fake_runner.py FLAGS...`.

Appends its flags, as JSON, to runs.jsonl in the current folder. What it does then the environment
variable FAKE says per task, or name of output_dir, such as "RTE=fail MNLI=wait":

- fail: exits with status 1
- die: kills itself
- wait, wait_for_two: waits for one signal or for two
- meet: goes on when a second run is at work; without one it fails
- nothing: leaves the files of a finished run

With --help it shows the flags that it pretends to have.
"""

import json
import os
import pathlib
import signal
import sys
import time

SUBMISSIONS = {"MNLI": ["MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv"]}


def finish(folder, task, seed):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.ckpt-best.index").touch()
    for name in [*SUBMISSIONS.get(task, [f"{task}.tsv"]), "submit_results.tsv", "test_results.tsv"]:
        (folder / name).write_text("index\tprediction\n0\t1\n", encoding="utf-8")
    best = {"step": 7, "metrics": {"accuracy": seed / 100, "loss": 0.5}}
    settings = {"train_steps": 7, "learning_rate": 1e-05, "total_seconds": 14.0}
    settings.update({"global_batch_size": 4, "examples_per_second": 2.0})
    stored = {"settings": settings, "best_metric": "accuracy", "best": best}
    stored["evaluations"] = [dict(best, dataset="")]
    (folder / "eval_results.json").write_text(json.dumps(stored), encoding="utf-8")


def wait_for_signals(folder, number_of_signals):
    """Ends half a second after so many signals, and writes which they were to `received`."""
    received = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: received.append(number))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "waiting").write_text(str(os.getpid()), encoding="utf-8")
    deadline = time.monotonic() + 60  # so that no process outlives a failed test
    while len(received) < number_of_signals and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    (folder / "received").write_text(json.dumps(received), encoding="utf-8")
    sys.exit(128 + received[0] if received else "no signal came")


def meet_another():
    """Ends when a second run has come here; fails if none does."""
    path = pathlib.Path("meeting")
    with path.open("a") as writer:
        writer.write("x")
    deadline = time.monotonic() + 20
    while path.read_text() == "x" and time.monotonic() < deadline:
        time.sleep(0.02)
    if path.read_text() == "x":
        sys.exit("no other run came")


def main():
    if "--help" in sys.argv:
        return print("  --learning_rate  A number.\n  --seed  Another.")
    given = dict((flag[2:].split("=", 1) + [""])[:2] for flag in sys.argv[1:])
    given["devices"] = os.environ.get("CUDA_VISIBLE_DEVICES")
    with open("runs.jsonl", "a", encoding="utf-8") as writer:
        writer.write(json.dumps(given) + "\n")
    folder = pathlib.Path(given["output_dir"])
    task = given.get("task_name", folder.name)
    behaviours = dict(word.rsplit("=", 1) for word in os.environ.get("FAKE", "").split())
    behaviour = behaviours.get(task)
    if behaviour == "fail":
        sys.exit("it is broken")
    if behaviour == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour in ("wait", "wait_for_two"):
        wait_for_signals(folder, 1 if behaviour == "wait" else 2)
    if behaviour == "meet":
        meet_another()
    finish(folder, task, int(given["seed"]))


if __name__ == "__main__":
    main()
