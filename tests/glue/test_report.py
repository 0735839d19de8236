"""Tests of albert.glue.report: the table over all runs, and the submission."""

import json
import os
import zipfile

import numpy as np
import pytest

from albert.cli import recipes
from albert.common.errors import UsageError
from albert.glue import report as glue_report
from albert.glue.report import Run
from albert.glue.table import GLUE_ROWS, SUBMISSION_SIZES

SCORES = {1: 0.5512, 2: 0.6034, 7: 0.4399}  # {seed: Matthews correlation}


def write_run(root, task, seed, metrics=None, **submissions):
    """Writes what a run leaves: its results, and submission files of so many predictions."""
    run = Run(task, seed, str(root))
    folder = root / f"seed{seed}" / {"cola": "CoLA", "mnli": "MNLI", "rte": "RTE"}[task]
    folder.mkdir(parents=True)
    best = metrics and {"step": 10, "metrics": metrics}
    last = {"step": 20, "metrics": dict.fromkeys(metrics or [], 0.01)}
    stored = {"settings": {}, "best": best, "evaluations": [best, last] if best else []}
    (folder / "eval_results.json").write_text(json.dumps(stored), encoding="utf-8")
    for name, num_predictions in submissions.items():
        lines = ["index\tprediction", *(f"{n}\t{seed}" for n in range(num_predictions))]
        name = name.replace("_", "-") + ".tsv"
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return run


@pytest.fixture
def cola_runs(tmp_path):
    """Returns three runs of CoLA, whose accuracies are half of their correlations."""
    return [
        write_run(
            tmp_path,
            "cola",
            seed,
            {"accuracy": score / 2, "matthews_corr": score, "loss": 0.3},
            CoLA=1063,
        )
        for seed, score in SCORES.items()
    ]


def lines_of(text, first_word):
    return [line.split() for line in text.splitlines() if line.split()[:1] == [first_word]]


# --- The table


def test_the_table_shows_median_best_mean_and_sample_deviation_at_the_best_steps(cola_runs):
    values = 100 * np.array(list(SCORES.values()))
    expected = [np.median(values), values.max(), values.mean(), values.std(ddof=1)]
    matthews, accuracy = lines_of(glue_report.write(cola_runs, "base_v2"), "CoLA")
    assert matthews == ["CoLA", "matthews_corr", "3", *(f"{x:.1f}" for x in expected), "-"]
    assert accuracy == ["CoLA", "accuracy", "3", *(f"{x / 2:.1f}" for x in expected), "-"]


def test_the_tsv_file_holds_unrounded_values(cola_runs, tmp_path):
    glue_report.write(cola_runs, "xxlarge_v1")
    header, matthews, _ = (tmp_path / "glue_results.tsv").read_text(encoding="utf-8").splitlines()
    row = dict(zip(header.split("\t"), matthews.split("\t")))
    values = 100 * np.array(list(SCORES.values()))
    assert float(row["std"]) == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    assert float(row["mean"]) == pytest.approx(np.mean(values), abs=1e-9)
    assert (row["runs"], row["published"]) == ("3", "71.4")


def test_one_seed_has_no_deviation(cola_runs, tmp_path):
    (row, _) = lines_of(glue_report.write(cola_runs[:1], "base_v2"), "CoLA")
    assert row == ["CoLA", "matthews_corr", "1", "55.1", "55.1", "55.1", "-", "-"]
    tsv = (tmp_path / "glue_results.tsv").read_text(encoding="utf-8")
    assert tsv.splitlines()[1].endswith("\t\t")


def test_a_published_score_is_shown_for_the_metric_that_it_is_of(tmp_path):
    runs = [write_run(tmp_path, "mnli", 1, {"accuracy": 0.8, "accuracy_mm": 0.81, "loss": 1.0})]
    rows = lines_of(glue_report.write(runs, "base_v2"), "MNLI")
    assert [(row[1], row[-1]) for row in rows] == [("accuracy", "84.6"), ("accuracy_mm", "-")]
    rows = lines_of(glue_report.write(runs, "my_own"), "MNLI")
    assert [row[-1] for row in rows] == ["-", "-"]


def test_published_scores_are_in_percent_and_of_tasks_that_have_a_recipe():
    for results in glue_report.PUBLISHED_RESULTS.values():
        assert set(results) <= set(recipes.RECIPES)
        assert all(50 < score < 100 for score in results.values())
    assert glue_report.PUBLISHED_RESULTS["xxlarge_v2"] == {"mnli": 90.6, "sst-2": 96.8}
    assert glue_report.PUBLISHED_RESULTS["xxlarge_v1"]["sts-b"] == 93.0


@pytest.mark.parametrize("has_file", [True, False])
def test_a_run_without_a_best_step_is_named_and_not_counted(cola_runs, tmp_path, has_file):
    diverged = write_run(tmp_path, "cola", 9, None, CoLA=1063)
    if not has_file:
        (tmp_path / "seed9" / "CoLA" / "eval_results.json").unlink()
    text = glue_report.write([*cola_runs, diverged], "base_v2")
    assert lines_of(text, "CoLA")[0][2:4] == ["3", "55.1"]
    said = " ".join(text.split())
    assert "CoLA: 1 of 4 run(s) diverged or were not evaluated, and do not count: seed 9." in said


def test_a_task_whose_runs_all_diverged_still_has_a_row(tmp_path):
    text = glue_report.write([write_run(tmp_path, "rte", 3)], "xxlarge_v1")
    assert lines_of(text, "RTE") == [["RTE", "accuracy", "0", "-", "-", "-", "-", "89.2"]]


