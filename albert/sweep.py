r"""Fine-tunes a model once for each combination of settings, and shows the results in one table.

    python -m albert.sweep --learning_rate=1e-5,2e-5 --seed=1,2,3 -- \
        albert.run_multigpus_classifier --do_train --do_eval --recipe \
        --task_name=RTE --output_dir=albert_output/RTE ...

Before -- stand the flags of the runner to vary, with their values separated by
commas; a flag given several times has one value each time, commas and all.
After -- stands a runner, a module or the path of a script of your own, and the
flags of every run. Each run has a folder in output_dir, such as
learning_rate=1e-5,seed=1. The same command resumes.
"""

import argparse
import functools
import hashlib
import itertools
import os
import re
import subprocess
import sys
import urllib.parse
from typing import Dict, List, NamedTuple, Sequence, Tuple

from albert.cli import job_flags, program
from albert.common.errors import UsageError
from albert.jobs import plan, results, side_by_side
from albert.jobs.job import Job, last_value

_PROG = "sweep.py"
_MARKER = "finished"  # in the folder of a run that has ended well
_LONGEST_NAME = 200  # bytes of a folder's name; file systems allow 255

# {flag that cannot be varied: why}
_NOT_TO_VARY = {
    "output_dir": "each run has a folder in the one given after --",
    "num_gpu_cores": "--gpus_per_run or the flags after -- decide it",
    "device_type": "the flags after -- decide it",
    "flagfile": "give its flags",
}
# {flag that cannot be given to every run: why}
_NOT_FOR_ALL = {
    "overwrite_output_dir": "a sweep goes on with what is there; delete the folders to start anew",
    "predict_output_dir": "the runs would overwrite each other's files",
}
# Flags that do not alter how long a run takes.
_AS_LONG = (
    "seed",
    "learning_rate",
    "warmup_step",
    "num_warmup_steps",
    "warmup_proportion",
    "init_checkpoint",
)


class Sweep(NamedTuple):
    """What to run.

    Attributes:
        values: {flag: the values to try}.
        runner: program and arguments that start the runner.
        passed_on: arguments of every run.
        output_dir: folder of all runs.
    """

    values: Dict[str, List[str]]
    runner: List[str]
    passed_on: List[str]
    output_dir: str

    def settings(self) -> List[Dict[str, str]]:
        """Returns {flag: value} of each run; the last flag varies fastest."""
        combinations = itertools.product(*self.values.values())
        return [dict(zip(self.values, combination)) for combination in combinations]


def read_sweep(varied: Sequence[str], rest: Sequence[str]) -> Sweep:
    """Returns the Sweep that a command line describes.

    Args:
        varied: the flags to vary, as the user writes them.
        rest: what stands after --, the runner and its flags.

    Raises:
        UsageError: a flag is not written as one, must not be given, or lacks a value.
    """
    words = list(rest)
    if words and re.fullmatch(r"(.*/)?python[\d.]*", words[0]):  # it is always that of the sweep
        words = words[1:]
    if words[:1] == ["-m"]:
        words = words[1:]
    if not words or words[0].startswith("-"):
        raise UsageError(
            "A runner is missing: give -- albert.run_multigpus_classifier, for instance, and its "
            "flags."
        )
    is_script = words[0].endswith(".py")
    runner = [sys.executable, words[0]] if is_script else [sys.executable, "-m", words[0]]
    for name, reason in _NOT_FOR_ALL.items():
        if any(re.match(rf"--?{name}(=|$)", word) for word in words):
            raise UsageError(f"--{name} cannot be given: {reason}.")
    output_dir = last_value(words, "output_dir")
    if not output_dir:
        raise UsageError("--output_dir is required, after --.")
    return Sweep(_values_of(varied), runner, words[1:], output_dir)


def _values_of(varied: Sequence[str]) -> Dict[str, List[str]]:
    given: Dict[str, List[str]] = {}
    for word in varied:
        match = re.fullmatch(r"--?(\w+)=(.*)", word, re.DOTALL)
        if not match:
            raise UsageError(f"{word!r}: flags to vary are written --name=value,value.")
        given.setdefault(match.group(1), []).append(match.group(2))
    for name, reason in {**_NOT_TO_VARY, **_NOT_FOR_ALL}.items():
        if name in given:
            raise UsageError(f"--{name} cannot be varied: {reason}.")
    if not given:
        raise UsageError("Nothing to vary: give a flag with several values, such as --seed=1,2,3.")
    values = {
        name: list(dict.fromkeys(texts if len(texts) > 1 else texts[0].split(",")))
        for name, texts in given.items()
    }
    for name, texts in values.items():
        if "" in texts:
            raise UsageError(f"--{name}={','.join(texts)} has an empty value.")
    return values


