"""Scores checkpoints on the dev splits and keeps a copy of the best one."""

import json
import logging
import math
import os
from typing import Dict, Optional

import tensorflow.compat.v1 as tf

from albert.common import files, json_files
from albert.common.console import format_metrics
from albert.engine import checkpoints
from albert.engine.input_pipeline import FeatureFile
from albert.engine.predictor import Predictor
from albert.engine.results import DEV_PREDICTIONS, EvaluationRecord
from albert.engine.task import Predictions, Task, mean_loss

_log = logging.getLogger(__name__)


class Evaluator:
    """Evaluates each checkpoint in an output_dir once.

    Args:
        output_dir: folder of the checkpoints and of the results.
        feature_files: {dev split: its features}.
        batch_size: see Predictor.predict.
        eval_steps: checkpoints at multiples of it are evaluated, and the last one; None for all.

    Attributes:
        record: the EvaluationRecord in output_dir.
    """

    def __init__(
        self,
        task: Task,
        predictor: Predictor,
        output_dir: str,
        feature_files: Dict[str, FeatureFile],
        batch_size: Optional[int],
        eval_steps: Optional[int] = None,
    ) -> None:
        self._task = task
        self._predictor = predictor
        self._output_dir = output_dir
        self._feature_files = feature_files
        self._batch_size = batch_size
        self._eval_steps = eval_steps
        self._dataset = " ".join(
            feature_file.fingerprint for feature_file in feature_files.values()
        )
        self.record = EvaluationRecord(
            output_dir, task.best_metric, self._dataset, task.greater_is_better
        )

    def evaluate_all(self, last_step: Optional[int] = None) -> None:
        """Evaluates every checkpoint on disk that is due and has not been yet, earliest first.

        The one kept as best comes before all others: its numbered files may have been deleted, and
        a numbered checkpoint could overwrite the copy before the two have been compared. A damaged
        one is left out with a warning, unless it is the newest, which a run goes on with.

        Args:
            last_step: the step at which training ends; None for that of the newest checkpoint.
        """
        checkpoints.finish_keeping(self._output_dir)
        kept = checkpoints.best(self._output_dir)
        if kept:
            self.evaluate(checkpoints.read_scalar(kept, "global_step"), kept)
        newest = checkpoints.latest(self._output_dir)
        saved = checkpoints.saved_steps(self._output_dir)
        if last_step is None:
            last_step = max(saved, default=0)
        for step, path in saved.items():
            if step != last_step and step % (self._eval_steps or 1):
                continue
            is_new = step > 0 and not self.record.find(step, self._dataset)
            damage = checkpoints.find_damage(path) if is_new and path != newest else None
            if damage:
                _log.warning("%s is damaged (%s): it is not evaluated.", path, damage)
            else:
                self.evaluate(step, path)
        self._complete_predictions()

    def _complete_predictions(self):
        """Writes the predictions of the best checkpoint, if those in output_dir are of another."""
        best, kept = self.record.best(), checkpoints.best(self._output_dir)
        if not best or not kept or not self._is_kept(best["step"]):
            return
        if step_of_predictions(self._output_dir) != best["step"]:
            _log.info("Predicting with the best checkpoint, step %d, again.", best["step"])
            self._write_predictions(
                self._output_dir, best["step"], self._predict(kept), best["metrics"]
            )

    def evaluate(self, step: int, path: str) -> None:
        """Evaluates a checkpoint unless that is already recorded, and keeps it if it is the best.

        Step 0 is skipped: nothing has been trained yet.
        """
        if step == 0:
            return
        predictions = None
        if not self.record.find(step, self._dataset):
            _log.info("Evaluating step %d.", step)
            predictions = self._predict(path)
            metrics = self._score(step, predictions)
            self.record.add(step, self._dataset, metrics)
            self._write_events(step, metrics)
        best = self.record.best()
        if not best or best["step"] != step:
            return
        if not self._is_kept(step) or self._lacks_files(path):
            self._keep(step, path)
        if predictions:
            self._write_predictions(self._output_dir, step, predictions, best["metrics"])

    def _predict(self, path: str) -> Predictions:
        return {
            split: self._predictor.predict(path, feature_file, self._batch_size, "eval_batch_size")
            for split, feature_file in self._feature_files.items()
        }

    def _score(
        self, step: int, predictions: Predictions, chosen_with: Optional[Dict[str, float]] = None
    ) -> Dict[str, float]:
        """Returns the metrics of a checkpoint's predictions, and logs them.

        Args:
            chosen_with: see `metrics` of Task.evaluate.
        """
        metrics = dict(self._task.evaluate(predictions, chosen_with), **mean_loss(predictions))
        _log.info("Step %d: %s.", step, format_metrics(shown_metrics(self._task, metrics)))
        undefined = [name for name, value in metrics.items() if not math.isfinite(value)]
        if undefined:
            _log.warning(
                "Step %d: the model has diverged; not finite: %s.", step, ", ".join(undefined)
            )
        return metrics

    def score_elsewhere(
        self, path: str, folder: str, chosen_with: Optional[Dict[str, float]]
    ) -> EvaluationRecord:
        """Scores one checkpoint; returns the record, in a folder that has no checkpoints.

        Args:
            chosen_with: see `metrics` of Task.evaluate.
        """
        step = checkpoints.read_step(path)
        _log.info("Evaluating step %d.", step)
        predictions = self._predict(path)
        metrics = self._score(step, predictions, chosen_with)
        record = EvaluationRecord(
            folder, self._task.best_metric, self._dataset, self._task.greater_is_better
        )
        record.add(step, self._dataset, metrics)
        self._write_predictions(folder, step, predictions, chosen_with or metrics)
        return record

    def _write_predictions(self, folder, step, predictions, metrics):
        """Writes DEV_PREDICTIONS, a line for each example."""
        rows = (
            {"step": step, "split": split, "index": index, **row}
            for split, rows in predictions.items()
            for index, row in enumerate(self._task.comparisons(split, rows, metrics))
        )
        with files.replacing(os.path.join(folder, DEV_PREDICTIONS)) as temporary:
            with open(temporary, "w", encoding="utf-8", newline="\n") as writer:
                writer.writelines(json_files.as_json(row) + "\n" for row in rows)

    def _is_kept(self, step):
        kept = checkpoints.best(self._output_dir)
        return kept is not None and checkpoints.read_scalar(kept, "global_step") == step

    def _lacks_files(self, path):
        """Returns whether the kept copy of a checkpoint was made before all its files were there.

        A run that was killed right before it wrote the .meta saves the checkpoint again.
        """
        kept = checkpoints.best(self._output_dir)
        return kept is not None and len(checkpoints.files_of(kept)) < len(
            checkpoints.files_of(path)
        )

    def _keep(self, step, path):
        kept = checkpoints.keep_as_best(path)
        endings = [name[len(path) :] for name in checkpoints.files_of(path)]
        self.record.note_saved(step, [(path + ending, kept + ending) for ending in endings])
        _log.info("Step %d is the best so far: saved as %s.", step, kept)

    def _write_events(self, step, metrics):
        values = [
            tf.Summary.Value(tag=f"eval/{name}", simple_value=value)
            for name, value in metrics.items()
        ]
        writer = tf.summary.FileWriterCache.get(os.path.join(self._output_dir, "eval"))
        writer.add_summary(tf.Summary(value=values), step)
        writer.flush()


def shown_metrics(task: Task, metrics: Dict[str, float]) -> Dict[str, float]:
    """Returns the metrics that the task wants to show, of {metric: value}."""
    return {name: metrics[name] for name in task.shown_metrics or metrics if name in metrics}


def step_of_predictions(folder: str) -> Optional[int]:
    """Returns the step of the checkpoint that DEV_PREDICTIONS in a folder is of; None without."""
    try:
        with open(os.path.join(folder, DEV_PREDICTIONS), encoding="utf-8") as reader:
            return json.loads(reader.readline())["step"]
    except (OSError, ValueError, KeyError, TypeError):  # none, or not one of ours
        return None
