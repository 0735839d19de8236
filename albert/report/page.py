"""Puts the page together: what the template shows of each group of runs."""

import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import numpy as np
from markupsafe import Markup

from albert.common import templates
from albert.engine.results import DEV_PREDICTIONS
from albert.report import comparison, figures, sections
from albert.report import predictions as predictions_lib
from albert.report.examples import cut
from albert.report.figures import Curve
from albert.report.runs import Evaluation, Run

_MOST_EVALUATIONS = 200  # of the table of a run


class Chart(NamedTuple):
    """A chart and what it shows."""

    svg: Markup
    caption: str


class Group(NamedTuple):
    """What the page shows of the runs of a task.

    Attributes:
        name: a part of the names of what the page links to.
        metrics: the names of those that are shown.
        best: the best run; None if none has a best step.
        differing: {setting: its value in each run}.
        evaluations: for each run those of its table.
        predicted: the run whose predictions are shown: the best one that has any.
        predictions: None if no run has any.
    """

    name: str
    title: str
    runs: List[Run]
    metrics: List[str]
    best: Optional[Run]
    differing: Dict[str, List[Any]]
    spreads: List[comparison.Spread]
    has_other_data: bool
    charts: List[Chart]
    evaluations: List[List[Evaluation]]
    predicted: Optional[Run]
    predictions: Optional[predictions_lib.Predictions]
    sections: List[sections.Section]


def render(runs: Sequence[Run]) -> str:
    """Returns the page about runs.

    Raises:
        UsageError: a file of predictions is damaged.
    """
    environment = templates.environment_of(__file__)
    environment.filters.update(colour=figures.colour_of, cut=cut, number=_number, value=_value)
    grouped = comparison.groups_of(runs)
    groups = [
        _group_of(of_task, cut(title, 100), f"task{number}")
        for number, (of_task, title) in enumerate(zip(grouped, comparison.titles_of(grouped)))
    ]
    text = environment.get_template("page.html").render(
        groups=groups, file_name=DEV_PREDICTIONS, most_points=figures.MOST_POINTS
    )
    return templates.encodable(text.strip()) + "\n"


def _group_of(runs: List[Run], title: str, name: str) -> Group:
    metrics = comparison.shown_metrics(runs)
    best = comparison.best_run(runs)
    ranked = sorted(runs, key=lambda run: run is not best)
    found = ((run, predictions_lib.read(run.folder)) for run in ranked)
    predicted, predictions = next(((run, read) for run, read in found if read), (None, None))
    return Group(
        name,
        title,
        runs,
        metrics,
        best,
        comparison.differing_settings(runs),
        comparison.spreads_of(runs, metrics),
        comparison.have_other_data(runs),
        _charts_of(runs, metrics, name),
        [_evaluations_of(run) for run in runs],
        predicted,
        predictions,
        sections.of_predictions(predictions, name) if predictions else [],
    )


def _charts_of(runs: List[Run], metrics: List[str], name: str) -> List[Chart]:
    losses = [Curve(run.training_loss, number) for number, run in enumerate(runs)]
    losses += [
        _curve_of(run, "loss", number)._replace(is_dashed=True) for number, run in enumerate(runs)
    ]
    captions = {"loss": "Loss: training solid, dev dashed"}
    curves = {"loss": losses}
    for metric in metrics:
        if metric != "loss":
            curves[metric] = [_curve_of(run, metric, number) for number, run in enumerate(runs)]
    charts = [
        Chart(
            figures.draw_curves(of_metric, f"{metric} by step", f"{name}-{number}"),
            captions.get(metric, metric),
        )
        for number, (metric, of_metric) in enumerate(curves.items())
    ]
    return [chart for chart in charts if chart.svg]


def _curve_of(run: Run, metric: str, number: int) -> Curve:
    points = [(each.step, each.metrics.get(metric, math.nan)) for each in run.evaluations]
    best = run.best and (run.best.step, run.best.metrics.get(metric, math.nan))
    return Curve(np.array(points, float).reshape(-1, 2), number, best=best)


def _evaluations_of(run: Run) -> List[Evaluation]:
    """Returns the evaluations of a run, of many only some, with the best and the last one."""
    rows = run.evaluations
    step = -(-len(rows) // _MOST_EVALUATIONS) or 1
    return [
        row
        for number, row in enumerate(rows)
        if number % step == 0 or number == len(rows) - 1 or (run.best and row.step == run.best.step)
    ]


def _number(value: Any) -> str:
    """Returns a cell of a table: four decimals of a fraction, two of what is larger."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "–"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"


def _value(value: Any) -> str:
    """Returns the value of a setting."""
    if value is None or value == []:
        return "–"
    if isinstance(value, list):
        return cut(", ".join(map(str, value)), 300)
    return cut(str(value), 300)
