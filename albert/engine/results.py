"""The record of a run's evaluations: eval_results.json for programs, eval_results.txt for people.

The JSON file is the record; the text file is generated from it, with the lines of the original.
"""

import math
import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from albert.common import files, json_files
from albert.common.errors import UsageError

if TYPE_CHECKING:
    from albert.engine.config import FinetuneConfig
    from albert.engine.progress import Progress
    from albert.engine.task import Task

NAME = "eval_results.json"
# What the best checkpoint predicts of each dev example; see Task.comparisons.
DEV_PREDICTIONS = "dev_predictions.jsonl"

# Also written to the text file, because scripts look for these names.
ORIGINAL_NAMES = {
    "accuracy": "eval_accuracy",
    "loss": "eval_loss",
    "matthews_corr": "matthew_corr",
}

# {key in the JSON file: label in the text file}; other keys are their own labels.
LABELS = {
    "train_batch_size": "Training batch size",
    "global_batch_size": "Global batch size",
    "task": "Task",
    "max_seq_length": "Max sequence length",
    "learning_rate": "Learning rate",
    "num_replicas": "Num of GPU cores",
    "train_steps": "Training steps",
    "warmup_steps": "Warmup steps",
    "optimizer": "Optimizer",
    "seed": "Seed",
    "total_seconds": "Total time",
    "examples_per_second": "Speed",
    "tokens_per_second": "Tokens per second",
}
# Records of earlier releases have labels as keys.
_KEYS_BY_LABEL = {label: key for key, label in LABELS.items()}


class EvaluationRecord:
    """Evaluations by step, the settings they belong to, and the best of them.

    Args:
        output_dir: folder of the two files; a record from earlier runs is read.
        best_metric: the metric that decides which evaluation is best.
        dataset: as given to `add`; only evaluations on this data can be the best one, since scores
            on different data are not comparable. None means any data.
        greater_is_better: whether the highest value is best, or the lowest.

    Raises:
        UsageError: eval_results.json exists but cannot be understood.
    """

    def __init__(
        self,
        output_dir: str,
        best_metric: str,
        dataset: Optional[str] = None,
        greater_is_better: bool = True,
    ) -> None:
        self.path = os.path.join(output_dir, NAME)
        self._text_path = os.path.join(output_dir, "eval_results.txt")
        self._best_metric = best_metric
        self._dataset = dataset
        self._greater_is_better = greater_is_better
        self._settings: Dict[str, Any] = {}
        self._evaluations: List[Dict[str, Any]] = []
        if os.path.exists(self.path):
            self._read()

    def _read(self):
        try:
            stored = json_files.load_json(self.path, allow_nan=True)  # of earlier releases
            settings: Dict[str, Any] = dict(stored["settings"])
            self._settings = {_KEYS_BY_LABEL.get(name, name): settings[name] for name in settings}
            float(self._settings.get("total_seconds", 0.0))  # a speed is worked out with it
            self._evaluations = [_evaluation(row) for row in stored["evaluations"]]
        except UsageError as error:
            raise UsageError(f"{error} Move it away to evaluate again.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{self.path} is not a record of evaluations; move it away to evaluate again."
            ) from error

    def best(self) -> Optional[Dict[str, Any]]:
        """Returns the evaluation with the best best_metric, the earliest on a tie, or None."""
        finite = [row for row in self._evaluations if self._score(row) is not None]
        return max(finite, key=self._rank) if finite else None

    def _rank(self, row):
        score = self._score(row)
        return score if self._greater_is_better else -score, -row["step"]

    def num_without_improvement(self, step: int, interval: int) -> int:
        """Returns how many evaluations, up to that of a step, there have been since the best one.

        Args:
            interval: only steps that are multiples of it count, so that an evaluation between two
                of them, where a run was stopped and resumed, makes no difference.
        """
        rows = [
            row
            for row in self._evaluations
            if self._can_be_best(row) and row["step"] <= step and row["step"] % interval == 0
        ]
        finite = [row for row in rows if self._score(row) is not None]
        best_step = max(finite, key=self._rank)["step"] if finite else 0
        return sum(row["step"] > best_step for row in rows)

    def metrics_by_step(self) -> Dict[int, Dict[str, float]]:
        """Returns {step: metrics} of the evaluations that can be the best one, earliest first."""
        return {row["step"]: row["metrics"] for row in self._evaluations if self._can_be_best(row)}

    def find(self, step: int, dataset: str) -> Optional[Dict[str, Any]]:
        """Returns the evaluation of a step on that data, or None.

        Args:
            dataset: a string that identifies the evaluated data.
        """
        for row in self._evaluations:
            if row["step"] == step and row["dataset"] == dataset:
                return row
        return None

    def add(self, step: int, dataset: str, metrics: Dict[str, float]) -> None:
        """Records an evaluation, replacing an earlier one of that step, and writes both files."""
        kept = [row for row in self._evaluations if row["step"] != step]
        kept.append({"step": step, "dataset": dataset, "metrics": metrics})
        self._evaluations = sorted(kept, key=lambda row: row["step"])
        self.write()

    def note_saved(self, step: int, files_saved: List[Tuple[str, str]]) -> None:
        """Records which files became the best checkpoint after the evaluation of a step."""
        for row in self._evaluations:
            if row["step"] == step:
                row["saved"] = [list(pair) for pair in files_saved]
        self.write()

    def add_settings(self, settings: Dict[str, Any]) -> None:
        """Adds {key: value} to the settings ("Hyperparameters" in the text); writes both files.

        None removes a key.
        """
        merged = {**self._settings, **settings}
        self._settings = {name: value for name, value in merged.items() if value is not None}
        self.write()

    @property
    def settings(self) -> Dict[str, Any]:
        """{key: value} of all settings."""
        return dict(self._settings)

    def setting(self, name: str, default: Any = None) -> Any:
        """Returns a value given to `add_settings` by this run or an earlier one."""
        return self._settings.get(name, default)

    def write(self) -> None:
        """Rewrites both files; after a failure each is either the old or the new one."""
        best = self.best()
        stored = {
            "settings": self._settings,
            "best_metric": self._best_metric,
            "greater_is_better": self._greater_is_better,
            "best": best and {"step": best["step"], "metrics": best["metrics"]},
            "evaluations": self._evaluations,
        }
        json_files.write_json(self.path, stored)
        files.write_text(self._text_path, "\n".join(self._lines()) + "\n")

    def _can_be_best(self, row):
        return self._dataset in (None, row["dataset"])

    def _score(self, row):
        """Returns the best_metric of an evaluation, or None if it cannot be the best one."""
        score = row["metrics"].get(self._best_metric)
        if not self._can_be_best(row) or score is None:
            return None
        # With a NaN loss the outputs are NaN too, and the accuracy is that of a constant choice.
        is_finite = math.isfinite(score) and math.isfinite(row["metrics"].get("loss", 0.0))
        return score if is_finite else None

    def _lines(self):
        yield "===== Hyperparameters ====="
        for name, value in self._settings.items():
            yield f"{LABELS.get(name, name)}: {value}"
        choose = max if self._greater_is_better else min
        best_score = -math.inf if self._greater_is_better else math.inf
        for row in self._evaluations:
            yield "===== Evaluation ====="
            named = dict(row["metrics"], global_step=row["step"])
            for name, original in ORIGINAL_NAMES.items():
                if name in named:
                    named[original] = named[name]
            for name in sorted(named):
                yield f"{name} = {named[name]}"
            score = self._score(row)
            if score is not None:
                best_score = choose(best_score, score)
            yield f"best = {best_score}"
            for source, target in row.get("saved", ()):
                yield f"saved {source} to {target}"
            yield "=" * 50
        best = self.best()
        if best:
            yield f"Best step: {best['step']}"
            yield f"Best {self._best_metric}: {best['metrics'][self._best_metric]}"


