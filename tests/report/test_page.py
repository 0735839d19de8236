"""Tests of albert.report.page: the HTML, read as a browser would."""

import random
import re
import shutil
import statistics
import subprocess

import pytest
from html_page import Page
from sample_runs import (
    STEP,
    answered,
    classified,
    labelled,
    scored,
    tagged,
    write_events,
    write_rows,
    write_run,
)

from albert.report import page, runs

EVALUATIONS = {
    10: {"accuracy": 0.5, "loss": 0.75},
    20: {"accuracy": 0.81234567, "loss": 0.5},
    30: {"accuracy": 0.625, "loss": 0.25},
}
ROWS = [classified(i, "no", "yes" if i < 3 else "no") for i in range(8)]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def text_of(*folders):
    return page.render(runs.read(runs.find([str(folder) for folder in folders])))


def page_of(*folders):
    return Page(text_of(*folders))


def row_of(table, name):
    """Returns the cells of the row of a table with a name, without it."""
    (row,) = [cells[1:] for cells in table if cells[0] == name]
    return row


# One run


def test_the_figures_are_those_of_the_record(tmp_path):
    write_run(tmp_path / "CoLA", EVALUATIONS, ROWS)
    found = page_of(tmp_path / "CoLA")
    assert found.headings[0] == (1, "CoLA")
    assert "accuracy 0.8123 best step 20 loss 0.5000" in found.text
    assert found.tables["Every evaluation"] == [
        ["step", "accuracy", "loss"],
        ["10", "0.5000", "0.7500"],
        ["20 best", "0.8123", "0.5000"],
        ["30", "0.6250", "0.2500"],
    ]
    settings = found.tables["Settings, from eval_results.json"]
    assert row_of(settings, "task") == ["CoLA"]
    assert row_of(found.tables["Options of the command, from run.json"], "seed") == ["1"]


def test_the_figures_are_those_of_a_fresh_count(tmp_path):
    drawn = random.Random(0)
    labels = ("contradiction", "entailment", "neutral")
    rows = [
        classified(i, drawn.choice(labels), drawn.choice(labels), drawn.random(), labels)
        for i in range(300)
    ]
    write_run(tmp_path, EVALUATIONS, rows)
    found = page_of(tmp_path)
    pairs = [(row["gold"], row["predicted"]) for row in rows]
    num_right = sum(gold == predicted for gold, predicted in pairs)
    assert f"wrong {300 - num_right} accuracy {num_right / 300:.4f}" in found.text
    matrix = found.tables["Examples by gold label (rows) and predicted label (columns)"]
    scores = found.tables["Each class"]
    for label in labels:
        assert row_of(matrix, label) == [str(pairs.count((label, other))) for other in labels]
        num_hits = pairs.count((label, label))
        support = sum(gold == label for gold, _ in pairs)
        precision = num_hits / sum(predicted == label for _, predicted in pairs)
        recall = num_hits / support
        f1 = 2 * precision * recall / (precision + recall)
        expected = [f"{value:.4f}" for value in (precision, recall, f1)]
        assert row_of(scores, label) == [*expected, str(support)]
    most_confident = max(
        (row for row in rows if row["gold"] != row["predicted"]),
        key=lambda row: row["probabilities"][row["predicted"]],
    )
    (first,) = re.findall(r"come first\. #(\d+) [^.]*\.\d+ [^.]*\.\d+ [^.]*\.\d+ text", found.text)[
        -1:
    ]
    assert int(first) == most_confident["index"]


def test_a_cell_of_errors_links_to_its_examples(tmp_path):
    write_run(tmp_path, EVALUATIONS, ROWS)
    found = page_of(tmp_path)
    links = [value for tag, name, value in found.attributes if (tag, name) == ("a", "href")]
    assert len(links) == 1 and links[0][1:] in found.ids
    assert len(set(found.ids)) == len(found.ids)
    assert "gold no, predicted yes: 3" in found.text


def test_splits_have_sections_of_their_own(tmp_path):
    names = ("dev_matched", "dev_mismatched")
    rows = [classified(i, "no", "yes", split=names[i % 2]) for i in range(4)]
    write_run(tmp_path, EVALUATIONS, rows)
    found = page_of(tmp_path)
    assert [text for level, text in found.headings if level == 3] == list(names)
    assert len(set(found.ids)) == len(found.ids)


@pytest.mark.parametrize(
    ("rows", "texts"),
    [
        ([scored(i, i, i + 0.25 * i) for i in range(3)], ["pearson 1.0000", "#2 gold 2"]),
        ([labelled(0, ["a"], [], 0.5)], ["gold a predicted none", "micro average"]),
        (
            [answered(0, [], "Ann", exact=0), answered(1, ["Bob"], "", 0.25)],
            ["predicted no answer probability 0.2500 F1 0.0000", "Ann met Bob."],
        ),
        ([tagged(0, "Ann sings", "B-PER O", "O O")], ["gold Ann PER sings", "predicted Ann sings"]),
        (
            [classified(0, "A", "B", labels="ABCD", question="Who?", options=["v", "x", "y", "z"])],
            ["question Who?", "option B x", "text text 0"],
        ),
    ],
)
def test_every_kind_of_task_has_a_page(tmp_path, rows, texts):
    write_run(tmp_path, EVALUATIONS, rows)
    found = page_of(tmp_path)
    assert [text for text in texts if text not in found.text] == []


