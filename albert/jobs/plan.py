"""The plan of many runs as a table: what is done, what is left, and how long that takes."""

import statistics
from typing import List, NamedTuple, Optional, Sequence

import tabulate

from albert.common.console import duration
from albert.engine import results
from albert.engine.results import Recorded
from albert.jobs import side_by_side
from albert.jobs.devices import Slot
from albert.jobs.job import Job, last_step, training_seconds


class _Row(NamedTuple):
    """A row of the table; its fields are the headings."""

    run: str
    waits_for: str
    state: str
    training_left: str


def plan(jobs: Sequence[Job], slots: Sequence[Slot]) -> str:
    """Returns the plan of jobs, in the order in which they start.

    The times are those of the training alone, at speeds that runs have recorded: the run itself, or
    else others of its kind.
    """
    records = {job.name: results.read(job.output_dir) for job in jobs}
    rows, known = [], []
    for job in side_by_side.in_order(jobs, len(slots)):
        step = last_step(job.output_dir)
        of_kind = [records[other.name] for other in jobs if other.kind == job.kind]
        seconds = 0.0 if job.has_finished() else _seconds_left(records[job.name], of_kind, step)
        known.append(seconds)
        rows.append(_Row(job.name, ", ".join(job.waits_for), _state(job, step), _shown(seconds)))
    table = tabulate.tabulate(
        rows,
        headers=[name.replace("_", " ") for name in _Row._fields],
        tablefmt="plain",
        disable_numparse=True,
    )
    return f"{table}\n\n{_at_a_time(slots)}\n{_total(known)}\n"


def _seconds_left(own: Recorded, of_kind: Sequence[Recorded], step: int) -> Optional[float]:
    """Returns how long training takes from a step on; None where no speed is known."""
    own_seconds = training_seconds(own, step)
    if own_seconds is not None:
        return own_seconds
    measured = [training_seconds(record, step) for record in of_kind]
    known = [seconds for seconds in measured if seconds is not None]
    return statistics.mean(known) if known else None


def _state(job: Job, step: int) -> str:
    if job.has_finished():
        return "finished"
    return f"goes on at step {step}" if step else "new"


def _shown(seconds: Optional[float]) -> str:
    return "not known" if seconds is None else duration(seconds)


def _at_a_time(slots: Sequence[Slot]) -> str:
    if len(slots) == 1:
        return "One run after the other."
    places = dict.fromkeys(slot.where for slot in slots)
    return f"{len(slots)} runs at a time, on {'; '.join(places)}."


def _total(seconds: List[Optional[float]]) -> str:
    known = [value for value in seconds if value is not None]
    missing = len(seconds) - len(known)
    more = f", not counting {missing} run(s) without a known speed" if missing else ""
    return f"Training left, one run after the other: {duration(sum(known))}{more}."