def test_a_score_that_is_not_finite_is_not_counted(tmp_path):
    runs = [
        write_run(tmp_path, "rte", seed, {"accuracy": 0.5, "other": value})
        for seed, value in ((1, 0.25), (2, float("nan")), (3, None))
    ]
    other = lines_of(glue_report.write(runs, ""), "RTE")[1]
    assert other == ["RTE", "other", "1", "25.0", "25.0", "25.0", "-", "-"]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"best": {"step": 1}}'])
def test_results_that_cannot_be_read_are_named(cola_runs, tmp_path, content):
    path = tmp_path / "seed2" / "CoLA" / "eval_results.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match="seed2/CoLA/eval_results.json"):
        glue_report.write(cola_runs, "base_v2")


def test_the_report_is_saved_and_fits_a_terminal(cola_runs, tmp_path):
    metrics = {"accuracy": 1.0, "accuracy_mm": 1.0}
    runs = [write_run(tmp_path, "mnli", seed, metrics, MNLI_m=1) for seed in range(30)]
    diverged = [write_run(tmp_path, "rte", seed) for seed in range(100, 150)]
    text = glue_report.write([*cola_runs, *runs, *diverged], "xxlarge_v1")
    assert (tmp_path / "glue_results.txt").read_text(encoding="utf-8") == text
    assert max(map(len, text.splitlines())) <= 80


# --- The submission


def contents_of(path):
    with zipfile.ZipFile(str(path)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_each_file_comes_from_the_seed_with_the_best_dev_score(cola_runs, tmp_path):
    mnli = [
        write_run(tmp_path, "mnli", seed, {"accuracy": score}, MNLI_m=9796, MNLI_mm=9847, AX=1104)
        for seed, score in ((1, 0.7), (2, 0.6), (7, 0.7))  # the first of equals
    ]
    text = glue_report.write([*mnli, *cola_runs], "base_v2")
    contents = contents_of(tmp_path / "submission.zip")
    assert list(contents) == ["MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv", "CoLA.tsv"]
    seeds = {name: text.splitlines()[-1].split("\t")[1] for name, text in contents.items()}
    assert seeds == {"MNLI-m.tsv": "1", "MNLI-mm.tsv": "1", "AX.tsv": "1", "CoLA.tsv": "2"}
    for name, content in contents.items():
        assert len(content.splitlines()) == 1 + SUBMISSION_SIZES[name]
    assert "  seed 1: MNLI-m.tsv, MNLI-mm.tsv, AX.tsv\n  seed 2: CoLA.tsv\n" in text
    assert "refuse" not in text


def test_a_run_that_diverged_is_submitted_only_if_there_is_no_other(cola_runs, tmp_path):
    diverged = write_run(tmp_path, "cola", 9, None, CoLA=1063)
    text = glue_report.write([diverged, *cola_runs], "base_v2")
    assert "seed 2: CoLA.tsv" in text
    assert "seed 9: CoLA.tsv" in glue_report.write([diverged], "base_v2")


def test_the_same_files_always_give_the_same_compressed_zip_file(cola_runs, tmp_path):
    glue_report.write(cola_runs, "base_v2")
    path = tmp_path / "submission.zip"
    first = path.read_bytes()
    source = tmp_path / "seed2" / "CoLA" / "CoLA.tsv"
    os.utime(str(source), (1e9, 1e9))
    (tmp_path / "seed1" / "CoLA" / "CoLA.tsv").write_text("", encoding="utf-8")
    glue_report.write(cola_runs, "base_v2")
    assert path.read_bytes() == first
    assert len(first) < source.stat().st_size


def test_a_wrong_number_of_predictions_is_reported(tmp_path):
    text = glue_report.write([write_run(tmp_path, "cola", 1, {"matthews_corr": 0.1}, CoLA=101)], "")
    said = " ".join(text.split())
    assert "CoLA.tsv has 101 predictions, GLUE's test set 1063: the server will refuse it." in said


def test_a_wrong_header_is_reported(tmp_path):
    run = write_run(tmp_path, "cola", 1, {"matthews_corr": 0.1}, CoLA=1063)
    path = tmp_path / "seed1" / "CoLA" / "CoLA.tsv"
    path.write_text(path.read_text(encoding="utf-8").replace("index", "id"), encoding="utf-8")
    text = glue_report.write([run], "")
    assert "CoLA.tsv does not start with index<TAB>prediction" in text


def test_files_that_the_submission_lacks_are_named(cola_runs):
    said = " ".join(glue_report.write(cola_runs, "base_v2").split())
    rest = "SST-2.tsv, MRPC.tsv, STS-B.tsv, QQP.tsv, MNLI-m.tsv, MNLI-mm.tsv, QNLI.tsv, RTE.tsv, "
    assert f"A complete submission also needs: {rest}WNLI.tsv, AX.tsv." in said


def test_no_zip_file_is_written_without_predictions(tmp_path):
    text = glue_report.write([write_run(tmp_path, "rte", 1, {"accuracy": 0.5})], "")
    assert "submission.zip is not written" in text
    assert not (tmp_path / "submission.zip").exists()


def test_every_file_of_a_submission_has_a_published_size():
    splits = [split for row in GLUE_ROWS.values() for split in row.splits.values()]
    assert {split.submission for split in splits} - {None} == set(SUBMISSION_SIZES)


def test_published_sizes_are_those_of_the_real_test_sets(shared_data):
    for row in GLUE_ROWS.values():
        for split in row.splits.values():
            path = shared_data / "glue_data" / split.path
            if split.submission and path.exists():
                num_lines = len(path.read_text(encoding="utf-8").splitlines())
                assert num_lines == 1 + SUBMISSION_SIZES[split.submission], split.path
