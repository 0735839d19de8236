"""The GLUE tasks as rows of a table (arXiv 1804.07461)."""

import dataclasses
import difflib
import os
import re
from typing import Any, Dict, Optional, Tuple

from albert.common.errors import UsageError
from albert.glue import metrics


@dataclasses.dataclass(frozen=True)
class GlueSplit:
    """One file of a GLUE task, and what its columns, counted from 0, hold.

    Attributes:
        path: relative to the data directory.
        text_a, text_b: columns of the texts; text_b is None for single sentences.
        label: column of the label, -1 for the last one; None in test data.
        guid: column of the example's id; None in train and dev data.
        has_header: whether the first line names the columns.
        skips_uneven_rows: whether rows with another number of columns than the header are skipped
            and counted; elsewhere they are errors.
        submission: file of a submission to the benchmark that a test split's predictions go into.
        suffix: added to the names of the metrics on a second dev split.
        is_optional: whether the task works without the file.
    """

    path: str
    text_a: int
    text_b: Optional[int] = None
    label: Optional[int] = None
    guid: Optional[int] = None
    has_header: bool = True
    skips_uneven_rows: bool = False
    submission: Optional[str] = None
    suffix: str = ""
    is_optional: bool = False

    def file_in(self, data_dir: str) -> str:
        """Returns the path of the file in a data directory."""
        return os.path.join(data_dir, *self.path.split("/"))


@dataclasses.dataclass(frozen=True)
class GlueRow:
    """One GLUE task.

    Attributes:
        labels: the labels in the order of their ids; None for a regression.
        splits: {name: GlueSplit}. Names of dev splits start with "dev"; test splits are those with
            a submission.
        metric_function: one of albert.glue.metrics.
        best_metric: the metric that the best checkpoint is chosen by.
        label_range: lowest and highest score of a regression, for submissions.
        model_of: the task whose models predict this one, if it has no training data of its own.
    """

    labels: Optional[Tuple[str, ...]]
    splits: Dict[str, GlueSplit]
    metric_function: metrics.Metric = metrics.accuracy
    best_metric: str = "accuracy"
    label_range: Optional[Tuple[float, float]] = None
    model_of: Optional[str] = None

    @property
    def is_of_pairs(self) -> bool:
        """Whether its examples are pairs of texts."""
        return any(split.text_b is not None for split in self.splits.values())


def _three_splits(
    folder: str,
    labelled: Tuple[int, Optional[int], int],
    test: Tuple[int, int, Optional[int]],
    **more: Any,
) -> Dict[str, GlueSplit]:
    """Returns the splits train, dev and test of a folder.

    Args:
        labelled: columns of text_a, text_b and label in train and dev.
        test: columns of guid, text_a and text_b in test.
        more: further attributes of train and dev.
    """
    splits = {
        name: GlueSplit(f"{folder}/{name}.tsv", *labelled, **more) for name in ("train", "dev")
    }
    guid, text_a, text_b = test
    splits["test"] = GlueSplit(
        f"{folder}/test.tsv", text_a, text_b, guid=guid, submission=f"{folder}.tsv"
    )
    return splits


_BINARY = ("0", "1")
_ENTAILMENT = ("entailment", "not_entailment")
_NLI = ("contradiction", "entailment", "neutral")
_DIAGNOSTIC = GlueSplit("diagnostic/diagnostic.tsv", 1, 2, guid=0, submission="AX.tsv")
_LABELLED_PAIR, _TEST_PAIR = (1, 2, -1), (0, 1, 2)

