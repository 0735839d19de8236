"""Fine-tunes all GLUE tasks, one run after the other, and reports the results.

scripts/run_all_glue.sh calls this module. Each run is a process of its own, so that it starts with
a fresh TensorFlow; this process imports none. Flags that it does not know go to every run.
"""

import argparse
import logging
import os
import re
import signal
import subprocess
import sys
from typing import List, NamedTuple, Optional, Sequence

from albert.cli import downloads, program, recipes
from albert.common import json_files
from albert.common.errors import UsageError
from albert.downloads import glue as download_glue
from albert.downloads.transfer import DownloadConfig
from albert.glue import report as glue_report
from albert.glue.report import Run
from albert.glue.table import GLUE_ROWS, folder_of

_log = logging.getLogger("albert.run_all_glue")  # __name__ is __main__ under `python -m`

_PROG = "run_all_glue.sh"
_RUNNER = (sys.executable, "-m", "albert.run_multigpus_classifier")
# MNLI runs first, since others start from it. AX has no training data: MNLI's run predicts it.
TASKS = ("mnli", "cola", "sst-2", "mrpc", "sts-b", "qqp", "qnli", "rte", "wnli")
_MAX_SEED = 2**31 - 1
_LAST_FILES = ("submit_results.tsv", "test_results.tsv")  # of the prediction

# {flag of a run that is set here: the variable of the script that decides its value}
_SET_HERE = {"seed": "SEEDS", "task_name": "TASKS"}


# What to run


def tasks_of(text: str) -> List[str]:
    """Returns the tasks that a list names, in any case: MNLI first, the others in its order.

    Raises:
        UsageError: a name is not that of a task, or the list is empty.
    """
    names = _words(text)
    for name in names:
        if name.lower() not in TASKS:
            also = " (AX is predicted by the run of MNLI)" if name.lower() == "ax" else ""
            raise UsageError(
                f"TASKS={text}: {name!r} is not a task to train{also}; allowed: {_names(TASKS)}."
            )
    if not names:
        raise UsageError(f"TASKS={text} names no task; allowed: {_names(TASKS)}.")
    tasks = list(dict.fromkeys(name.lower() for name in names))
    return sorted(tasks, key=lambda task: task != "mnli")


def seeds_of(text: str) -> List[int]:
    """Returns the seeds of a list; raises UsageError if one is not a seed or the list is empty."""
    names = _words(text)
    for name in names or [""]:
        if not re.fullmatch("[0-9]{1,10}", name) or int(name) > _MAX_SEED:
            raise UsageError(
                f"SEEDS={text}: {name!r} is not a seed; allowed: numbers from 0 to {_MAX_SEED}."
            )
    return list(dict.fromkeys(map(int, names)))


def _words(text: str) -> List[str]:
    return re.findall(r"[^\s,]+", text)


def _names(tasks: Sequence[str]) -> str:
    return ", ".join(map(folder_of, tasks))


def check_passed_on(arguments: Sequence[str]) -> None:
    """Raises UsageError if the arguments for every run contain a flag that is set here."""
    for argument in arguments:
        name = re.match(r"--?(\w+)", argument)
        if name and name.group(1) in _SET_HERE:
            raise UsageError(f"{argument} cannot be given: {_SET_HERE[name.group(1)]} decides it.")


# What has been done


def has_finished(run: Run, data_dir: str) -> bool:
    """Whether a run has ended well: it writes the files of its predictions last."""
    expected = [
        split.submission
        for split in GLUE_ROWS[run.task].splits.values()
        if split.submission
        and not (split.is_optional and not os.path.exists(os.path.join(data_dir, split.path)))
    ]
    expected += _LAST_FILES
    return all(os.path.exists(os.path.join(run.output_dir, name)) for name in expected)


def _steps_of(run: Run) -> str:
    """Returns in words for how long a finished run was trained, so that a short trial shows."""
    if not os.path.exists(run.results_file):  # --do_eval=False
        return ""
    stored = json_files.load_json(run.results_file)
    settings = json_files.value_of(stored, "settings", dict, run.results_file, "the record")
    steps = settings.get(
        "train_steps", settings.get("Training steps")
    )  # the key of earlier releases
    return "" if steps is None else f" with {steps} steps"