class Recorded(NamedTuple):
    """What eval_results.json tells of a run.

    Attributes:
        best_metric: the metric that decides which checkpoint is best; "" if none was evaluated.
        best: (step, metrics) of the best evaluation; None if there is none that is finite.
        evaluations: {step: metrics} of those on the data of the best one, earliest first.
        settings: {key: value}.
    """

    best_metric: str = ""
    greater_is_better: bool = True
    best: Optional[Tuple[int, Dict[str, float]]] = None
    evaluations: Mapping[int, Dict[str, float]] = MappingProxyType({})
    settings: Mapping[str, Any] = MappingProxyType({})


def read(output_dir: str) -> Recorded:
    """Returns what is Recorded of a run; nothing where there is no eval_results.json.

    Raises:
        UsageError: the file cannot be understood.
    """
    path = os.path.join(output_dir, NAME)
    if not os.path.exists(path):
        return Recorded()
    stored = json_files.load_json(path, allow_nan=True)  # of earlier releases
    metric = json_files.value_of(stored, "best_metric", str, path, "the record")
    is_greater_better = bool(stored.get("greater_is_better", True))
    record = EvaluationRecord(output_dir, metric, greater_is_better=is_greater_better)
    if stored.get("best") is not None:  # only evaluations on the same data compete with it
        step = json_files.value_of(stored["best"], "step", int, path, "'best'")
        datasets = {row["step"]: row["dataset"] for row in stored["evaluations"]}
        record = EvaluationRecord(output_dir, metric, datasets.get(step), is_greater_better)
    best = record.best()
    return Recorded(
        metric,
        is_greater_better,
        (best["step"], best["metrics"]) if best else None,
        record.metrics_by_step(),
        record.settings,
    )


def settings_of(task: "Task", config: "FinetuneConfig") -> Dict[str, Any]:
    """Returns the settings of a run that are recorded."""
    return {
        "train_batch_size": config.train_batch_size,
        "global_batch_size": config.global_batch_size,
        **task.settings(),
        "learning_rate": config.learning_rate,
        "num_replicas": config.num_replicas,
        "train_steps": config.train_steps,
        "warmup_steps": config.warmup_steps,
        "optimizer": config.optimizer,
        "precision": config.precision,
        "seed": config.seed,
        "max_train_samples": config.max_train_samples,
        "max_eval_samples": config.max_eval_samples,
        "max_predict_samples": config.max_predict_samples,
    }


def add_speed(record: EvaluationRecord, progress: "Progress") -> None:
    """Adds the speed of a training, and its time to that of earlier starts of the run."""
    speeds = {
        "examples_per_second": progress.examples_per_second,
        "tokens_per_second": progress.tokens_per_second,
    }
    known = {name: speed for name, speed in speeds.items() if speed is not None}
    total_seconds = record.setting("total_seconds", 0.0) + progress.seconds
    record.add_settings({"total_seconds": total_seconds, **known})


def _evaluation(row: Any) -> Dict[str, Any]:
    """Returns an evaluation as it was given to `add`, from its JSON value.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    metrics = {
        name: math.nan if value is None else value for name, value in dict(row["metrics"]).items()
    }
    is_whole = type(row["step"]) is int and isinstance(row["dataset"], str)
    if not is_whole or not all(type(value) in (int, float) for value in metrics.values()):
        raise TypeError(row)
    for source, target in row.get("saved", ()):
        if not isinstance(source, str) or not isinstance(target, str):
            raise TypeError(row)
    return dict(row, metrics=metrics)