def test_the_predicted_answer_is_marked(tmp_path):
    write_run(tmp_path, EVALUATIONS, [answered(0, ["Bob"], "Ann", text="Then Ann <met> Bob.")])
    assert "Then <mark>Ann</mark> &lt;met&gt; Bob." in text_of(tmp_path)


# What may be missing or strange


def test_a_run_of_an_older_release_says_what_makes_its_predictions(tmp_path):
    write_run(tmp_path, EVALUATIONS)
    text = page_of(tmp_path).text
    assert "There is no dev_predictions.jsonl" in text and "command with --do_eval" in text
    assert "There are neither TensorBoard events" not in text


def test_predictions_of_another_step_than_the_best_are_told(tmp_path):
    write_run(tmp_path, EVALUATIONS, [{**row, "step": 10} for row in ROWS])
    assert f"is of step 10, but the best step is {STEP}." in page_of(tmp_path).text
    write_rows(tmp_path, ROWS)
    assert "but the best step" not in page_of(tmp_path).text


def test_a_run_that_was_never_evaluated_has_a_page(tmp_path):
    (tmp_path / "run.json").write_text('{"settings": {"task_name": "cola"}}')
    found = page_of(tmp_path)
    assert found.headings[0] == (1, "cola")
    assert "There are neither TensorBoard events of the training nor evaluations." in found.text
    assert "The same command with --do_eval (SQuAD: --do_predict) evaluates." in found.text


def test_a_run_that_diverged_has_a_page(tmp_path):
    rows = [classified(0, "no", "yes", None, loss=None), classified(1, "no", "no", None)]
    write_run(tmp_path, {10: {"accuracy": None, "loss": None}}, rows, losses=[float("nan")])
    found = page_of(tmp_path)
    assert found.tables["Every evaluation"][1] == ["10", "–", "–"]
    assert "No evaluation with finite scores" in found.text
    assert "p(no) – p(yes) –" in found.text
    assert "<svg" not in text_of(tmp_path)


def test_of_many_evaluations_the_best_and_the_last_are_shown(tmp_path):
    evaluations = {step: {"accuracy": step % 778 / 778} for step in range(1, 5001)}
    write_run(tmp_path, evaluations)
    (caption,) = [name for name in page_of(tmp_path).tables if name.startswith("Every evaluation")]
    steps = [row[0] for row in page_of(tmp_path).tables[caption]]
    assert {"1", "777 best", "5,000"} <= set(steps) and len(steps) < 210
    assert f"{len(steps) - 1} of 5,000" in caption


