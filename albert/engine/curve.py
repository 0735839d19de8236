"""Draws learning_curve.png: losses, learning rate and dev metrics by step."""

import logging
import math
import os
from typing import Dict, List, Optional, Tuple

import numpy as np

from albert.common import files

FILE_NAME = "learning_curve.png"
_MIN_POINTS_TO_SMOOTH = 50


def draw(
    output_dir: str,
    evaluations: Dict[int, Dict[str, float]],
    best_step: Optional[int] = None,
) -> Optional[str]:
    """Writes learning_curve.png and returns its path, or None if there is nothing to draw.

    Args:
        output_dir: folder of the training's TensorBoard events; the picture is written here too.
        evaluations: {step: metrics}.
        best_step: the step to mark in the plot of the metrics.
    """
    training = read_scalars(output_dir)
    dev = _curves_of(evaluations)
    if not any(map(len, (*training.values(), *dev.values()))):
        return None
    # Imported here and below, not at the top: it takes half a second, wasted if no curve is drawn.
    _log_errors_only("matplotlib")  # it logs every font it finds
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    path = os.path.join(output_dir, FILE_NAME)
    with files.replacing(path) as temporary, open(temporary, "wb") as writer:
        FigureCanvasAgg(_figure(training, dev, best_step)).print_png(writer)
    return path


def _figure(training, dev, best_step):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 9), dpi=100)
    losses, rates, metrics = figure.subplots(
        3, sharex=True, gridspec_kw={"height_ratios": (3, 1.5, 3)}
    )
    _draw_losses(losses, training["loss"], dev.get("loss", ()))
    rates.plot(*training["learning_rate"].T, color="tab:green")
    rates.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    rates.set_ylabel("learning rate")
    for name in dev:
        if name != "loss":
            metrics.plot(*dev[name].T, marker="o", markersize=4, label=name)
    if best_step is not None:
        metrics.axvline(best_step, color="gray", linestyle="--", label=f"best: step {best_step}")
    metrics.set_ylabel("dev metrics")
    metrics.set_xlabel("step")
    for axes in (losses, rates, metrics):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    figure.align_ylabels()
    figure.tight_layout()
    return figure


def _draw_losses(axes, training, dev):
    smooth = _smoothed(training)
    if len(smooth):
        axes.plot(*training.T, color="tab:blue", alpha=0.25, linewidth=0.8)
        axes.plot(*smooth.T, color="tab:blue", label="training (running mean)")
    else:
        axes.plot(*training.T, color="tab:blue", label="training")
    if len(dev):
        axes.plot(*dev.T, color="tab:orange", marker="o", markersize=4, label="dev")
    axes.set_ylabel("loss")


def _curves_of(evaluations):
    """Returns {metric: float [n, 2], steps and values}, without values that are not finite."""
    curves: Dict[str, List[Tuple[int, float]]] = {}
    for step, metrics in evaluations.items():
        for name, value in metrics.items():
            if math.isfinite(value):
                curves.setdefault(name, []).append((step, value))
    return {name: _array(rows) for name, rows in curves.items()}


def _smoothed(points):
    """Returns the running mean over 1/25 of the points; empty if there are too few points."""
    if len(points) < _MIN_POINTS_TO_SMOOTH:
        return _array([])
    width = len(points) // 25
    return np.stack(
        [np.convolve(column, np.ones(width) / width, mode="valid") for column in points.T], axis=1
    )


def read_scalars(output_dir: str) -> Dict[str, np.ndarray]:
    """Returns {tag: float [n, 2], steps and values} from a folder's events.

    Values that a killed run wrote after its last checkpoint are left out.
    """
    tags = ("loss", "learning_rate")
    if not any("tfevents" in name for name in os.listdir(output_dir)):
        return {
            tag: _array([]) for tag in tags
        }  # TensorBoard 1.15 fails on a folder without events
    from tensorboard.backend.event_processing import event_accumulator

    _log_errors_only("tensorboard")  # it warns about every restart of a run
    # The trailing slash: without it a folder with "tfevents" in its name would be read as a file.
    folder = os.path.join(output_dir, "")
    events = event_accumulator.EventAccumulator(folder, size_guidance={"scalars": 0})
    events.Reload()
    found = events.Tags()["scalars"]
    return {
        tag: _array(
            [(event.step, event.value) for event in events.Scalars(tag)] if tag in found else []
        )
        for tag in tags
    }


def _log_errors_only(library):
    logging.getLogger(library).setLevel(logging.ERROR)


def _array(rows):
    return np.array(rows, dtype=float).reshape(-1, 2)
