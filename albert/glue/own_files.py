"""Classification of the user's own data, in plain files, without any code."""

import collections
import logging
from typing import Any, Dict, Iterator, Mapping, NamedTuple, Optional, Sequence

from albert.common import json_files
from albert.common.errors import UsageError
from albert.common.files import as_cell
from albert.common.tables import Row, shown, text_in
from albert.engine.task import RECORD, Change, DataSource, Setting, settings_of
from albert.glue import columns as columns_lib
from albert.glue import metrics, table
from albert.glue.classification import ClassifierTask, InputExample
from albert.glue.columns import CLASSIFICATION, MULTI_LABEL, REGRESSION, Columns
from albert.glue.labels import LabelKind, kind_of
from albert.glue.split_files import SplitFiles

LABELS, TASK_TYPE, COLUMNS = "labels", "task_type", "columns"  # settings of a run

_BEST_METRICS = {CLASSIFICATION: "accuracy", REGRESSION: "pearson", MULTI_LABEL: "micro_f1"}
_SHOWN = ("accuracy", "f1", "matthews_corr", "micro_f1", "macro_f1", "pearson", "spearman", "mse")

_log = logging.getLogger(__name__)


class FileSettings(NamedTuple):
    """What the data mean; each field is named as its flag.

    Attributes:
        label_column: one column, or several with 0 or 1 in each.
        task_type: one of columns.TASK_TYPES; None is told from the labels.
        best_metric: None for the usual one of the task type.
    """

    text_column: Optional[str] = None
    text_pair_column: Optional[str] = None
    label_column: Sequence[str] = ()
    label_separator: Optional[str] = None
    task_type: Optional[str] = None
    best_metric: Optional[str] = None


