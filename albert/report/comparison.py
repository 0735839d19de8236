"""Sets runs of a task side by side: their metrics, their settings, and how seeds spread."""

import json
import re
import statistics
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from albert.report.runs import Run

# Metrics of single labels and thresholds that were chosen, which tables of their own show.
_NOT_SHOWN = re.compile(r"(precision|recall|f1)_.*|best_.*|.*_thresh")
_LOSS = "loss"
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


def shown_metrics(runs: Sequence[Run]) -> List[str]:
    """Returns the metrics of runs to show: the one that decides comes first, the loss last."""
    found = dict.fromkeys(
        name for run in runs for evaluation in run.evaluations for name in evaluation.metrics
    )
    others = [name for name in found if name != _LOSS and not _NOT_SHOWN.fullmatch(name)]
    first = [run.best_metric for run in runs if run.best_metric in found]
    return list(dict.fromkeys([*first, *others, *(name for name in found if name == _LOSS)]))


def best_run(runs: Sequence[Run]) -> Optional[Run]:
    """Returns the run with the best best_metric, the first of equals; None if none has any."""
    with_best = [run for run in runs if run.best]

    def score(run: Run) -> float:
        assert run.best
        value = run.best.metrics[run.best_metric]
        return value if run.greater_is_better else -value

    return max(with_best, key=score) if with_best else None


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
    spreads = []
    for indices in sets.values():
        best = [evaluation for evaluation in (runs[index].best for index in indices) if evaluation]
        if len({seeds[index] for index in indices}) > 1:
            values = {
                name: [each.metrics[name] for each in best if name in each.metrics]
                for name in metrics
            }
            spreads.append(
                Spread(
                    {name: row[indices[0]] for name, row in differing.items()},
                    [seeds[index] for index in indices],
                    len(best),
                    {
                        name: (statistics.median(row), min(row), max(row))
                        for name, row in values.items()
                        if row
                    },
                )
            )
    return spreads


def have_other_data(runs: Sequence[Run]) -> bool:
    """Returns whether runs were evaluated on different dev data, as far as that is known."""
    known = [run.dev_data for run in runs if run.dev_data]
    return any(data != known[0] for data in known)
