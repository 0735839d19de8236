"""Writes the scripts that run jobs on a Slurm cluster, one task of a job array each."""

import os
import pathlib
import shlex
from typing import Dict, List, NamedTuple, Sequence, Tuple

import albert
from albert.common import files
from albert.jobs.job import Job

_HEAD = """\
#!/usr/bin/env bash
# Written by {prog} --slurm, and written anew by it. {what}
#SBATCH --job-name={name}
"""
_PLACE = """\
set -euo pipefail
cd -- {folder}
export PYTHONPATH={package}"${{PYTHONPATH:+:$PYTHONPATH}}"
"""
_RUN_OPTIONS = """\
#SBATCH {devices}
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
"""
_CASES = """
case "$SLURM_ARRAY_TASK_ID" in
{cases}
  *)
    echo "There is no run $SLURM_ARRAY_TASK_ID." >&2
    exit 1
    ;;
esac
"""
_START_AND_WAIT = """
"${command[@]}" &
child=$!
is_timed_out=false
# At SIGTERM the run saves a checkpoint, and ends. USR1 comes before the time is up.
trap 'is_signalled=true; kill -TERM "$child" || true' TERM
trap 'is_signalled=true; is_timed_out=true; kill -TERM "$child" || true' USR1
is_signalled=true
while [[ $is_signalled == true ]]; do # a signal ends `wait`, not the run
  is_signalled=false status=0
  wait "$child" || status=$?
done
if [[ $status != 0 && $is_timed_out == true ]]; then scontrol requeue "$SLURM_JOB_ID"; fi
if [[ $status == 0 && -n $marker ]]; then touch -- "$marker"; fi
exit "$status"
"""
_SUBMIT = """\
#!/usr/bin/env bash
# Written by {prog} --slurm, and written anew by it. Submits the runs, and then the report of them.
# Arguments go to every sbatch: bash {path} --partition=gpu --time=12:00:00
set -euo pipefail
here={folder}
options=("$@")
submit() {{ # options and script: prints the id of the job
  local id
  id="$(sbatch --parsable ${{options[@]+"${{options[@]}}"}} "$@")" || exit
  printf '%s\\n' "${{id%%;*}}"
}}

{arrays}
report="$(submit --dependency="afterany{all_ids}" --output="$here/report.log" "$here/report.sh")"
echo "Submitted {num_runs} run(s) as{shown_ids}; $report will report on them in $here/report.log."
"""


class Scripts(NamedTuple):
    """What the scripts have in common.

    Attributes:
        prog: the command's name.
        folder: for them, and for the logs of the jobs.
        devices: of a run: ("gpu", 2), or ("cpu", 2).
        report: the command that reports on the runs.
    """

    prog: str
    folder: str
    devices: Tuple[str, int]
    report: Sequence[str]


def write(jobs: Sequence[Job], scripts: Scripts) -> str:
    """Writes run.sh, report.sh and submit.sh for jobs, and returns the path of the last.

    Jobs that wait for the same others are one array. A job of Slurm gets the signal USR1 before its
    time is up, upon which the run saves a checkpoint and the job is queued again.
    """
    folder = os.path.abspath(scripts.folder)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "submit.sh")
    cases = "\n".join(_case(number, job) for number, job in enumerate(jobs))
    parts = [
        _head(scripts.prog, "runs", "Runs the run that SLURM_ARRAY_TASK_ID says: see submit.sh."),
        _RUN_OPTIONS.format(devices=_devices(*scripts.devices)),
        _place(),
        _CASES.format(cases=cases),
        _START_AND_WAIT,
    ]
    files.write_text(os.path.join(folder, "run.sh"), "".join(parts))
    report = f"exec {_quoted(scripts.report)}\n"
    head = _head(scripts.prog, "report", "Reports on the runs.")
    files.write_text(os.path.join(folder, "report.sh"), head + _place() + report)
    arrays = _arrays(jobs)
    ids = [f"$array_{number}" for number in range(len(arrays))]
    text = _SUBMIT.format(
        prog=scripts.prog,
        path=shlex.quote(path),
        folder=shlex.quote(folder),
        arrays="\n".join(arrays),
        all_ids="".join(f":{name}" for name in ids),
        shown_ids="".join(f" {name}" for name in ids),
        num_runs=len(jobs),
    )
    files.write_text(path, text)
    return path


def _head(prog: str, name: str, what: str) -> str:
    return _HEAD.format(prog=prog, what=what, name=f"albert-{name}")


def _place() -> str:
    package = pathlib.Path(albert.__file__).resolve().parents[1]
    return _PLACE.format(folder=shlex.quote(os.getcwd()), package=shlex.quote(str(package)))


def _devices(kind: str, number: int) -> str:
    return f"--gres=gpu:{number}" if kind == "gpu" else f"--cpus-per-task={number}"


def _case(number: int, job: Job) -> str:
    return (
        f"  {number}) # {' '.join(job.name.split())}\n"
        f"    command=({_quoted(job.command())})\n"
        f"    marker={shlex.quote(job.marker and os.path.abspath(job.marker))}\n"
        "    ;;"
    )


def _quoted(command: Sequence[str]) -> str:
    return " ".join(map(shlex.quote, command))


def _arrays(jobs: Sequence[Job]) -> List[str]:
    """Returns lines of bash that submit the jobs, those that wait for the same ones together."""
    numbers = {job.name: number for number, job in enumerate(jobs)}
    groups: Dict[Tuple[str, ...], List[int]] = {}
    for job in jobs:  # those that others wait for come before them
        waits_for = tuple(name for name in job.waits_for if name in numbers)
        groups.setdefault(waits_for, []).append(numbers[job.name])
    array_of = {number: array for array, group in enumerate(groups.values()) for number in group}
    lines = []
    for array, (waits_for, group) in enumerate(groups.items()):
        ids = [f"${{array_{array_of[numbers[name]]}}}_{numbers[name]}" for name in waits_for]
        after = f' --dependency="afterok:{":".join(ids)}"' if ids else ""
        lines.append(
            f'array_{array}="$(submit --array={",".join(map(str, group))}{after} '
            '--output="$here/%A_%a.log" "$here/run.sh")"'
        )
    return lines