def fetch(runs: Sequence[Run], data_dir: str, config: DownloadConfig) -> None:
    """Downloads the data that runs need and do not have, for MNLI with the diagnostic set.

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


def flags_to_start_from_mnli(run: Run, data_dir: str) -> List[str]:
    """Returns the flags that start a run from MNLI; none if it should not, or MNLI is not there."""
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


def run_all(runs: Sequence[Run], data_dir: str, passed_on: Sequence[str]) -> None:
    """Runs what has not finished, one after the other, with the flags `passed_on` for every run.

    Raises:
        UsageError: a run failed; the later ones were not started.
        SystemExit: a signal stopped a run.
    """
    for number, run in enumerate(runs, 1):
        heading = f"==> {run} ({number} of {len(runs)})"
        if has_finished(run, data_dir):
            _log.info("%s: finished before%s.", heading, _steps_of(run))
            continue
        _log.info("%s", heading)
        flags = [
            *passed_on,
            *flags_to_start_from_mnli(run, data_dir),
            f"--data_dir={data_dir}",
            f"--task_name={folder_of(run.task)}",
            f"--seed={run.seed}",
            f"--output_dir={run.output_dir}",
        ]
        _check_end(run, _run_to_end([*_RUNNER, *flags]))


class _End(NamedTuple):
    """The exit status of a run, and the signal that this process received meanwhile, or None."""

    status: int
    received: Optional[int]


def _check_end(run: Run, end: _End) -> None:
    """Raises what `run_all` raises, unless the run has ended well."""
    status, received = end
    if received is None and status in (130, 143, -signal.SIGINT, -signal.SIGTERM):
        received = status - 128 if status > 0 else -status  # it was sent to the run alone
    if received is not None:
        _log.info("%s: stopped in %s; the same command resumes from there.", _PROG, run)
        raise SystemExit(128 + received)
    if status:
        how = f"status {status}" if status > 0 else signal.Signals(-status).name
        raise UsageError(
            f"{run} failed ({how}), see above. Finished runs are kept: correct the cause and "
            "repeat the command, or leave the run out by TASKS or SEEDS."
        )


def _run_to_end(command: Sequence[str]) -> _End:
    """Runs a command and waits until it has ended, whatever signals come.

    At Ctrl-C the terminal signals the run, too, which saves a checkpoint and ends. SIGTERM is
    passed on to it.
    """
    received: List[int] = []
    started: List[subprocess.Popen] = []

    def on_signal(number, frame):
        del frame
        received.append(number)
        if number == signal.SIGTERM:
            for process in started:
                process.terminate()

    signals = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, on_signal) for number in signals}
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        started.append(process)
        if signal.SIGTERM in received:  # it came before the process was there
            process.terminate()
        status = process.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return _End(status, received[0] if received else None)


def _parser() -> program.Parser:
    parser = downloads.parser(_PROG, (__doc__ or "").split("\n")[0])
    parser.add_argument("--tasks", default=_names(TASKS), help="default: %(default)s")
    parser.add_argument("--seeds", default="42", help="one or several (default: %(default)s)")
    parser.add_argument("--data_dir", required=True, help="folder of the tasks")
    parser.add_argument("--output_dir", required=True, help="folder of all runs and the report")
    parser.add_argument("--model", default="", help="published figures to show, such as base_v2")
    return parser


def _main(arguments: argparse.Namespace, passed_on: Sequence[str]) -> None:
    tasks, seeds = tasks_of(arguments.tasks), seeds_of(arguments.seeds)
    check_passed_on(passed_on)
    runs = [Run(task, seed, arguments.output_dir) for seed in seeds for task in tasks]
    unfinished = [run for run in runs if not has_finished(run, arguments.data_dir)]
    fetch(unfinished, arguments.data_dir, downloads.config(arguments))
    run_all(runs, arguments.data_dir, passed_on)
    report = glue_report.write(sorted(runs, key=lambda run: TASKS.index(run.task)), arguments.model)
    _log.info("==> Results, also in %s", os.path.join(arguments.output_dir, "glue_results.txt"))
    print(report, end="", flush=True)


def main() -> None:
    arguments, passed_on = _parser().parse_known_args()
    downloads.run(_PROG, lambda: _main(arguments, passed_on))


if __name__ == "__main__":
    main()
