"""Fine-tunes all GLUE tasks, one run after another, and reports: what run_all_glue.sh does.

Each run is a process of its own, so that none inherits TensorFlow's state; this one imports no
TensorFlow. What stands on the command line beside the flags below is passed on to every run.
"""

import logging
import os
import re
import signal
import subprocess
import sys

from albert.cli import downloads, recipes
from albert.common import json_files
from albert.common.errors import UsageError
from albert.downloads import glue as download_glue
from albert.glue import report as glue_report
from albert.glue.report import Run
from albert.glue.table import GLUE_ROWS, folder_of

_log = logging.getLogger("albert.run_all_glue")  # __name__ is another one under `python -m`

_PROG = "run_all_glue.sh"
_RUNNER = (sys.executable, "-m", "albert.run_multigpus_classifier")
# MNLI runs first, since others start from it. AX has no training data: MNLI's run predicts it.
TASKS = ("mnli", "cola", "sst-2", "mrpc", "sts-b", "qqp", "qnli", "rte", "wnli")
_MAX_SEED = 2**31 - 1
_ENDS_OF_PREDICTION = ("submit_results.tsv", "test_results.tsv")

# Flags of a run that are chosen here, and what chooses them.
_CHOSEN = {"seed": "SEEDS", "task_name": "TASKS"}


# What to run


def tasks_of(text):
    """Returns the tasks that a list names in any case, MNLI first, the others in its order.

    Raises:
        UsageError: a name is of no task, or there is none.
    """
    names = _words(text)
    for name in names:
        if name.lower() not in TASKS:
            also = " (AX is predicted by the run of MNLI)" if name.lower() == "ax" else ""
            raise UsageError(
                f"TASKS={text}: {name!r} is no task to train{also}; allowed: {_names(TASKS)}."
            )
    if not names:
        raise UsageError(f"TASKS={text} names no task; allowed: {_names(TASKS)}.")
    tasks = list(dict.fromkeys(name.lower() for name in names))
    return sorted(tasks, key=lambda task: task != "mnli")


def seeds_of(text):
    """Returns the seeds of a list; raises UsageError where one is no seed, or there is none."""
    names = _words(text)
    for name in names or [""]:
        if not re.fullmatch("[0-9]{1,10}", name) or int(name) > _MAX_SEED:
            raise UsageError(
                f"SEEDS={text}: {name!r} is no seed; allowed: numbers from 0 to {_MAX_SEED}."
            )
    return list(dict.fromkeys(map(int, names)))


def _words(text):
    return re.findall(r"[^\s,]+", text)


def _names(tasks):
    return ", ".join(map(folder_of, tasks))


def check_passed_on(arguments):
    """Raises UsageError if arguments for every run set what is chosen here."""
    for argument in arguments:
        name = re.match(r"--?(\w+)", argument)
        if name and name.group(1) in _CHOSEN:
            raise UsageError(f"{argument} cannot be given: {_CHOSEN[name.group(1)]} chooses it.")


# How far it is


def has_finished(run, data_dir):
    """Whether a run has come to its end: it writes the files of its predictions last."""
    wanted = [
        split.submission
        for split in GLUE_ROWS[run.task].splits.values()
        if split.submission
        and not (split.is_optional and not os.path.exists(os.path.join(data_dir, split.path)))
    ]
    wanted += _ENDS_OF_PREDICTION
    return all(os.path.exists(os.path.join(run.output_dir, name)) for name in wanted)


def _steps_of(run):
    """Returns in words how long a finished run was trained, so that a short trial is noticed."""
    if not os.path.exists(run.results_file):  # --do_eval=False
        return ""
    stored = json_files.load_json(run.results_file)
    settings = json_files.value_of(stored, "settings", dict, run.results_file, "the record")
    steps = settings.get("train_steps", settings.get("Training steps"))  # as it was called once
    return "" if steps is None else f" with {steps} steps"


def fetch(runs, data_dir, config):
    """Downloads what runs lack of their data, and for MNLI the diagnostic set.

    Raises:
        UsageError: see download_glue.download.
    """
    tasks = list(dict.fromkeys(run.task for run in runs))
    tasks += ["ax"] * ("mnli" in tasks)
    missing = [task for task in tasks if not download_glue.is_there(task, data_dir)]
    for task in missing:
        path = os.path.join(data_dir, folder_of(task))
        _log.info("%s: %s is not there: fetching it.", _PROG, path)
    if missing:
        download_glue.download(missing, data_dir, config)


