"""Reads what runs have left in their folders: results, settings and events."""

import os
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from albert.common import json_files
from albert.common.errors import UsageError
from albert.engine import curve, results

_IDENTITY = "run.json"


class Evaluation(NamedTuple):
    """The metrics of a checkpoint."""

    step: int
    metrics: Dict[str, float]


class Run(NamedTuple):
    """A run, as its folder tells it.

    Attributes:
        name: its folder, as short as tells it from the others.
        best_metric: the metric that decides which checkpoint is best; "" if none was evaluated.
        best: the best evaluation; None if there is none that is finite.
        evaluations: those on the data of the best one, earliest first.
        settings: those of eval_results.json.
        options: those of run.json, which are the flags and their values.
        dev_data: {split: hash of its data}; empty if it is not known.
        training_loss: float [n, 2], steps and losses.
    """

    name: str
    folder: str
    task: str
    best_metric: str
    greater_is_better: bool
    best: Optional[Evaluation]
    evaluations: Sequence[Evaluation]
    settings: Mapping[str, Any]
    options: Dict[str, Any]
    dev_data: Dict[str, str]
    training_loss: np.ndarray


def find(paths: Sequence[str]) -> List[str]:
    """Returns the folders of the runs that paths stand for, each once, in order.

    Raises:
        UsageError: a path is no folder, or there is no run in it nor below it.
    """
    found: Dict[str, str] = {}
    for path in paths:
        folders = list(_runs_in(path))
        if not folders:
            has_none = "holds no run, nor do the folders below it"
            reason = has_none if os.path.isdir(path) else "is not a folder"
            raise UsageError(f"{path} {reason}: give the output_dir of a run.")
        for folder in folders:
            found.setdefault(os.path.realpath(folder), folder)
    return list(found.values())


def _runs_in(path):
    for folder, below, names in os.walk(path):
        below.sort()
        if results.NAME in names or _IDENTITY in names:
            below.clear()  # its predictions of other data are not runs
            if results.NAME in names or _in_run_json(folder, "settings"):
                yield folder  # others have only predicted there


def read(folders: Sequence[str]) -> List[Run]:
    """Returns the runs in folders.

    Raises:
        UsageError: a file of a run is damaged.
    """
    return [_read(folder, name) for folder, name in zip(folders, _names(folders))]


def _names(folders):
    paths = [os.path.abspath(folder) for folder in folders]
    if len(paths) == 1:
        return [os.path.basename(paths[0])]
    return [os.path.relpath(path, os.path.commonpath(paths)) for path in paths]


def _read(folder, name):
    # TensorFlow takes seconds, which a mistake need not wait.
    from albert.engine import run_identity

    identity = run_identity.recorded_settings(folder)
    record = results.read(folder)
    return Run(
        name=name,
        folder=folder,
        task=str(record.settings.get("task") or identity.get("task_name") or "unknown task"),
        options=_in_run_json(folder, "options"),
        dev_data=_in_run_json(folder, "data").get("dev") or {},
        training_loss=curve.read_scalars(folder)["loss"],
        best_metric=record.best_metric,
        greater_is_better=record.greater_is_better,
        best=Evaluation(*record.best) if record.best else None,
        evaluations=[Evaluation(*row) for row in record.evaluations.items()],
        settings=record.settings,
    )


def _in_run_json(folder, key):
    """Returns a group of values; {} if there is none, as in earlier releases."""
    path = os.path.join(folder, _IDENTITY)
    return json_files.load_json(path).get(key, {}) if os.path.exists(path) else {}
