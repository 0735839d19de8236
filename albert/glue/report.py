"""What runs of the GLUE tasks have reached: a table, and the zip file to hand in to the benchmark.

A run's results are read from its eval_results.json, which `results` writes.
"""

import math
import os
import statistics
import textwrap
import zipfile
from typing import NamedTuple, Optional, Tuple

from albert.common import files, json_files
from albert.glue.table import GLUE_ROWS, SUBMISSION_SIZES, folder_of

# {model: {task: score}} in percent, of single models on the dev sets: Matthews correlation for
# CoLA, Pearson correlation for STS-B, else accuracy, which for MNLI is that of the matched set.
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
_COLUMNS = ("task", "metric", "runs", "median", "best", "mean", "std", "published")
_HEADER = "index\tprediction\n"
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # of all times that a zip file can hold


class Run(NamedTuple):
    """A task, fine-tuned with a seed, below the folder `root` of all runs."""

    task: str
    seed: int
    root: str

    @property
    def output_dir(self):
        """Where the runner puts its files."""
        return os.path.join(self.root, f"seed{self.seed}", folder_of(self.task))

    @property
    def results_file(self):
        """Where the run's evaluations are recorded."""
        return os.path.join(self.output_dir, "eval_results.json")

    def __str__(self):
        return f"{folder_of(self.task)}, seed {self.seed}"


class Row(NamedTuple):
    """One metric of a task over its runs, in percent; None where there is no such number."""

    task: str
    metric: str
    num_runs: int
    median: Optional[float]
    best: Optional[float]
    mean: Optional[float]
    std: Optional[float]
    published: Optional[float]

    def cells(self, number):
        """Returns the row as str, numbers as the function `number` writes them."""
        scores = [number(score) for score in self[3:]]
        return [folder_of(self.task), self.metric, str(self.num_runs), *scores]


def write(runs, model):
    """Writes glue_results.txt, glue_results.tsv and submission.zip; returns the text of the first.

    Args:
        runs: Runs in the order of the table, all of one root.
        model: which of PUBLISHED_RESULTS to show beside them, such as base_v2.

    Raises:
        UsageError: a run's results cannot be read.
    """
    root = runs[0].root
    scores = {run: best_scores(run) for run in runs}
    rows = rows_of(scores, PUBLISHED_RESULTS.get(model, {}))
    parts = [_title(model), _table(rows), _fill(_LEGEND)]
    parts += ["\n".join(_without_scores(scores))]
    parts += ["\n".join(_hand_in(scores, os.path.join(root, "submission.zip")))]
    text = "\n\n".join(part for part in parts if part) + "\n"
    files.write_text(os.path.join(root, "glue_results.txt"), text)
    full = [row.cells(lambda score: "" if score is None else repr(score)) for row in rows]
    files.write_tsv(os.path.join(root, "glue_results.tsv"), [_COLUMNS, *full])
    return text


# The table

_LEGEND = (
    "Over the seeds, of each run's best step; std is the sample standard deviation. "
    "Published: single models, by google-research/albert."
)


def _title(model):
    return f"GLUE dev sets, ALBERT {model.replace('_', ' ')}, in percent"


def best_scores(run):
    """Returns {metric: float} at a run's best step, without the loss; {} where no step is best.

    Raises:
        UsageError: the file cannot be understood.
    """
    if not os.path.exists(run.results_file):  # --do_eval=False
        return {}
    best = json_files.value_of(
        json_files.load_json(run.results_file), "best", object, run.results_file, "the record"
    )
    if best is None:
        return {}
    metrics = json_files.value_of(best, "metrics", dict, run.results_file, "'best'")
    return {
        name: value for name, value in metrics.items() if name != "loss" and math.isfinite(value)
    }


def rows_of(scores, published):
    """Returns the Rows of {Run: {metric: float}}, each task's best_metric first.

    Args:
        published: {task: score}, of the best_metric.
    """
    rows = []
    for task in dict.fromkeys(run.task for run in scores):
        best_metric = GLUE_ROWS[task].best_metric
        of_task = [found for run, found in scores.items() if run.task == task]
        metrics = dict.fromkeys([best_metric, *(name for found in of_task for name in found)])
        for metric in metrics:
            values = [100 * found[metric] for found in of_task if metric in found]
            known = published.get(task) if metric == best_metric else None
            rows.append(Row(task, metric, len(values), *_summary(values), known))
    return rows


