"""Sets runs of a task side by side: their metrics, their settings, and how seeds spread."""

import json
import re
import statistics
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from albert.report.runs import Run

# Metrics of single labels and thresholds that were chosen, which tables of their own show.
_NOT_SHOWN = re.compile(r"(precision|recall|f1)_.*|best_.*|.*_thresh")
# Settings that change no result of training and evaluation, or are results themselves.
_WITHOUT_EFFECT = {
    "cached_dir",
    "do_eval",
    "do_predict",
    "do_train",
    "eval_batch_size",
    "examples_per_second",
    "keep_checkpoint_max",
    "output_dir",
    "overwrite_output_dir",
    "predict_batch_size",
    "predict_output_dir",
    "tokens_per_second",
    "total_seconds",
    "verbosity",
}
_SEED = "seed"


class Spread(NamedTuple):
    """Runs that differ in nothing but their seeds.

    Attributes:
        settings: those in which they differ from other runs of the group.
        num_runs: those with a best step, which alone count.
        metrics: {metric: (median, lowest, highest)} over their best steps.
    """

    settings: Dict[str, Any]
    seeds: List[Any]
    num_runs: int
    metrics: Dict[str, Tuple[float, float, float]]


def groups_of(runs: Iterable[Run]) -> List[List[Run]]:
    """Returns the runs of each task together."""
    groups: Dict[str, List[Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps([run.task, run.settings.get("labels")]), []).append(run)
    return list(groups.values())


def titles_of(groups: Sequence[Sequence[Run]]) -> List[str]:
    """Returns the task of each group, with its labels where several groups have that task."""
    tasks = [runs[0].task for runs in groups]
    titles = []
    for task, runs in zip(tasks, groups):
        settings = runs[0].settings
        details = ", ".join(map(str, settings.get("labels") or [])) or settings.get("task_type")
        titles.append(f"{task}: {details}" if tasks.count(task) > 1 and details else task)
    return titles


def shown_metrics(runs: Sequence[Run]) -> List[str]:
    """Returns the metrics of runs to show: the one that decides comes first, the loss last."""
    found = dict.fromkeys(
        name for run in runs for evaluation in run.evaluations for name in evaluation.metrics
    )
    shown = [run.best_metric for run in runs if run.best_metric in found]
    shown += [name for name in found if name != "loss" and not _NOT_SHOWN.fullmatch(name)]
    shown += [name for name in found if name == "loss"]
    return list(dict.fromkeys(shown))


def best_run(runs: Sequence[Run]) -> Optional[Run]:
    """Returns the run with the best best_metric, the first of equals; None if none has any.

    Where runs go by different metrics, that of the first one decides.
    """
    first = next((run for run in runs if run.best), None)
    if first is None:
        return None
    metric = first.best_metric
    scores = {
        index: run.best.metrics[metric]
        for index, run in enumerate(runs)
        if run.best and metric in run.best.metrics
    }
    choose = max if first.greater_is_better else min
    return runs[choose(scores, key=lambda index: scores[index])]


def differing_settings(runs: Sequence[Run]) -> Dict[str, List[Any]]:
    """Returns {setting: its value in each run} of those that are not the same in all runs."""
    of_runs = [run.options or run.settings for run in runs]
    names = [name for name in of_runs[0] if all(name in settings for settings in of_runs)]
    values = {
        name: [settings[name] for settings in of_runs]
        for name in names
        if name not in _WITHOUT_EFFECT
    }
    return {name: row for name, row in values.items() if any(each != row[0] for each in row)}


def spreads_of(runs: Sequence[Run], metrics: Sequence[str]) -> List[Spread]:
    """Returns the spread of each set of two runs or more that differ in nothing but the seed."""
    differing = differing_settings(runs)
    seeds = differing.pop(_SEED, None)
    if not seeds:
        return []
    sets: Dict[str, List[int]] = {}
    for index in range(len(runs)):
        key = json.dumps([row[index] for row in differing.values()])
        sets.setdefault(key, []).append(index)
    return [
        Spread(
            {name: row[indices[0]] for name, row in differing.items()},
            [seeds[index] for index in indices],
            *_spread_of([runs[index] for index in indices], metrics),
        )
        for indices in sets.values()
        if len({seeds[index] for index in indices}) > 1
    ]


def _spread_of(runs, metrics):
    """Returns `num_runs` and `metrics` of a Spread."""
    best = [run.best for run in runs if run.best]
    values = {
        name: [each.metrics[name] for each in best if name in each.metrics] for name in metrics
    }
    return len(best), {
        name: (statistics.median(row), min(row), max(row)) for name, row in values.items() if row
    }


def have_other_data(runs: Sequence[Run]) -> bool:
    """Returns whether runs were evaluated on different dev data, as far as that is known."""
    known = [run.dev_data for run in runs if run.dev_data]
    return any(data != known[0] for data in known)
