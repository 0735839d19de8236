"""The record of a run's evaluations: eval_results.json for programs, eval_results.txt for people.

The JSON file is the record; the text is written from it and keeps the lines of the original.
"""

import json
import math
import os

from albert.common import files
from albert.common.errors import UsageError

# Written beside ours in the text, because scripts look for them.
ORIGINAL_NAMES = {
    "accuracy": "eval_accuracy",
    "loss": "eval_loss",
    "matthews_corr": "matthew_corr",
}


class EvaluationRecord:
    """Evaluations by step, the settings they belong to, and the best of them.

    Args:
        output_dir: folder of the two files; what they hold from earlier runs is read.
        best_metric: str, the metric whose highest value is best.
        dataset: str, as given to `add`; only evaluations on that data can be the best one, since
            scores on other data do not compare. None lets all of them.

    Raises:
        UsageError: eval_results.json is there but cannot be understood.
    """

    def __init__(self, output_dir, best_metric, dataset=None):
        self.path = os.path.join(output_dir, "eval_results.json")
        self._text_path = os.path.join(output_dir, "eval_results.txt")
        self._best_metric = best_metric
        self._dataset = dataset
        self._settings = {}
        self._evaluations = []
        if os.path.exists(self.path):
            self._read()

    def _read(self):
        try:
            with open(self.path, encoding="utf-8") as reader:
                stored = json.load(reader)
            self._settings = dict(stored["settings"])
            self._evaluations = [
                dict(
                    row,
                    step=int(row["step"]),
                    dataset=row["dataset"],
                    metrics=dict(row["metrics"]),
                )
                for row in stored["evaluations"]
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{self.path} cannot be read ({error!r}); move it away to evaluate anew."
            ) from error

    def best(self):
        """Returns the evaluation with the highest best_metric, the earliest of equals, or None."""
        finite = [row for row in self._evaluations if self._score(row) is not None]
        return max(finite, key=lambda row: (self._score(row), -row["step"])) if finite else None

    def metrics_by_step(self):
        """Returns {step: metrics} of the evaluations that can be the best one, earliest first."""
        return {row["step"]: row["metrics"] for row in self._evaluations if self._counts(row)}

    def find(self, step, dataset):
        """Returns the evaluation of a step on that data, or None.

        Args:
            dataset: str, whatever identifies the evaluated data.
        """
        for row in self._evaluations:
            if row["step"] == step and row["dataset"] == dataset:
                return row
        return None

    def add(self, step, dataset, metrics):
        """Records an evaluation in place of an earlier one of that step, and writes both files."""
        kept = [row for row in self._evaluations if row["step"] != step]
        kept.append({"step": step, "dataset": dataset, "metrics": metrics})
        self._evaluations = sorted(kept, key=lambda row: row["step"])
        self.write()

    def note_saved(self, step, files_saved):
        """Records which files became the best checkpoint after the evaluation of a step."""
        for row in self._evaluations:
            if row["step"] == step:
                row["saved"] = [list(pair) for pair in files_saved]
        self.write()

    def add_settings(self, settings):
        """Adds {name: value} to what stands under Hyperparameters, and writes both files."""
        self._settings.update(settings)
        self.write()

    def setting(self, name, default=None):
        """Returns a value given to `add_settings` by this run or an earlier one."""
        return self._settings.get(name, default)

    def write(self):
        """Writes both files anew, each whole or not at all."""
        best = self.best()
        stored = {
            "settings": self._settings,
            "best_metric": self._best_metric,
            "best": best and {"step": best["step"], "metrics": best["metrics"]},
            "evaluations": self._evaluations,
        }
        files.write_text(self.path, json.dumps(stored, indent=2) + "\n")
        files.write_text(self._text_path, "\n".join(self._lines()) + "\n")

    def _counts(self, row):
        return self._dataset in (None, row["dataset"])

    def _score(self, row):
        """Returns the best_metric of an evaluation; None where it is not to be the best one."""
        score = row["metrics"].get(self._best_metric)
        if not self._counts(row) or score is None:
            return None
        # A model whose loss is NaN has no decisions either: its accuracy is that of one class.
        is_finite = math.isfinite(score) and math.isfinite(row["metrics"].get("loss", 0.0))
        return score if is_finite else None

    def _lines(self):
        yield "===== Hyperparameters ====="
        for name, value in self._settings.items():
            yield f"{name}: {value}"
        best_score = -math.inf
        for row in self._evaluations:
            yield "===== Evaluation ====="
            named = dict(row["metrics"], global_step=row["step"])
            for name, original in ORIGINAL_NAMES.items():
                if name in named:
                    named[original] = named[name]
            for name in sorted(named):
                yield f"{name} = {named[name]}"
            score = self._score(row)
            best_score = best_score if score is None else max(best_score, score)
            yield f"best = {best_score}"
            for source, target in row.get("saved", ()):
                yield f"saved {source} to {target}"
            yield "=" * 50
        best = self.best()
        if best:
            yield f"Best step: {best['step']}"
            yield f"Best {self._best_metric}: {best['metrics'][self._best_metric]}"