def test_500_classes_fit(tmp_path):
    labels = [f"intent {number}" for number in range(500)]
    rows = [classified(i, labels[i], labels[i // 7], labels=labels) for i in range(500)]
    write_run(tmp_path, EVALUATIONS, rows)
    found = page_of(tmp_path)
    (caption,) = [name for name in found.tables if "the 20 classes with most errors" in name]
    assert len(found.tables[caption]) == 22 and found.tables[caption][-1][0] == "480 others"
    assert len(found.tables["Each class"]) == 503


def test_20_000_long_pairs_stay_below_5_mb(tmp_path):
    drawn = random.Random(0)
    labels = ("contradiction", "entailment", "neutral")
    long = "<é & 'x'> " * 200
    rows = [
        classified(
            i,
            drawn.choice(labels),
            drawn.choice(labels),
            drawn.random(),
            labels,
            split=f"dev_{i % 2}",
            text=long,
            text_pair=long,
        )
        for i in range(20_000)
    ]
    write_run(tmp_path, EVALUATIONS, rows)
    assert len(text_of(tmp_path).encode()) < 5_000_000


EVIL = "<script>alert('x')</script>\"&\ud800"


def test_texts_labels_and_names_are_shown_as_they_are(tmp_path):
    folder = tmp_path / "<i>name"
    rows = [classified(0, EVIL, "no", labels=("no", EVIL), text=EVIL, text_pair=EVIL)]
    write_run(folder, EVALUATIONS, rows, task=EVIL, note=[EVIL])
    for folders in ([folder], [folder, write_run(tmp_path / "b", EVALUATIONS, task=EVIL)]):
        text = text_of(*folders)
        assert "<script" not in text and "<i>" not in text
        assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&#34;&amp;\ufffd" in text
        text.encode()
        Page(text)


def test_the_page_fetches_nothing(tmp_path):
    write_run(tmp_path, EVALUATIONS, ROWS, losses=[3.0, 2.0])
    text = text_of(tmp_path)
    assert not re.search(r"https?:|@import|url\(|<link|<script|<img", text)
    links = [
        value for _, name, value in Page(text).attributes if name in ("src", "href", "xlink:href")
    ]
    assert links and all(link.startswith("#") for link in links)


# Several runs


def write_seeds(folder, scores):
    for seed, score in enumerate(scores, 1):
        evaluations = {10: {"accuracy": 0.1, "loss": 1.0}, 20: {"accuracy": score, "loss": 0.5}}
        write_run(folder / f"seed{seed}", evaluations, ROWS, losses=[3.0, 2.0], seed=seed)


def test_runs_stand_side_by_side(tmp_path):
    scores = [0.5, 0.9, 0.7, 0.6, 0.8]
    write_seeds(tmp_path, scores)
    found = page_of(tmp_path)
    table = found.tables["Metrics at the best step of each run, and the settings that differ"]
    assert table[0] == ["run", "best step", "accuracy", "loss", "seed"]
    assert table[1] == ["seed1", "20", "0.5000", "0.5000", "1"]
    assert table[2] == ["seed2 best", "20", "0.9000", "0.5000", "2"]
    (spread,) = [rows for name, rows in found.tables.items() if "nothing but the seed" in name]
    median = f"{statistics.median(scores):.4f}"
    assert spread[1] == ["all", "1, 2, 3, 4, 5", "5", f"{median} 0.5000 to 0.9000"] + [
        "0.5000 0.5000 to 0.5000"
    ]
    assert (2, "Predictions of seed2") in found.headings


def test_the_curves_of_runs_are_in_one_chart_with_their_colours(tmp_path):
    write_seeds(tmp_path, [0.5, 0.6])
    text = text_of(tmp_path)
    assert text.count("<svg") == 2
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        strokes = set(re.findall(r"stroke: (hsl\([^;\"]*\))", svg))
        assert len(strokes) == 2
        assert all(
            f'<span class="swatch" style="background: {colour}">' in text for colour in strokes
        )


def test_runs_of_different_tasks_are_apart(tmp_path):
    write_run(tmp_path / "CoLA", EVALUATIONS, ROWS)
    write_run(tmp_path / "RTE", EVALUATIONS, task="RTE")
    write_run(
        tmp_path / "STS-B", {20: {"pearson": 0.5}}, [scored(0, 1, 2)], "pearson", task="STS-B"
    )
    write_events(tmp_path / "RTE", [2.0])
    found = page_of(tmp_path)
    assert found.headings[0] == (1, "3 tasks")
    assert [text for level, text in found.headings if level == 2] == ["CoLA", "RTE", "STS-B"]
    assert len(set(found.ids)) == len(found.ids)


def test_headings_leave_out_no_level(tmp_path):
    write_seeds(tmp_path / "seeds", [0.5, 0.6])
    names = ("dev_matched", "dev_mismatched")
    rows = [classified(i, "no", "yes", split=names[i % 2]) for i in range(4)]
    write_run(tmp_path / "other", EVALUATIONS, rows, task="MNLI")
    levels = [level for level, _ in page_of(tmp_path).headings]
    assert levels[0] == 1 and max(levels) == 4
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))


# In a browser

FRAME = """<!DOCTYPE html><iframe id="frame" src="%s" style="width: %dpx; height: 900px"></iframe>
<script>
onload = () => {
  const inner = frame.contentDocument, width = inner.documentElement.scrollWidth;
  const cell = inner.querySelector(".confusion a");
  cell.click();
  setTimeout(() => {
    const opened = inner.querySelector(cell.getAttribute("href")).closest("details").open;
    document.title = `${width} ${opened}`;
  }, 500);
};
</script>"""


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
@pytest.mark.parametrize("width", [375, 1280])
def test_a_browser_never_scrolls_sideways_and_links_open_examples(tmp_path, width):
    labels = [f"a label with a long name, number {number}" for number in range(12)]
    rows = [
        classified(i, labels[i % 12], labels[i % 5], labels=labels, text="w" * 900)
        for i in range(60)
    ]
    long_name = "a-folder-with-a-very-long-name-" * 4
    for seed in (1, 2):
        folder = tmp_path / f"{long_name}{seed}"
        metrics = {f"a_metric_with_a_long_name_{number}": 0.5 for number in range(9)}
        evaluations = {20: {"accuracy": 0.5, **metrics}}
        write_run(folder, evaluations, rows, losses=[2.0, 1.0], seed=seed, path="p/" * 200)
    (tmp_path / "page.html").write_text(text_of(tmp_path), encoding="utf-8")
    (tmp_path / "frame.html").write_text(FRAME % ("page.html", width))
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--hide-scrollbars",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--allow-file-access-from-files",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=5000",
            "--dump-dom",
            f"file://{tmp_path}/frame.html",
        ],
        capture_output=True,
        timeout=120,
    )
    assert f"<title>{width} true</title>" in done.stdout.decode()
