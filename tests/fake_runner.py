"""Replaces the runner in tests of programs that start one: `python fake_runner.py FLAGS...`.

Appends its flags, as JSON, to runs.jsonl in the current folder. What it does then the environment
variable FAKE says per task, such as "RTE=fail MNLI=wait":

- fail: exits with status 1
- die: kills itself
- wait, wait_for_two: waits for one signal or for two
- nothing: leaves the files of a finished run
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
    best = {"step": 7, "metrics": {"accuracy": seed / 100}}
    stored = {"settings": {"train_steps": 7, "learning_rate": 1e-05}, "best": best}
    (folder / "eval_results.json").write_text(json.dumps(stored), encoding="utf-8")


def wait_for_signals(number_of_signals):
    """Ends half a second after so many signals, and writes which they were to `received`."""
    received = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: received.append(number))
    pathlib.Path("waiting").write_text(str(os.getpid()), encoding="utf-8")
    deadline = time.monotonic() + 60  # so that no process outlives a failed test
    while len(received) < number_of_signals and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    pathlib.Path("received").write_text(json.dumps(received), encoding="utf-8")
    sys.exit(128 + received[0] if received else "no signal came")


def main():
    given = dict((flag[2:].split("=", 1) + [""])[:2] for flag in sys.argv[1:])
    with open("runs.jsonl", "a", encoding="utf-8") as writer:
        writer.write(json.dumps(given) + "\n")
    task, folder = given["task_name"], pathlib.Path(given["output_dir"])
    behaviour = dict(word.split("=") for word in os.environ.get("FAKE", "").split()).get(task)
    if behaviour == "fail":
        sys.exit("it is broken")
    if behaviour == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour in ("wait", "wait_for_two"):
        wait_for_signals(1 if behaviour == "wait" else 2)
    finish(folder, task, int(given["seed"]))


if __name__ == "__main__":
    main()