def check_flags(sweep: Sweep) -> None:
    """Raises UsageError unless the runner takes the flags and their values; starts no run.

    The runner is asked for its help, before which it reads the flags.
    """
    varied = [f"--{name}={text}" for name, texts in sweep.values.items() for text in texts]
    done = subprocess.run(
        [*sweep.runner, *sweep.passed_on, *varied, "--help"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise UsageError((done.stderr.strip() or "The runner fails.").splitlines()[-1])
    known = re.findall(r"(?m)^ +--(\w+)", done.stdout)
    for name in sweep.values:
        if name not in known:
            raise UsageError(f"--{name} is not a flag of {sweep.runner[-1]}; --help lists those.")


def folder_of(settings: Dict[str, str]) -> str:
    """Returns the name of a run's folder, such as "learning_rate=1e-5,seed=1".

    What cannot stand in a name, or would separate its parts, is escaped as in URLs; the end of a
    long name becomes a hash.
    """
    quoted = (f"{name}={urllib.parse.quote(text, safe='+')}" for name, text in settings.items())
    folder = ",".join(quoted)
    if len(folder) <= _LONGEST_NAME:
        return folder
    return f"{folder[: _LONGEST_NAME - 17]}-{hashlib.sha256(folder.encode()).hexdigest()[:16]}"


def jobs_of(sweep: Sweep) -> List[Job]:
    """Returns a Job for each run."""
    cached = [] if last_value(sweep.passed_on, "cached_dir") else [_cached_dir(sweep)]
    jobs = []
    for settings in sweep.settings():
        output_dir = os.path.join(sweep.output_dir, folder_of(settings))
        marker = os.path.join(output_dir, _MARKER)
        own = [f"--{name}={text}" for name, text in settings.items()]
        own.append(f"--output_dir={output_dir}")
        command = [*sweep.runner, *sweep.passed_on, *cached, *own]
        jobs.append(
            Job(
                name=",".join(f"{name}={text}" for name, text in settings.items()),
                output_dir=output_dir,
                command=functools.partial(list, command),
                has_finished=functools.partial(os.path.exists, marker),
                kind=[pair for pair in settings.items() if pair[0] not in _AS_LONG],
                marker=marker,
            )
        )
    return jobs


def _cached_dir(sweep: Sweep) -> str:
    """Returns the flag that lets runs share the files of features."""
    return f"--cached_dir={os.path.join(sweep.output_dir, 'cached_features')}"


def _split(words: Sequence[str]) -> Tuple[List[str], List[str]]:
    """Returns what stands before the first -- and what stands after it."""
    end = list(words).index("--") if "--" in words else len(words)
    return list(words[:end]), list(words[end + 1 :])


def _main(arguments: argparse.Namespace, varied: Sequence[str], rest: Sequence[str]) -> None:
    sweep = read_sweep(varied, rest)
    arguments.output_dir = sweep.output_dir
    jobs = jobs_of(sweep)
    if arguments.report:
        return _report(sweep, jobs, {})
    slots = job_flags.slots_of(arguments, sweep.passed_on)
    check_flags(sweep)
    if arguments.dry_run:
        return print(plan.plan(jobs, slots), end="", flush=True)
    if arguments.slurm:
        return job_flags.write_scripts(_PROG, arguments, sweep.passed_on, jobs)
    outcome = side_by_side.run(jobs, slots, goes_on=True)
    if outcome.received is None:
        _report(sweep, jobs, outcome.failed)
    outcome.check(_PROG, "leave its values out")


def _report(sweep: Sweep, jobs: Sequence[Job], failed: Dict[str, str]) -> None:
    rows = results.rows_of(zip(jobs, sweep.settings()), failed)
    print(results.write(sweep.output_dir, rows), end="", flush=True)


def main() -> None:
    """Runs the command line."""
    own, rest = _split(sys.argv[1:])
    parser = program.Parser(
        prog=_PROG,
        usage="python -m albert.sweep [options] --flag=value,value ... -- runner --flag=value ...",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    job_flags.define(parser)
    arguments, varied = parser.parse_known_args(own)
    program.run_resumable(_PROG, lambda: _main(arguments, varied, rest))


if __name__ == "__main__":
    main()
