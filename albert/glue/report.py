"""The report over all runs on GLUE: a table of their results, and a submission to the benchmark.

A run's results are read from its eval_results.json, which albert.engine.results writes.
"""

import math
import os
import statistics
import textwrap
import zipfile
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import tabulate

from albert.common import files, json_files
from albert.glue.table import GLUE_ROWS, SUBMISSION_SIZES, folder_of

# {model: {task: score in percent}} of single models on the dev sets, by google-research/albert:
# Matthews correlation for CoLA, Pearson correlation for STS-B, accuracy for the others (for MNLI on
# the matched set).
PUBLISHED_RESULTS = {
    "base_v1": {"mnli": 81.6, "sst-2": 90.3},
    "large_v1": {"mnli": 83.5, "sst-2": 91.7},
    "xlarge_v1": {"mnli": 86.4, "sst-2": 92.4},
    # Pre-trained for 1.5 million steps.
    "xxlarge_v1": {
        "mnli": 90.8,
        "qnli": 95.3,
        "qqp": 92.2,
        "rte": 89.2,
        "sst-2": 96.9,
        "mrpc": 90.9,
        "cola": 71.4,
        "sts-b": 93.0,
    },
    "base_v2": {"mnli": 84.6, "sst-2": 92.9},
    "large_v2": {"mnli": 86.5, "sst-2": 94.9},
    "xlarge_v2": {"mnli": 87.9, "sst-2": 95.4},
    "xxlarge_v2": {"mnli": 90.6, "sst-2": 96.8},
}

_WIDTH = 80
_SUBMISSION = "submission.zip"
_SUBMISSION_HEADER = "index\tprediction\n"
_EARLIEST_TIME = (1980, 1, 1, 0, 0, 0)  # that a zip file can hold


class Run(NamedTuple):
    """A task fine-tuned with a seed; the folder `root` holds all runs."""

    task: str
    seed: int
    root: str

    @property
    def output_dir(self) -> str:
        """Folder of the run's files."""
        return os.path.join(self.root, f"seed{self.seed}", folder_of(self.task))

    @property
    def results_file(self) -> str:
        """File of the run's evaluations."""
        return os.path.join(self.output_dir, "eval_results.json")

    def __str__(self) -> str:
        return f"{folder_of(self.task)}, seed {self.seed}"


_Summary = Tuple[Optional[float], Optional[float], Optional[float], Optional[float]]
Scores = Mapping[Run, Dict[str, float]]  # metrics of each run; {} for a run without a best step


class Row(NamedTuple):
    """One metric of a task over its runs, in percent; None where a number does not exist."""

    task: str
    metric: str
    runs: int
    median: Optional[float]
    best: Optional[float]
    mean: Optional[float]
    std: Optional[float]
    published: Optional[float]


def write(runs: Sequence[Run], model: str) -> str:
    """Writes glue_results.txt, glue_results.tsv and submission.zip; returns the text of the first.

    Args:
        runs: in the order of the table, all with the same root.
        model: key of PUBLISHED_RESULTS whose scores to show too, such as base_v2.

    Raises:
        UsageError: a run's results cannot be read.
    """
    root = runs[0].root
    scores = {run: best_scores(run) for run in runs}
    rows = rows_of(scores, PUBLISHED_RESULTS.get(model, {}))
    parts = [_title(model), _table(rows), _fill(_LEGEND)]
    parts += ["\n".join(_uncounted_runs(scores))]
    chosen = choose_files(scores)
    if chosen:
        write_zip(os.path.join(root, _SUBMISSION), chosen)
    parts += ["\n".join(_submission_lines(chosen))]
    text = "\n\n".join(part for part in parts if part) + "\n"
    files.write_text(os.path.join(root, "glue_results.txt"), text)
    exact = [["" if cell is None else cell for cell in row] for row in rows]
    files.write_tsv(os.path.join(root, "glue_results.tsv"), [Row._fields, *exact])
    return text


# The table

_LEGEND = (
    "Over the seeds, at each run's best step; std is the sample standard deviation. "
    "Published: single models, by google-research/albert."
)


def _title(model: str) -> str:
    return f"GLUE dev sets, ALBERT {model.replace('_', ' ')}, in percent"


def best_scores(run: Run) -> Dict[str, float]:
    """Returns the metrics at a run's best step, without the loss; {} where there is no such step.

    Raises:
        UsageError: the run's results cannot be read.
    """
    if not os.path.exists(run.results_file):  # the run did not evaluate
        return {}
    results = json_files.load_json(run.results_file, allow_nan=True)  # of earlier releases
    best = json_files.value_of(results, "best", object, run.results_file, "the record")
    if best is None:  # every evaluation diverged
        return {}
    metrics = json_files.value_of(best, "metrics", dict, run.results_file, "'best'")
    return {
        name: value
        for name, value in metrics.items()
        if name != "loss" and value is not None and math.isfinite(value)
    }