class FileTask(ClassifierTask):
    """A classification, a regression or a choice of any number of labels, from plain files.

    The training file decides what the columns and labels are. Without one they are those of the
    run whose model is used.

    Args:
        recorded: {name: value} of the settings of that run; empty if there is none.
        args, kwargs: as of ClassifierTask.

    Raises:
        UsageError: a file cannot be read or its columns are not clear, or there is neither a
            training file nor a run.
    """

    def __init__(
        self,
        files: SplitFiles,
        settings: FileSettings,
        recorded: Mapping[str, Any],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._files = files
        self._settings = settings
        if files.are_for_training:
            self._learn_from_training_file()
        elif LABELS in recorded:
            self._learn_from_run(recorded)
        else:
            raise UsageError(
                "<train_file> is required: there is no trained run that knows columns and labels.",
                train_file=None,
            )
        names = self._kind.names
        self.labels = names if self._kind.task_type != REGRESSION else None
        self.shown_metrics = (*_SHOWN, "loss")
        self.best_metric = _BEST_METRICS[self._kind.task_type]
        if settings.best_metric:
            self.choose_best_by(settings.best_metric, self.metric_names())

    def _learn_from_training_file(self):
        settings = self._settings
        path, rows = self._files.path("train"), self._files.file_rows("train")
        self._columns = columns = columns_lib.find_columns(
            rows, path, settings.text_column, settings.text_pair_column, settings.label_column
        )
        separator = settings.label_separator
        task_type = settings.task_type or columns_lib.infer_task_type(rows, columns, separator)
        if len(columns.labels) > 1 and task_type != MULTI_LABEL:
            raise UsageError(
                "<label_column> names several columns, which only multi_label has.",
                label_column=",".join(columns.labels),
            )
        labels = [columns_lib.label_of(row, columns, task_type, separator) for row in rows]
        names = _names_of(labels, columns, task_type)
        if task_type != REGRESSION and len(names) < 2:
            raise UsageError(
                f"{path}: {task_type} needs two labels or more, but there are only {shown(names)}."
            )
        self._kind = kind_of(task_type, names)
        for row, label in zip(rows, labels):
            self._check_label(label, row.where)
        _log.info(
            "%s: text in %s, label in %s; %s%s.",
            path,
            shown(name for name in columns[:2] if name is not None),
            shown(columns.labels),
            task_type,
            f" into {len(names)}: {shown(names)}" if names else "",
        )
        is_regression = self._kind.task_type == REGRESSION
        self._files.hold_out(list(map(float, labels)) if is_regression else labels)

    def _learn_from_run(self, recorded):
        settings = self._settings
        row = table.GLUE_ROWS.get(self.name)
        pair = "text_pair" if row and row.is_of_pairs else None
        text, pair, labels = _recorded_columns(recorded) or ("text", pair, ("label",))
        self._columns = Columns(
            settings.text_column or text,
            settings.text_pair_column or pair,
            tuple(settings.label_column or labels),
        )
        names = json_files.texts_of(recorded, LABELS, RECORD, "the run")
        task_type = recorded.get(TASK_TYPE) or (CLASSIFICATION if names else REGRESSION)
        if task_type not in columns_lib.TASK_TYPES:
            raise UsageError(f"{RECORD}: the run has an unknown {TASK_TYPE}, {task_type!r:.50}.")
        self._kind = kind_of(task_type, names)

    @property
    def kind(self) -> LabelKind:
        """What labels are."""
        return self._kind

    @property
    def input_columns(self) -> Dict[str, int]:
        """How many texts each column of a loose input holds: one each."""
        return {name: 1 for name in self._columns[:2] if name is not None}

    def source(self, split: str) -> DataSource:
        """Returns the file, and the hash of the split's data."""
        return DataSource.of(self._files.path(split), self._origin(split))

    def settings(self) -> Dict[str, Any]:
        """Returns what to record with the engine's settings: the labels, too."""
        more = {TASK_TYPE: self.kind.task_type, LABELS: list(self.kind.names)}
        return dict(super().settings(), **more)

    def run_settings(self) -> Dict[str, Setting]:
        """Returns what the labels mean, and where they stand, beside what every task has."""
        return {
            **super().run_settings(),
            **settings_of({TASK_TYPE: self.kind.task_type}, Change.REFUSED),
            **settings_of(
                {COLUMNS: [*self._columns[:2], list(self._columns.labels)]}, Change.WARNED
            ),
            **settings_of({"num_held_out": len(self._files.held_out)}, Change.WARNED_IN_TRAINING),
        }

    def _read_examples(self, split):
        has_labels = split not in self.test_splits
        found = [
            self._example(row, str(number), has_labels) for number, row in self._files.rows(split)
        ]
        _warn_of_oddities(self._files.path(split), found, has_labels)
        return found

    def _example(self, row, guid, has_label):
        columns = self._columns
        text_b = text_in(row, columns.text_pair) if columns.text_pair is not None else None
        label = None
        if has_label:
            missing = [name for name in columns.labels if name not in row.cells]
            if missing:
                raise UsageError(f"{row.where}: there is no {missing[0]!r}, for the label.")
            separator = self._settings.label_separator
            label = columns_lib.label_of(row, columns, self.kind.task_type, separator)
            self._check_label(label, row.where)
        return InputExample(guid, text_in(row, columns.text), text_b, label)

    def example_of(self, row: Row) -> InputExample:
        """Returns the text or pair in a row, under the names of the training file or as `text`."""
        text, pair, _ = self._columns
        if text not in row.cells and "text" in row.cells:
            text, pair = "text", pair and "text_pair"
        text_b = text_in(row, pair) if pair else None
        return InputExample(row.where, text_in(row, text), text_b)

    def results_of(
        self,
        examples: Sequence[InputExample],
        rows: Sequence[Dict[str, Any]],
        metrics: Optional[Dict[str, float]],
    ) -> Iterator[Dict[str, Any]]:
        """Yields the label, its probability and those of all labels; a number is a score."""
        return (self.kind.result(output, metrics) for output in self.kind.outputs(rows))

    def comparisons(
        self,
        split: str,
        rows: Sequence[Dict[str, Any]],
        metrics: Optional[Dict[str, float]],
    ) -> Iterator[Dict[str, Any]]:
        """Yields what every classification does, and the example's number in the file."""
        found = super().comparisons(split, rows, metrics)
        return ({"index": int(each.guid), **row} for each, row in zip(self.examples(split), found))

    def _metrics(self, split, labels, decisions):
        if self.kind.task_type == REGRESSION:
            return metrics.of_scores(labels, decisions)
        of_task = (
            metrics.of_classes if self.kind.task_type == CLASSIFICATION else metrics.of_label_sets
        )
        return of_task(labels, decisions, self.kind.names)

    def _results_table(self, outputs):
        """Returns the rows of test_results.tsv, below the names of the labels."""
        names = map(as_cell, self.kind.names or ["score"])
        return [names, *super()._results_table(outputs)]


def _recorded_columns(recorded):
    """Returns the Columns of a run; None if it has recorded none, as earlier releases."""
    if not recorded.get(COLUMNS):
        return None
    found = dict(
        zip(Columns._fields, json_files.value_of(recorded, COLUMNS, list, RECORD, "the run"))
    )
    text_pair = found.get("text_pair")
    if text_pair is not None:
        json_files.value_of(found, "text_pair", str, RECORD, COLUMNS)
    return Columns(
        json_files.value_of(found, "text", str, RECORD, COLUMNS),
        text_pair,
        tuple(json_files.texts_of(found, "labels", RECORD, COLUMNS)),
    )


def _names_of(labels, columns, task_type):
    """Returns the names of the labels, in order, that a training file has; none for numbers."""
    if task_type == REGRESSION:
        return []
    if task_type == CLASSIFICATION:
        return columns_lib.sorted_labels(labels)
    if len(columns.labels) > 1:
        return list(columns.labels)
    return columns_lib.sorted_labels(label for each in labels for label in each)


def _warn_of_oddities(path, examples, has_labels):
    """Counts examples that are there twice and empty texts: allowed, but seldom meant."""
    counts = collections.Counter((each.text_a, each.text_b, each.label) for each in examples)
    oddities = {
        f"rows that repeat another with its {'label' if has_labels else 'text'}": (
            len(examples) - len(counts)
        ),
        "rows without text": sum(
            not each.text_a.strip() or (each.text_b is not None and not each.text_b.strip())
            for each in examples
        ),
    }
    for oddity, number in oddities.items():
        if number:
            _log.warning("%s: %s: %d of %d.", path, oddity, number, len(examples))
