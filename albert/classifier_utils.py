"""Classification tasks: those of GLUE, and by name your own."""

import dataclasses
import os
from typing import Any, List

from albert.common import files
from albert.common.errors import UsageError
from albert.glue import table
from albert.glue.classification import ClassifierTask, InputExample
from albert.glue.files import cannot_read, read_rows
from albert.glue.own_tasks import DataProcessor, ProcessorTask, register

# What scripts with tasks of their own import from here.
__all__ = ["DataProcessor", "GlueTask", "InputExample", "make_task", "register"]


def make_task(name: str, *args: Any, **kwargs: Any) -> ClassifierTask:
    """Returns the ClassifierTask of that name; the arguments are those of its constructor.

    Raises:
        UsageError: there is no such task.
    """
    table.check_task_name(name)
    name = name.lower()
    return (ProcessorTask if name in table.OWN_TASKS else GlueTask)(name, *args, **kwargs)


class GlueTask(ClassifierTask):
    """A GLUE task, defined by its row in GLUE_ROWS."""

    def __init__(self, name, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self._row = row = table.GLUE_ROWS[name]
        self.labels = row.labels
        self.best_metric = row.best_metric
        self._label_range = row.label_range or self._label_range
        self.dev_splits = tuple(split for split in row.splits if split.startswith("dev"))
        # An optional split is predicted only if its file exists.
        self.test_splits = tuple(
            split
            for split, file in row.splits.items()
            if file.submission and not (file.is_optional and not self._exists(split))
        )

    @property
    def model_name(self) -> str:
        """Name of the task whose models predict this one."""
        return self._row.model_of or self.name

    @property
    def num_segments(self) -> int:
        """2 for a task of pairs, else 1."""
        return 2 if self._row.is_of_pairs else 1

    def _path(self, split):
        if split not in self._row.splits:
            raise UsageError(
                "<task_name> has no labelled data: it is for <do_predict> alone, with a model of "
                f"{self.model_name}.",
                task_name=self.name,
                do_predict=None,
            )
        return self._row.splits[split].file_in(self._data_dir)

    def _exists(self, split):
        return os.path.exists(self._path(split))

    def _origin(self, split):
        path = self._path(split)
        try:
            digest = files.sha256(path)
        except OSError as error:
            raise cannot_read(path, error) from error
        columns = dataclasses.asdict(self._row.splits[split])
        # Its name in earlier releases, so that what they have cached and evaluated still counts.
        columns["skips_short_rows"] = columns.pop("skips_uneven_rows")
        return {"data": digest, "columns": columns}

    def _read_examples(self, split):
        path, columns = self._path(split), self._row.splits[split]
        found: List[InputExample] = []
        for row in read_rows(path, columns, self.kind.is_label):
            if columns.label is not None:
                self._check_label(row.label, row.where)
            guid = row.guid or f"{split}-{len(found)}"
            found.append(InputExample(guid, row.text_a, row.text_b, row.label))
        return found

    def _metrics(self, split, labels, decisions):
        suffix = self._row.splits[split].suffix
        values = self._row.metric_function(labels, decisions)
        return {name + suffix: value for name, value in values.items()}

    def _submission_name(self, split):
        return self._row.splits[split].submission
