"""The flags of the commands that start many runs, and what each of them does with the runs."""

import argparse
import logging
import os
import shlex
import sys
from typing import Callable, List, Sequence

from albert.common.errors import UsageError
from albert.jobs import devices, slurm
from albert.jobs.devices import Slot
from albert.jobs.job import Job, last_value

_log = logging.getLogger(__name__)


def define(parser: argparse.ArgumentParser) -> None:
    """Adds the flags to a parser."""
    parser.add_argument(
        "--gpus_per_run",
        type=_number_of_devices,
        help="run side by side, each run on so many of the devices (default: one run after the "
        "other, on all of them)",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--dry_run",
        action="store_true",
        help="show what is done and what is left; start and download nothing",
    )
    instead.add_argument(
        "--slurm",
        action="store_true",
        help="write scripts that submit the runs to Slurm into the folder slurm of output_dir; "
        "start nothing",
    )
    instead.add_argument(
        "--report",
        action="store_true",
        help="show the results of the runs that have finished; start nothing",
    )


def _number_of_devices(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of devices, from 1 up")
    return int(text)


def slots_of(arguments: argparse.Namespace, passed_on: Sequence[str]) -> List[Slot]:
    """Returns the Slots of this machine; none under --slurm, whose machines are not known.

    Args:
        passed_on: arguments of every run.

    Raises:
        UsageError: see devices.slots_for.
    """
    if arguments.slurm:
        devices.check_one_machine(passed_on)
        return []
    slots = devices.slots_for(arguments.gpus_per_run, passed_on, os.environ)
    if slots[0].where == devices.CPU and last_value(passed_on, "device_type") != "cpu":
        _log.info("No GPU is visible: the runs share the CPU.")
    return slots


def write_scripts(
    prog: str, arguments: argparse.Namespace, passed_on: Sequence[str], jobs: Sequence[Job]
) -> None:
    """Writes the scripts for Slurm into output_dir, of the jobs that have not finished.

    Args:
        prog: the name of the command, which is that of its module, too.

    Raises:
        UsageError: there are none.
    """
    left = [job for job in jobs if not job.has_finished()]
    if not left:
        raise UsageError("--slurm: every run has finished; --report shows their results.")
    number = devices.count_for_slurm(arguments.gpus_per_run, passed_on)
    kind = "cpu" if last_value(passed_on, "device_type") == "cpu" else "gpu"
    module = f"albert.{os.path.splitext(prog)[0]}"
    again = ["--report" if word == "--slurm" else word for word in sys.argv[1:]]
    scripts = slurm.Scripts(
        prog,
        os.path.join(arguments.output_dir, "slurm"),
        (kind, number),
        [sys.executable, "-m", module, *again],
    )
    share = [f"--num_gpu_cores={number}"]
    path = slurm.write([job._replace(command=_with(job.command, share)) for job in left], scripts)
    _log.info("%d run(s) to submit, and their report: bash %s", len(left), shlex.quote(path))


def _with(command: Callable[[], List[str]], share: Sequence[str]) -> Callable[[], List[str]]:
    return lambda: [*command(), *share]
