"""The GLUE tasks as rows of a table, and the reader of their files (arXiv 1804.07461)."""

import dataclasses
from typing import Callable, Dict, Optional, Tuple

from albert.common.errors import UsageError
from albert.glue import metrics


@dataclasses.dataclass(frozen=True)
class GlueSplit:
    """One file of a GLUE task: its place in the data directory and its columns from 0.

    Attributes:
        path: relative to the data directory.
        text_a, text_b: columns of the texts; text_b None for single sentences.
        label: column of the label; None where there is none (test data).
        guid: column of the id, in test data.
        has_header: whether the first line names the columns.
        skips_short_rows: whether rows with too few columns are counted and left out, not an error.
        submission: name of the file to hand in for a test split.
        suffix: of the metrics' names, for a second dev split.
        is_optional: whether the split is left out where the file is not there.
    """

    path: str
    text_a: int
    text_b: Optional[int] = None
    label: Optional[int] = None
    guid: Optional[int] = None
    has_header: bool = True
    skips_short_rows: bool = False
    submission: Optional[str] = None
    suffix: str = ""
    is_optional: bool = False


@dataclasses.dataclass(frozen=True)
class GlueRow:
    """What sets one GLUE task apart.

    Attributes:
        labels: the labels in the order of their ids; None for a regression to a float.
        splits: {name: GlueSplit}. Dev splits' names begin with "dev"; test splits have a
            submission.
        metric_function: (labels, predictions) -> {name: float}; None where nothing is labelled.
        best_metric: which of them decides on the best checkpoint.
        label_range: lowest and highest score of a regression, for submissions.
        model_of: the task whose models predict this one, where it has no training data itself.
    """

    labels: Optional[Tuple[str, ...]]
    splits: Dict[str, GlueSplit]
    metric_function: Optional[Callable] = None
    best_metric: str = "accuracy"
    label_range: Optional[Tuple[float, float]] = None
    model_of: Optional[str] = None


def _three_splits(folder, labelled, test, **more):
    """Returns train, dev and test of a folder.

    Args:
        labelled: columns of text_a, text_b and label in train and dev.
        test: columns of id, text_a and text_b in test.
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
_PAIR_COLUMNS = {"labelled": (1, 2, -1), "test": (0, 1, 2)}

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
        metric_function=metrics.accuracy,
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
        splits=_three_splits("QQP", (3, 4, 5), (0, 1, 2), skips_short_rows=True),
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
        metric_function=metrics.accuracy,
    ),
    "qnli": GlueRow(
        labels=_ENTAILMENT,
        splits=_three_splits("QNLI", **_PAIR_COLUMNS),
        metric_function=metrics.accuracy,
    ),
    "rte": GlueRow(
        labels=_ENTAILMENT,
        splits=_three_splits("RTE", **_PAIR_COLUMNS),
        metric_function=metrics.accuracy,
    ),
    "wnli": GlueRow(
        labels=_BINARY,
        splits=_three_splits("WNLI", **_PAIR_COLUMNS),
        metric_function=metrics.accuracy,
    ),
    "ax": GlueRow(labels=_NLI, splits={"diagnostic": _DIAGNOSTIC}, model_of="mnli"),
}

# The files of a submission to the benchmark, and how many test examples it has for each.
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


def folder_of(task):
    """Returns the folder of a task in the data directory, which is also how people write it."""
    return next(iter(GLUE_ROWS[task].splits.values())).path.split("/")[0]


def read_tsv(path, has_header):
    """Yields (line number from 1, list of cells) for each row of a GLUE file.

    Quoting is off, a byte order mark is skipped, and so are empty lines.

    Raises:
        UsageError: the file cannot be read or is not UTF-8.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="\n") as reader:
            for number, line in enumerate(reader, 1):
                line = line.rstrip("\r\n")
                if line and not (has_header and number == 1):
                    yield number, line.split("\t")
    except OSError as error:
        raise cannot_read(path, error) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: {error.reason}.") from error


def cannot_read(path, error):
    """Returns the UsageError for a data file that an OSError keeps from being read."""
    return UsageError(f"{path}: {error.strerror}. Is --data_dir right?")