# Running


def beginning_of(run, data_dir):
    """Returns the flags that let a run start from MNLI, if it should and there is such a model."""
    if not recipes.find(run.task).starts_from_mnli:
        return []
    mnli = run._replace(task="mnli")
    checkpoint = os.path.join(mnli.output_dir, "model.ckpt-best")
    if has_finished(mnli, data_dir) and os.path.exists(f"{checkpoint}.index"):
        return [f"--init_checkpoint={checkpoint}", "--discard_classifier_weights"]
    _log.info(
        "%s starts from the pre-trained model, not from MNLI: there is no %s of a finished run.",
        run,
        checkpoint,
    )
    return []


def run_all(runs, data_dir, passed_on):
    """Runs what has not finished, one after the other.

    Args:
        passed_on: list of flags for every run.

    Raises:
        UsageError: a run failed; the others were not begun.
        SystemExit: a signal came; its run has ended.
    """
    for number, run in enumerate(runs, 1):
        heading = f"==> {run} ({number} of {len(runs)})"
        if has_finished(run, data_dir):
            _log.info("%s: finished before%s.", heading, _steps_of(run))
            continue
        _log.info("%s", heading)
        flags = [
            *passed_on,
            *beginning_of(run, data_dir),
            f"--data_dir={data_dir}",
            f"--task_name={folder_of(run.task)}",
            f"--seed={run.seed}",
            f"--output_dir={run.output_dir}",
        ]
        status, received = _run([*_RUNNER, *flags])
        _check_end(run, status, received)


def _check_end(run, status, received):
    """Raises what must follow when a run has ended with that exit status; 0 is well."""
    if received is None and status in (130, 143, -signal.SIGINT, -signal.SIGTERM):
        received = status - 128 if status > 0 else -status  # sent to the run alone
    if received is not None:
        _log.info("%s: stopped in %s; the same command goes on from there.", _PROG, run)
        raise SystemExit(128 + received)
    if status:
        how = f"status {status}" if status > 0 else signal.Signals(-status).name
        raise UsageError(
            f"{run} failed ({how}), see above. What has finished is kept, and the command goes on "
            "when that is mended; TASKS and SEEDS leave runs out."
        )


def _run(command):
    """Returns (exit status, number of the signal that came meanwhile or None) of a command.

    Ctrl-C comes from the terminal to the run too, which saves and ends; SIGTERM is passed on. This
    process waits for that.
    """
    received, started = [], []

    def end(number, frame):
        del frame
        received.append(number)
        if number == signal.SIGTERM:
            for process in started:
                process.terminate()

    previous = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        started.append(process)
        if signal.SIGTERM in received:  # it came before there was a process
            process.terminate()
        status = process.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return status, received[0] if received else None


def _parser():
    parser = downloads.parser(_PROG, (__doc__ or "").split(":")[0] + ".")
    parser.add_argument("--tasks", default=_names(TASKS), help="default: %(default)s")
    parser.add_argument("--seeds", default="42", help="one or several (default: %(default)s)")
    parser.add_argument("--data_dir", required=True, help="folder of the tasks")
    parser.add_argument("--output_dir", required=True, help="folder of all runs and the report")
    parser.add_argument("--model", default="", help="published figures to show, such as base_v2")
    return parser


def _main(arguments, passed_on):
    tasks, seeds = tasks_of(arguments.tasks), seeds_of(arguments.seeds)
    check_passed_on(passed_on)
    runs = [Run(task, seed, arguments.output_dir) for seed in seeds for task in tasks]
    unfinished = [run for run in runs if not has_finished(run, arguments.data_dir)]
    fetch(unfinished, arguments.data_dir, downloads.config(arguments))
    run_all(runs, arguments.data_dir, passed_on)
    report = glue_report.write(sorted(runs, key=lambda run: TASKS.index(run.task)), arguments.model)
    _log.info("==> Results, also in %s", os.path.join(arguments.output_dir, "glue_results.txt"))
    print(report, end="", flush=True)


def main():
    arguments, passed_on = _parser().parse_known_args()
    downloads.run(_PROG, lambda: _main(arguments, passed_on))


if __name__ == "__main__":
    main()
