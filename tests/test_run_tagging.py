"""End-to-end tests of the tagging runner, in processes of their own."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import runs
import sample_tagging
import tiny
from seqeval import metrics as seqeval_metrics

from albert import predict
from albert.common import tables

pytestmark = pytest.mark.slow

MISTAKES = {  # flags, and what the message must say
    "no files": (
        {"train_file": None, "validation_file": None, "test_file": None},
        "--train_file is required.",
    ),
    "missing": ({"train_file": "none.conll"}, "none.conll: No such file or directory."),
    "uneven": ({"train_file": "uneven.conll"}, "uneven.conll:2: 1 columns found, 2 expected"),
    "unknown tag": ({"validation_file": "odd.conll"}, "odd.conll:3: tag 'B-ORG' is not one of 'O'"),
    "not UTF-8": ({"train_file": "latin.conll"}, "latin.conll is not UTF-8 text: byte 0 (line 1)"),
    "no recipe": ({"recipe": "true"}, "--recipe: no settings are published for 'tagging'"),
    "another metric": ({"best_metric": "f2"}, "--best_metric=f2 must be one of precision, recall"),
    "too short": ({"max_seq_length": 2}, "--max_seq_length=2"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Returns a folder with data, vocabulary and configuration."""
    folder = tmp_path_factory.mktemp("tagging runs")
    sample_tagging.write_conll(folder / "train.conll", sample_tagging.sentences(150, "train"))
    sample_tagging.write_conll(folder / "dev.txt", sample_tagging.sentences(40, "dev"), "\t")
    tokens, tags = zip(*sample_tagging.sentences(500, "long"))
    long = ([each for some in tokens for each in some], [each for some in tags for each in some])
    odd = (["Anna", "🙂", '"', "Oslo\u00a0", "\u200b"], ["B-PER", "O", "O", "B-LOC", "O"])
    found = [*sample_tagging.sentences(20, "test"), tuple(each[:2000] for each in long), odd]
    sample_tagging.write_json_lines(folder / "test.jsonl", found)
    (folder / "uneven.conll").write_text("a O\nb\n", encoding="utf-8")
    (folder / "odd.conll").write_text("a O\n\nb B-ORG\n", encoding="utf-8")
    (folder / "latin.conll").write_bytes("é O\n".encode("latin-1"))
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sample_tagging.WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    config = tiny.config(vocab_size=len(vocabulary), initializer_range=0.2)
    (folder / "config.json").write_text(config.to_json_string(), encoding="utf-8")
    return folder


def command(root, *switches, **changes):
    """Returns the arguments of a run; a flag changed to None is left out."""
    values = {
        "albert_config_file": root / "config.json",
        "vocab_file": root / "vocab.txt",
        "train_file": root / "train.conll",
        "validation_file": root / "dev.txt",
        "test_file": root / "test.jsonl",
        "output_dir": root / "output",
        "max_seq_length": 48,
        "train_batch_size": 8,
        "train_step": 300,
        "warmup_step": 30,
        "learning_rate": 0.003,
        "classifier_dropout_prob": 0,
        "save_checkpoints_steps": 100,
        "num_gpu_cores": 2,
        "device_type": "cpu",
    }
    values.update(changes)
    return runs.arguments(values, *switches)


@pytest.fixture(scope="module")
def trained(root):
    """Returns the run that trains on two replicas, evaluates and predicts, and the mistakes."""
    commands = {
        name: command(
            root,
            "do_train",
            "do_eval",
            **dict(
                {"output_dir": root / "refused"},
                **{
                    flag: root / value if str(value).endswith(".conll") else value
                    for flag, value in changes.items()
                },
            ),
        )
        for name, (changes, _) in MISTAKES.items()
    }
    commands["run"] = command(root, "do_train", "do_eval", "do_predict")
    alone = {"num_gpu_cores": 1, "train_file": None, "predict_output_dir": root / "alone"}
    commands["alone"] = command(root, "do_predict", **alone)
    return runs.in_one_process("run_multigpus_tagging", commands)


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_run_prints_only_our_log(trained):
    assert trained["run"]["status"] == 0, trained["run"]["stderr"]
    assert runs.foreign_lines(trained["run"]["stderr"]) == []