def _summary(values) -> Tuple[Optional[float], ...]:
    """Returns median, best, mean and sample standard deviation, None where there are too few."""
    if not values:
        return (None,) * 4
    std = statistics.stdev(values) if len(values) > 1 else None
    return statistics.median(values), max(values), statistics.mean(values), std


def _table(rows):
    cells = [
        _COLUMNS,
        *(row.cells(lambda score: "-" if score is None else f"{score:.1f}") for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = []
    for line in cells:
        texts = [cell.ljust(width) for cell, width in zip(line[:2], widths)]
        numbers = [cell.rjust(max(width, 6)) for cell, width in zip(line[2:], widths[2:])]
        lines.append("  ".join([*texts, *numbers]))
    return "\n".join(lines)


def _without_scores(scores):
    """Yields a line for each task with runs that have no best step."""
    for task in dict.fromkeys(run.task for run in scores):
        of_task = [run for run in scores if run.task == task]
        without = [str(run.seed) for run in of_task if not scores[run]]
        if without:
            yield _fill(
                f"{folder_of(task)}: {len(without)} of {len(of_task)} run(s) diverged or were not "
                f"evaluated, and do not count: seed {', '.join(without)}."
            )


# The files to hand in


def _hand_in(scores, path):
    """Writes the zip file and yields lines that say what is in it and what is wrong with it."""
    chosen = {}  # {name in the zip file: Run}
    for task in dict.fromkeys(run.task for run in scores):
        run = best_run(task, scores)
        names = (split.submission for split in GLUE_ROWS[task].splits.values())
        there = [name for name in names if name and os.path.exists(_path(run, name))]
        chosen.update(dict.fromkeys(there, run))
    if not chosen:
        yield _fill(f"{os.path.basename(path)} is not written: no run has predicted its test set.")
        return
    write_zip(path, {name: _path(run, name) for name, run in chosen.items()})
    yield f"{os.path.basename(path)}, each file of the seed with the best dev score:"
    for seed in sorted({run.seed for run in chosen.values()}):
        names = [name for name, run in chosen.items() if run.seed == seed]
        yield _fill(f"  seed {seed}: {', '.join(names)}", "    ")
    for name, run in chosen.items():
        yield from map(_fill, complaints(name, _path(run, name)))
    missing = [name for name in SUBMISSION_SIZES if name not in chosen]
    if missing:
        yield _fill(f"GLUE's server wants these too: {', '.join(missing)}.")


def _path(run, name):
    return os.path.join(run.output_dir, name)


def best_run(task, scores):
    """Returns the Run of a task with the highest best_metric, the first of equals.

    Args:
        scores: {Run: {metric: float}}; a run without the metric is below all others.
    """
    of_task = [run for run in scores if run.task == task]
    return max(of_task, key=lambda run: scores[run].get(GLUE_ROWS[task].best_metric, -math.inf))


def write_zip(path, sources):
    """Writes {name: path of a file} as a zip file, whole or not at all, always with equal bytes."""
    with files.replacing(path) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, source in sources.items():
                entry = zipfile.ZipInfo(name, _EARLIEST)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                with open(source, "rb") as reader:
                    archive.writestr(entry, reader.read())


def complaints(name, path):
    """Yields why the benchmark's server would refuse a file to hand in."""
    with open(path, encoding="utf-8") as reader:
        has_header = reader.readline() == _HEADER
        num_predictions = sum(1 for _ in reader)
    if not has_header:
        yield f"{name} does not begin with index<TAB>prediction: the server will refuse it."
    if num_predictions != SUBMISSION_SIZES[name]:
        yield (
            f"{name} has {num_predictions} predictions, GLUE's test set {SUBMISSION_SIZES[name]}: "
            "the server will refuse it."
        )


def _fill(text, indent=""):
    return textwrap.fill(
        text,
        _WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