GLUE_ROWS = {
    "cola": GlueRow(
        labels=_BINARY,
        splits=_three_splits("CoLA", (3, None, 1), (0, 1, None), has_header=False),
        metric_function=metrics.matthews,
        best_metric="matthews_corr",
    ),
    "sst-2": GlueRow(
        labels=_BINARY,
        splits=_three_splits("SST-2", (0, None, 1), (0, 1, None)),
    ),
    "mrpc": GlueRow(
        labels=_BINARY,
        splits=_three_splits("MRPC", (3, 4, 0), (0, 3, 4)),
        metric_function=metrics.accuracy_and_f1,
    ),
    "sts-b": GlueRow(
        labels=None,
        splits=_three_splits("STS-B", (7, 8, -1), (0, 7, 8)),
        metric_function=metrics.correlations,
        best_metric="pearson",
        label_range=(0.0, 5.0),
    ),
    "qqp": GlueRow(
        labels=_BINARY,
        splits=_three_splits("QQP", (3, 4, 5), (0, 1, 2), skips_uneven_rows=True),
        metric_function=metrics.accuracy_and_f1,
    ),
    "mnli": GlueRow(
        labels=_NLI,
        splits={
            "train": GlueSplit("MNLI/train.tsv", 8, 9, -1),
            "dev_matched": GlueSplit("MNLI/dev_matched.tsv", 8, 9, -1),
            "dev_mismatched": GlueSplit("MNLI/dev_mismatched.tsv", 8, 9, -1, suffix="_mm"),
            "test_matched": GlueSplit(
                "MNLI/test_matched.tsv", 8, 9, guid=0, submission="MNLI-m.tsv"
            ),
            "test_mismatched": GlueSplit(
                "MNLI/test_mismatched.tsv", 8, 9, guid=0, submission="MNLI-mm.tsv"
            ),
            "diagnostic": dataclasses.replace(_DIAGNOSTIC, is_optional=True),
        },
    ),
    "qnli": GlueRow(
        labels=_ENTAILMENT,
        splits=_three_splits("QNLI", _LABELLED_PAIR, _TEST_PAIR),
    ),
    "rte": GlueRow(
        labels=_ENTAILMENT,
        splits=_three_splits("RTE", _LABELLED_PAIR, _TEST_PAIR),
    ),
    "wnli": GlueRow(
        labels=_BINARY,
        splits=_three_splits("WNLI", _LABELLED_PAIR, _TEST_PAIR),
    ),
    "ax": GlueRow(labels=_NLI, splits={"diagnostic": _DIAGNOSTIC}, model_of="mnli"),
}

# The files of a submission to the benchmark, and the number of test examples for each.
SUBMISSION_SIZES = {
    "CoLA.tsv": 1063,
    "SST-2.tsv": 1821,
    "MRPC.tsv": 1725,
    "STS-B.tsv": 1379,
    "QQP.tsv": 390965,
    "MNLI-m.tsv": 9796,
    "MNLI-mm.tsv": 9847,
    "QNLI.tsv": 5463,
    "RTE.tsv": 3000,
    "WNLI.tsv": 146,
    "AX.tsv": 1104,
}


# {name: DataProcessor} of tasks that own_tasks.register has added; here, because names are checked
# before own_tasks, which needs TensorFlow, is imported.
OWN_TASKS: Dict[str, Any] = {}


def folder_of(task: str) -> str:
    """Returns a task's folder in the data directory, which is also how people write its name."""
    return next(iter(GLUE_ROWS[task].splits.values())).path.split("/")[0]


def check_task_name(name: str) -> None:
    """Raises UsageError unless there is a task of that name, in any case.

    The error proposes the task that a misspelt name is most like.
    """
    if name.lower() in (*GLUE_ROWS, *OWN_TASKS):
        return
    shown = {_letters(task): task for task in OWN_TASKS}
    shown.update({_letters(folder_of(task)): folder_of(task) for task in GLUE_ROWS})
    shown.update(dict.fromkeys(("ax", "diagnostic"), "AX"))
    nearest = difflib.get_close_matches(_letters(name), shown, n=1, cutoff=0.8)
    guess = f": did you mean <task_name>={shown[nearest[0]]}? It" if nearest else "; it"
    known = ", ".join(sorted((*GLUE_ROWS, *OWN_TASKS)))
    raise UsageError(
        f"<task_name>={name} is unknown{guess} must be one of {known}.", task_name=None
    )


def _letters(name: str) -> str:
    """Returns a name without case and punctuation."""
    return re.sub(r"[\W_]", "", name.lower())