def test_entities_are_memorised_on_two_replicas(root, trained):
    best = json.loads((root / "output" / "eval_results.json").read_text())["best"]["metrics"]
    assert best["f1"] > 0.95
    rows = rows_of(root / "output" / "dev_predictions.jsonl")
    gold, predicted = ([row[name] for row in rows] for name in ("gold", "predicted"))
    assert best["f1"] == pytest.approx(seqeval_metrics.f1_score(gold, predicted))
    right = [one == other for pair in zip(gold, predicted) for one, other in zip(*pair)]
    assert best["accuracy"] == pytest.approx(np.mean(right))
    losses = [row["loss"] for row in rows]
    mean = np.average(losses, weights=[len(each) for each in gold])
    assert best["loss"] == pytest.approx(mean, rel=1e-5)
    assert rows[0]["tokens"] == ["-DOCSTART-"]


def test_the_report_shows_the_scores_of_the_run(root, trained):
    best = json.loads((root / "output" / "eval_results.json").read_text())["best"]["metrics"]
    text = runs.report_on(root / "output")
    for name in ("f1", "precision", "recall", "accuracy", "recall_PER", "precision_LOC"):
        assert f">{best[name]:.4f}<" in text


def test_every_token_of_the_test_file_comes_back_with_a_tag(root, trained):
    path = root / "output" / "test_predictions.conll"
    found = list(tables.read_table(str(path), "input"))
    given = rows_of(root / "test.jsonl")
    assert [row.cells["tokens"] for row in found] == [row["tokens"] for row in given]
    assert [len(row["tokens"]) for row in given][20] == 2000
    predicted, gold = ([row.cells["tags"] for row in found], [row["tags"] for row in given])
    assert seqeval_metrics.f1_score(gold[:21], predicted[:21]) > 0.95
    line = path.read_text(encoding="utf-8").split("\n")[0].split(" ")
    assert line[:2] == [given[0]["tokens"][0], given[0]["tags"][0]] and len(line) == 3


def test_one_device_predicts_what_two_predict(root, trained):
    assert trained["alone"]["status"] == 0, trained["alone"]["stderr"]
    one, two = (
        (root / name / "test_predictions.conll").read_bytes() for name in ("alone", "output")
    )
    assert one == two


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_ends_in_one_line_and_status_1(trained, name):
    run = trained[name]
    (line,) = runs.foreign_lines(run["stderr"])
    assert MISTAKES[name][1] in line and run["status"] == 1


def test_loose_sentences_have_the_tags_of_the_run(root, trained):
    model = predict.load(str(root / "output"), device_type="cpu")
    given = rows_of(root / "test.jsonl")
    expected = list(
        tables.read_table(str(root / "output" / "test_predictions.conll"), "input", "conll")
    )
    found = model.predict([{"tokens": row["tokens"]} for row in given])
    assert [each["tags"] for each in found] == [row.cells["tags"] for row in expected]
    (text,) = model.predict(["The Anna  Brown saw Rome."])
    assert text["tokens"] == ["The", "Anna", "Brown", "saw", "Rome", "."]
    places = [(each["type"], each["text"], each["start"]) for each in text["entities"]]
    assert places == [("PER", "Anna  Brown", 4), ("LOC", "Rome", 20)]


def test_a_pipe_of_conll_is_tagged(root, trained):
    finished = subprocess.run(
        [sys.executable, "-m", "albert.predict", f"--model_dir={root / 'output'}"]
        + ["--input_format=conll"],
        env=dict(os.environ, PYTHONPATH=str(runs.REPOSITORY)),
        input=b"the O\nanna O\n\nsaw O\noslo O\n",
        capture_output=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    rows = [json.loads(line) for line in finished.stdout.decode().splitlines()]
    assert [row["tags"] for row in rows] == [["O", "B-PER"], ["O", "B-LOC"]]
    assert [row["tokens"] for row in rows] == [["the", "anna"], ["saw", "oslo"]]
    assert rows[0]["input_tags"] == ["O", "O"]