def rows_of(scores: Scores, published: Mapping[str, float]) -> List[Row]:
    """Returns the rows of the table, each task's best_metric first.

    Args:
        published: {task: score of its best_metric in percent}.
    """
    rows = []
    for task in dict.fromkeys(run.task for run in scores):
        best_metric = GLUE_ROWS[task].best_metric
        of_task = [found for run, found in scores.items() if run.task == task]
        metrics = dict.fromkeys([best_metric, *(name for found in of_task for name in found)])
        for metric in metrics:
            values = [100 * found[metric] for found in of_task if metric in found]
            known = published.get(task) if metric == best_metric else None
            rows.append(Row(folder_of(task), metric, len(values), *_summary(values), known))
    return rows


def _summary(values: List[float]) -> _Summary:
    """Returns median, best, mean and sample standard deviation; None where values are too few."""
    if not values:
        return None, None, None, None
    std = statistics.stdev(values) if len(values) > 1 else None
    return statistics.median(values), max(values), statistics.mean(values), std


def _table(rows: List[Row]) -> str:
    return tabulate.tabulate(
        rows,
        headers=Row._fields,
        tablefmt="plain",
        floatfmt=".1f",
        missingval="-",
        colalign=("left", "left", *["right"] * len(Row._fields[2:])),
    )


def _uncounted_runs(scores: Scores) -> Iterator[str]:
    """Yields a line for each task with runs that have no best step."""
    for task in dict.fromkeys(run.task for run in scores):
        of_task = [run for run in scores if run.task == task]
        without = [str(run.seed) for run in of_task if not scores[run]]
        if without:
            yield _fill(
                f"{folder_of(task)}: {len(without)} of {len(of_task)} run(s) diverged or were not "
                f"evaluated, and do not count: seed {', '.join(without)}."
            )


# The submission


def choose_files(scores: Scores) -> Dict[str, Run]:
    """Returns {file of the submission: the run that it comes from}, of the files that exist."""
    chosen: Dict[str, Run] = {}
    for task in dict.fromkeys(run.task for run in scores):
        run = best_run(task, scores)
        submissions = [split.submission for split in GLUE_ROWS[task].splits.values()]
        predicted = [name for name in submissions if name and os.path.exists(_path(run, name))]
        chosen.update(dict.fromkeys(predicted, run))
    return chosen


def _submission_lines(chosen: Mapping[str, Run]) -> Iterator[str]:
    """Yields lines that say what is in the submission and what is wrong with it."""
    if not chosen:
        yield _fill(f"{_SUBMISSION} is not written: no run has predicted its test set.")
        return
    yield f"{_SUBMISSION}, with each file from the seed with the best dev score:"
    for seed in sorted({run.seed for run in chosen.values()}):
        names = [name for name, run in chosen.items() if run.seed == seed]
        yield _fill(f"  seed {seed}: {', '.join(names)}", "    ")
    for name, run in chosen.items():
        yield from map(_fill, submission_errors(name, _path(run, name)))
    missing = [name for name in SUBMISSION_SIZES if name not in chosen]
    if missing:
        yield _fill(f"A complete submission also needs: {', '.join(missing)}.")


def _path(run: Run, name: str) -> str:
    return os.path.join(run.output_dir, name)


def best_run(task: str, scores: Scores) -> Run:
    """Returns the run of a task with the highest best_metric, the first of equals.

    A run without that metric ranks below all others.
    """
    of_task = [run for run in scores if run.task == task]
    return max(of_task, key=lambda run: scores[run].get(GLUE_ROWS[task].best_metric, -math.inf))


def write_zip(path: str, chosen: Mapping[str, Run]) -> None:
    """Writes a zip file of {file name: the run that it comes from}, completely or not at all.

    The same files always give the same bytes.
    """
    with files.replacing(path) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, run in chosen.items():
                entry = zipfile.ZipInfo(name, _EARLIEST_TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                with open(_path(run, name), "rb") as reader:
                    archive.writestr(entry, reader.read())


def submission_errors(name: str, path: str) -> Iterator[str]:
    """Yields the reasons why the benchmark's server would refuse a file of a submission."""
    with open(path, encoding="utf-8") as reader:
        has_header = reader.readline() == _SUBMISSION_HEADER
        num_predictions = sum(1 for _ in reader)
    if not has_header:
        yield f"{name} does not start with index<TAB>prediction: the server will refuse it."
    if num_predictions != SUBMISSION_SIZES[name]:
        yield (
            f"{name} has {num_predictions} predictions, GLUE's test set {SUBMISSION_SIZES[name]}: "
            "the server will refuse it."
        )


def _fill(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
