"""Classification tasks of the user's own: what their classes offer, and errors that name it."""

import abc
import contextlib
from typing import Any, Callable, ClassVar, Dict, Iterable, Iterator, List, Optional, Sequence, Type

from albert.common import files
from albert.common.errors import UsageError
from albert.glue import metrics, table
from albert.glue.classification import ClassifierTask, InputExample
from albert.glue.files import read_tsv


class DataProcessor(abc.ABC):
    """Base class for a task of your own: reads its data and lists its labels.

        @classifier_utils.register("polarity")
        class Polarity(classifier_utils.DataProcessor):
            def get_train_examples(self, data_dir): ...
            def get_dev_examples(self, data_dir): ...
            def get_test_examples(self, data_dir): ...
            def get_labels(self):
                return ["negative", "positive"]

        if __name__ == "__main__":
            run_multigpus_classifier.run()

    Labels may be numbers, too: they are compared as text. What a method raises ends the program in
    one line; --verbosity=1 shows its traceback.

    Attributes:
        best_metric: the metric that decides which checkpoint is best: a key of `get_metrics`, or
            "loss".
        greater_is_better: whether its highest value is best; False for losses and errors.
    """

    best_metric = "accuracy"
    greater_is_better = True

    @abc.abstractmethod
    def get_train_examples(self, data_dir: str) -> List[InputExample]:
        """Returns the training examples, with labels."""

    @abc.abstractmethod
    def get_dev_examples(self, data_dir: str) -> List[InputExample]:
        """Returns the dev examples, with labels."""

    @abc.abstractmethod
    def get_test_examples(self, data_dir: str) -> List[InputExample]:
        """Returns the test examples, without labels."""

    @abc.abstractmethod
    def get_labels(self) -> Optional[List[str]]:
        """Returns the labels, or None for a regression, whose labels are numbers."""

    def get_metrics(self, labels: Sequence[Any], predictions: Sequence[Any]) -> Dict[str, float]:
        """Returns the metrics, given label ids, or scores for a regression; by default accuracy."""
        return metrics.accuracy(labels, predictions)

    @staticmethod
    def _read_tsv(path):
        """Returns the cells of each line of a tab-separated file in which quotes are plain text."""
        return [_Row(cells, where) for where, cells in read_tsv(path)]


def register(task_name: str) -> Callable[[Type[DataProcessor]], Type[DataProcessor]]:
    """Returns a class decorator that registers a DataProcessor as the task of that name.

    Raises:
        ValueError: the name is taken by another task.
    """

    def decorate(processor_class):
        name = task_name.lower()
        taken = {**table.OWN_TASKS, **table.GLUE_ROWS}
        if taken.get(name, processor_class) is not processor_class:
            raise ValueError(f"There is already a task called {name}.")
        table.OWN_TASKS[name] = processor_class
        return processor_class

    return decorate


class ProcessorTask(ClassifierTask):
    """A task whose data is read by a registered DataProcessor."""

    def __init__(self, name, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self._class = table.OWN_TASKS[name].__name__
        with _one_line(self._class):
            self._processor = table.OWN_TASKS[name]()
        self.labels = self._read_labels()
        self.best_metric = self._processor.best_metric
        self.greater_is_better = self._processor.greater_is_better

    def _read_labels(self):
        method = f"{self._class}.get_labels"
        with _one_line(method):
            found = self._processor.get_labels()
            if found is None:
                return None
            labels = [None if label is None else str(label) for label in found]
        if labels[:1] == [None]:  # what a regression returns in the original
            return None
        if not labels:
            raise UsageError(f"{method} returned no labels; a regression returns None.")
        if len(set(labels)) < len(labels):
            raise UsageError(f"{method} returned a label twice: {', '.join(map(repr, labels))}.")
        return tuple(labels)

    def _read_examples(self, split):
        reader = f"get_{split}_examples"
        method = f"{self._class}.{reader}"
        has_labels = split not in self.test_splits
        with _one_line(method):
            read = getattr(self._processor, reader)(self._data_dir)
            found = [_with_text_as_label(example, has_labels) for example in read]
        if not found:
            raise UsageError(f"{method} found no examples in <data_dir>.", data_dir=self._data_dir)
        for example in found:
            where = f"{method}: example {files.as_cell(example.guid)}"
            for text in (example.text_a, example.text_b or ""):
                if not isinstance(text, str):
                    raise UsageError(
                        f"{where}: {text!r:.50} is not text, but {type(text).__name__}."
                    )
            if has_labels:
                self._check_label(example.label, where)
        if split in self.dev_splits:
            self._check_best_metric(split, [self.kind.value(each.label) for each in found])
        return found

    def _check_best_metric(self, split, labels):
        """Raises UsageError unless the evaluation of a split will have the best metric."""
        names = [*self._metrics(split, labels, labels), "loss"]
        if self.best_metric not in names:
            raise UsageError(
                f"{self._class}.best_metric is {self.best_metric!r}, but the metrics are "
                f"{', '.join(names)}."
            )
        if self.best_metric == "loss" and self.greater_is_better:
            raise UsageError(
                f"{self._class}.best_metric is 'loss', of which the lowest is best: set "
                "greater_is_better = False in the class."
            )

    def _metrics(self, split, labels, decisions):
        with _one_line(f"{self._class}.get_metrics"):
            found = self._processor.get_metrics(labels, decisions)
            return {str(name): float(value) for name, value in found.items()}


class _Row(List[str]):
    """The cells of a row.

    Attributes:
        where: its file and line, for errors.
        last_read: `where` of the row whose cells were read last, of all rows. It tells where code
            of the user's own has failed, which may have unpacked the row into other names.
    """

    last_read: ClassVar[str] = ""

    def __init__(self, cells: Iterable[str], where: str) -> None:
        super().__init__(cells)
        self.where = where

    def __getitem__(self, index: Any) -> Any:
        _Row.last_read = self.where
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[str]:
        _Row.last_read = self.where
        return super().__iter__()


def _with_text_as_label(example, has_label):
    """Returns an example of a user's class as an InputExample, without a label in a test split."""
    label = str(example.label) if has_label and example.label is not None else None
    return InputExample(example.guid, example.text_a, example.text_b, label)


@contextlib.contextmanager
def _one_line(method: str) -> Iterator[None]:
    """Turns what a user's own code raises into a UsageError that names the method and the row."""
    _Row.last_read = ""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:  # anything can be wrong with code that we do not know
        message = " ".join(f"{type(error).__name__}: {error}".split())
        row = f" (last row read: {_Row.last_read})" if _Row.last_read else ""
        raise UsageError(
            f"{method} failed{row}: {message} (<verbosity>=1 shows the traceback)", verbosity=None
        ) from error
