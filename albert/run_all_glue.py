"""Fine-tunes all GLUE tasks, one run after the other or side by side, and reports the results.

scripts/run_all_glue.sh calls this module. Each run is a process of its own, so that it starts with
a fresh TensorFlow; this process imports none. Flags that it does not know go to every run.
"""

import argparse
import functools
import logging
import os
import re
import sys
from typing import List, Sequence

from albert.cli import downloads, job_flags, program, recipes
from albert.common.errors import UsageError
from albert.downloads import glue as download_glue
from albert.downloads.transfer import DownloadConfig
from albert.glue import report as glue_report
from albert.glue.report import Run
from albert.glue.table import GLUE_ROWS, folder_of
from albert.jobs import plan, side_by_side
from albert.jobs.job import Job

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


# The runs


def jobs_of(
    runs: Sequence[Run], data_dir: str, passed_on: Sequence[str], is_for_later: bool
) -> List[Job]:
    """Returns a Job for each run, with the flags `passed_on` for every run.

    Args:
        is_for_later: whether commands are asked for before the jobs that theirs wait for have run.
    """
    return [
        Job(
            name=str(run),
            output_dir=run.output_dir,
            command=functools.partial(
                _command, run, data_dir, passed_on, is_for_later and _mnli_of(run) in runs
            ),
            has_finished=functools.partial(has_finished, run, data_dir),
            kind=run.task,
            waits_for=tuple(
                str(mnli) for mnli in [_mnli_of(run)] if mnli in runs and _starts_from_mnli(run)
            ),
        )
        for run in runs
    ]


def _command(
    run: Run, data_dir: str, passed_on: Sequence[str], mnli_will_be_there: bool
) -> List[str]:
    return [
        *_RUNNER,
        *passed_on,
        *flags_to_start_from_mnli(run, data_dir, mnli_will_be_there),
        f"--data_dir={data_dir}",
        f"--task_name={folder_of(run.task)}",
        f"--seed={run.seed}",
        f"--output_dir={run.output_dir}",
    ]


def _mnli_of(run: Run) -> Run:
    return run._replace(task="mnli")


def _starts_from_mnli(run: Run) -> bool:
    return recipes.find(run.task).starts_from_mnli


def flags_to_start_from_mnli(run: Run, data_dir: str, mnli_will_be_there: bool) -> List[str]:
    """Returns the flags that start a run from MNLI; none if it should not, or MNLI is not there."""
    if not _starts_from_mnli(run):
        return []
    mnli = _mnli_of(run)
    checkpoint = os.path.join(mnli.output_dir, "model.ckpt-best")
    is_there = has_finished(mnli, data_dir) and os.path.exists(f"{checkpoint}.index")
    if is_there or mnli_will_be_there:
        return [f"--init_checkpoint={checkpoint}", "--discard_classifier_weights"]
    _log.info(
        "%s starts from the pre-trained model, not from MNLI: there is no %s of a finished run.",
        run,
        checkpoint,
    )
    return []


def _parser() -> program.Parser:
    parser = downloads.parser(_PROG, (__doc__ or "").split("\n")[0])
    parser.add_argument("--tasks", default=_names(TASKS), help="default: %(default)s")
    parser.add_argument("--seeds", default="42", help="one or several (default: %(default)s)")
    parser.add_argument("--data_dir", required=True, help="folder of the tasks")
    parser.add_argument("--output_dir", required=True, help="folder of all runs and the report")
    parser.add_argument("--model", default="", help="published figures to show, such as base_v2")
    job_flags.define(parser)
    return parser


def _main(arguments: argparse.Namespace, passed_on: Sequence[str]) -> None:
    tasks, seeds = tasks_of(arguments.tasks), seeds_of(arguments.seeds)
    check_passed_on(passed_on)
    root, data_dir = arguments.output_dir, arguments.data_dir
    runs = [Run(task, seed, root) for seed in seeds for task in tasks]
    jobs = jobs_of(runs, data_dir, passed_on, arguments.slurm)
    if arguments.report:
        return _report([run for run in runs if has_finished(run, data_dir)], arguments, len(runs))
    slots = job_flags.slots_of(arguments, passed_on)
    if arguments.dry_run:
        return print(plan.plan(jobs, slots), end="", flush=True)
    unfinished = [run for run in runs if not has_finished(run, data_dir)]
    fetch(unfinished, data_dir, downloads.config(arguments))
    if arguments.slurm:
        return job_flags.write_scripts(_PROG, arguments, passed_on, jobs)
    outcome = side_by_side.run(jobs, slots)
    outcome.check(_PROG, "leave the run out by TASKS or SEEDS")
    _report(runs, arguments, len(runs))


def _report(runs: Sequence[Run], arguments: argparse.Namespace, num_runs: int) -> None:
    if len(runs) < num_runs:
        _log.info("%d of %d runs have finished; the others do not count.", len(runs), num_runs)
    if not runs:
        raise UsageError("--report: no run has finished.")
    report = glue_report.write(sorted(runs, key=lambda run: TASKS.index(run.task)), arguments.model)
    _log.info("==> Results, also in %s", os.path.join(arguments.output_dir, "glue_results.txt"))
    print(report, end="", flush=True)


def main() -> None:
    arguments, passed_on = _parser().parse_known_args()
    program.run_resumable(_PROG, lambda: _main(arguments, passed_on))


if __name__ == "__main__":
    main()
