"""The results of runs that differ in a few settings: a table, and a file for programs."""

import os
import statistics
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import tabulate

from albert.common import files
from albert.engine.results import Recorded, read
from albert.jobs.job import Job

FILE = "sweep_results.tsv"

_FINISHED = "finished"
_SEED = "seed"  # runs that differ in it alone are one row of the table


class Row(NamedTuple):
    """A run.

    Attributes:
        settings: {flag: value} of those that vary.
        state: "finished", "unfinished", or how it failed.
    """

    settings: Dict[str, str]
    state: str
    record: Recorded
    output_dir: str


def rows_of(runs: Iterable[Tuple[Job, Dict[str, str]]], failed: Mapping[str, str]) -> List[Row]:
    """Returns a Row for each run, given with its settings.

    Args:
        failed: {name of a job: how}.

    Raises:
        UsageError: the record of a run cannot be read.
    """
    return [
        Row(settings, _state(job, failed), read(job.output_dir), job.output_dir)
        for job, settings in runs
    ]


def _state(job: Job, failed: Mapping[str, str]) -> str:
    if job.name in failed:
        return f"failed ({failed[job.name]})"
    return _FINISHED if job.has_finished() else "unfinished"


def write(folder: str, rows: Sequence[Row]) -> str:
    """Writes sweep_results.tsv into a folder, and returns the table for people."""
    os.makedirs(folder, exist_ok=True)
    ordered = sorted(rows, key=lambda row: _rank(row.record, _scores([row])))
    path = os.path.join(folder, FILE)
    files.write_tsv(path, _cells(ordered))
    best = [f"The best run: {row.output_dir}" for row in ordered[:1] if _scores([row])]
    return "\n".join([_table(rows), "", *best, f"Every run and metric: {path}"]) + "\n"


def _scores(rows: Iterable[Row]) -> List[float]:
    """Returns the best_metric of the runs that have finished and have one."""
    return [
        row.record.best[1][row.record.best_metric]
        for row in rows
        if row.state == _FINISHED and row.record.best
    ]


def _rank(record: Recorded, scores: Sequence[float]) -> Tuple[bool, float]:
    """Returns a key that sorts the best mean first, and what has none last."""
    if not scores:
        return True, 0.0
    mean = statistics.mean(scores)
    return False, -mean if record.greater_is_better else mean


def _table(rows: Sequence[Row]) -> str:
    groups: Dict[Tuple[str, ...], List[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(_without_seed(row.settings).values()), []).append(row)
    ordered = sorted(groups.items(), key=lambda item: _rank(item[1][0].record, _scores(item[1])))
    headers = [*_without_seed(rows[0].settings), "metric", "mean", "std", "best", "runs"]
    return tabulate.tabulate(
        [[*values, *_summary(group)] for values, group in ordered],
        headers=headers,
        tablefmt="plain",
        disable_numparse=True,
        colalign=["left"] * (len(headers) - 4) + ["right"] * 3 + ["left"],
    )


def _without_seed(settings: Mapping[str, str]) -> Dict[str, str]:
    return {name: text for name, text in settings.items() if name != _SEED}


def _summary(rows: Sequence[Row]) -> List[str]:
    """Returns the cells of runs that differ in their seeds: metric, mean, std, best, runs."""
    scores = _scores(rows)
    choose = max if rows[0].record.greater_is_better else min
    std = statistics.stdev(scores) if len(scores) > 1 else None
    mean = statistics.mean(scores) if scores else None
    states = [row.state for row in rows]
    counts = [f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states))]
    metric = next((row.record.best_metric for row in rows if row.record.best_metric), "-")
    numbers = map(_shown, (mean, std, choose(scores) if scores else None))
    return [metric, *numbers, ", ".join(counts)]


def _shown(number: Optional[float]) -> str:
    return "-" if number is None else f"{number:.4f}"


def _cells(rows: Sequence[Row]) -> List[List[Any]]:
    """Returns the lines of the file: its header, and one for each run."""
    of_best = [row.record.best or (None, {}) for row in rows]
    metrics = list(dict.fromkeys(name for _, found in of_best for name in found))
    header = [*rows[0].settings, "state", "step", *metrics, "seconds", "output_dir"]
    lines: List[List[Any]] = [header]
    for row, (step, found) in zip(rows, of_best):
        of_record = [step, *map(found.get, metrics)]
        of_record.append(row.record.settings.get("total_seconds"))
        known = ["" if value is None else value for value in of_record]
        cells = [*row.settings.values(), row.state, *known, row.output_dir]
        lines.append([files.as_cell(cell) for cell in cells])
    return lines
