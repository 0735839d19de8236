"""End-to-end tests of albert.predict: models of every task, from texts, files and pipes."""

import csv
import io
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import runs
import sample_race
import sample_squad
import tiny

from albert import predict
from albert.common.errors import UsageError
from albert.common.tables import Row

WORDS = ("red", "green", "blue", "small", "big", "old", "new")
LABELS = ("blue", "green", "red")  # in their order; a text has those that it names
COMMON = {
    "train_batch_size": 8,
    "learning_rate": 0.003,
    "save_checkpoints_steps": 40,
    "num_gpu_cores": 2,
    "device_type": "cpu",
}


def colours_of(num_rows, seed):
    """Yields texts, with quotation marks, tabs and line ends in them, and the colours they name."""
    generator = random.Random(seed)
    for _ in range(num_rows):
        words = generator.sample(WORDS, generator.randint(1, 5))
        text = "".join(word + generator.choice((" ", ' "', ", ", "\t", " \n")) for word in words)
        yield text, sorted(set(words) & set(LABELS))


def write_csv(path, rows):
    with path.open("w", encoding="utf-8-sig", newline="") as writer:  # with a byte order mark
        table = csv.writer(writer)  # ends lines with CRLF
        table.writerow(["text", "labels"])
        table.writerows((text, "|".join(labels)) for text, labels in rows)


def write_json_lines(path, rows):
    with path.open("w", encoding="utf-8") as writer:
        for number, (text, labels) in enumerate(rows):
            cells = {"note": {"n": number}, "text": text, "labels": labels}
            writer.write(json.dumps(cells) + "\n")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def colours(root):
    """Returns the output_dir of a run that has learnt which colours a text names, and its log."""
    write_csv(root / "train.csv", colours_of(400, "train"))
    write_json_lines(root / "dev.jsonl", colours_of(40, "dev"))
    vocab_size = tiny.write_vocabulary(root, WORDS)
    config = tiny.config(vocab_size=vocab_size, initializer_range=0.2)
    (root / "config.json").write_text(config.to_json_string(), encoding="utf-8")
    values = {
        "albert_config_file": root / "config.json",
        "spm_model_file": root / "30k-clean.model",
        "train_file": root / "train.csv",
        "label_separator": "|",
        "validation_file": root / "dev.jsonl",
        "test_file": root / "dev.jsonl",
        "output_dir": root / "colours",
        "max_seq_length": 48,
        "train_batch_size": 16,
        "train_step": 400,
        "warmup_step": 20,
        "classifier_dropout_prob": 0,
        "save_checkpoints_steps": 100,
    }
    return train("run_multigpus_classifier", values, "do_eval")


def train(runner, values, *switches):
    """Trains with a runner, which must succeed; returns the output_dir."""
    arguments = runs.arguments(dict(COMMON, **values), "do_train", "do_predict", *switches)
    run = runs.in_one_process(runner, {"run": arguments})["run"]
    assert run["status"] == 0, run["stderr"]
    return values["output_dir"]


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(path):
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def start(model_dir, *arguments):
    """Starts the command; its standard streams are pipes of bytes."""
    return subprocess.Popen(
        [sys.executable, "-m", "albert.predict", f"--model_dir={model_dir}", *arguments],
        env=dict(os.environ, PYTHONPATH=str(runs.REPOSITORY)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
def test_a_choice_of_labels_is_learnt_on_two_replicas(colours):
    best = json.loads((colours / "eval_results.json").read_text())["best"]["metrics"]
    assert best["micro_f1"] > 0.95
    settings = json.loads((colours / "eval_results.json").read_text())["settings"]
    assert (settings["labels"], settings["task_type"]) == (list(LABELS), "multi_label")


@pytest.mark.slow
def test_loose_texts_have_the_predictions_of_the_run(colours, root):
    texts = [row["text"] for row in rows_of(root / "dev.jsonl")]
    model = predict.load(str(colours), device_type="cpu")
    found = model.predict(texts)
    header, *expected = table(colours / "test_results.tsv")
    assert header == list(LABELS)
    probabilities = [[each["probabilities"][name] for name in LABELS] for each in found]
    np.testing.assert_allclose(probabilities, np.array(expected, float), atol=1e-6)
    answers = [json.loads(answer) for _, answer in table(colours / "custom_test.tsv")[1:]]
    assert [each["label"] for each in found] == answers
    # Again, with a single text: the graph is there, and batches do not matter.
    (again,) = model.predict([{"text": texts[3]}])
    assert again["label"] == answers[3]
    assert model.predict([]) == []
    with pytest.raises(UsageError, match="^input 1: there is no 'text' among 'txt'"):
        model.predict([texts[0], {"txt": "red"}])


@pytest.mark.slow
def test_a_folder_that_was_moved_is_complete(colours, root):
    shutil.copytree(str(colours), str(root / "elsewhere"))
    for name in ("30k-clean.model", "config.json"):
        (root / name).rename(root / f"{name} away")
    try:
        found = predict.load(str(root / "elsewhere"), device_type="cpu").predict(["red old blue"])
    finally:
        for name in ("30k-clean.model", "config.json"):
            (root / f"{name} away").rename(root / name)
    assert found[0]["label"] == ["blue", "red"]
    shutil.copyfile(str(root / "config.json"), str(root / "elsewhere" / "vocab.txt"))
    (root / "elsewhere" / "spiece.model").unlink()
    with pytest.raises(UsageError):
        predict.load(str(root / "elsewhere"), device_type="cpu")
    (root / "elsewhere" / "vocab.txt").unlink()
    with pytest.raises(UsageError, match="holds no spiece.model or vocab.txt: it must be a run"):
        predict.load(str(root / "elsewhere"))


@pytest.mark.slow
def test_rows_of_a_file_keep_their_order_and_columns(colours, root):
    output = root / "predicted.jsonl"
    process = start(colours, f"--input={root / 'dev.jsonl'}", f"--output={output}")
    stdout, stderr = process.communicate(timeout=300)
    assert (process.returncode, stdout, stderr) == (0, b"", b"")
    found, given = rows_of(output), rows_of(root / "dev.jsonl")
    for name in ("note", "text", "labels"):
        assert [row[name] for row in found] == [row[name] for row in given]
    assert list(found[0]) == ["note", "text", "labels", "label", "probabilities"]


@pytest.mark.slow
def test_a_pipe_is_answered_when_it_pauses(colours):
    process = start(colours, "--input_format=csv")
    process.stdin.write(b"id,label,text\n7,?,a red one\n")
    process.stdin.flush()
    first = json.loads(process.stdout.readline())  # nothing else has been written
    assert (first["id"], first["input_label"], first["label"]) == ("7", "?", ["red"])
    stdout, stderr = process.communicate(b'8,?,"green,\nold"\n9,?\n', timeout=300)
    assert json.loads(stdout.decode())["label"] == ["green"]
    expected = "predict.py: standard input:5: 2 cells found, 3 expected"
    assert stderr.decode().startswith(expected) and stderr.count(b"\n") == 1
    assert process.returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.1", "2.0"])
def test_answers_to_questions(root, version):
    folder = root / f"squad {version}"
    folder.mkdir()
    for split, size in (("train", 20), ("dev", 9)):
        sample_squad.write_squad(folder / f"{split}.json", size, split, version)
    (folder / "vocab.txt").write_text("\n".join(sample_squad.VOCABULARY) + "\n", encoding="utf-8")
    config = tiny.config(vocab_size=len(sample_squad.VOCABULARY), initializer_range=0.2)
    (folder / "config.json").write_text(config.to_json_string(), encoding="utf-8")
    values = {
        "albert_config_file": folder / "config.json",
        "vocab_file": folder / "vocab.txt",
        "train_file": folder / "train.json",
        "predict_file": folder / "dev.json",
        "output_dir": folder / "output",
        "squad_version": version,
        "max_seq_length": 24,
        "doc_stride": 8,
        "num_train_epochs": 4,
    }
    output = train("run_multigpus_squad", values)
    paragraphs = [
        paragraph
        for article in json.loads((folder / "dev.json").read_text())["data"]
        for paragraph in article["paragraphs"]
    ]
    inputs, ids = [], []
    for paragraph in paragraphs:
        for question in paragraph["qas"]:
            inputs.append({"context": paragraph["context"], "question": question["question"]})
            ids.append(question["id"])
    found = predict.load(str(output), device_type="cpu").predict(inputs)
    answers = json.loads((output / "predictions.json").read_text())
    n_best = json.loads((output / "nbest_predictions.json").read_text())
    assert [each["answer"] for each in found] == [answers[name] for name in ids]
    for given, each, name in zip(inputs, found, ids):
        if each["answer"]:
            assert given["context"][each["start"] : each["end"]] == each["answer"]
            assert each["score"] == pytest.approx(n_best[name][0]["probability"], abs=1e-5)
        else:
            assert each["start"] is each["end"] is None
            expected = 1 / (1 + np.exp(-each["null_odds"]))  # the probability of no answer
            assert each["score"] == pytest.approx(expected)
    if version == "2.0":
        odds = json.loads((output / "null_odds.json").read_text())
        assert [each["null_odds"] for each in found] == pytest.approx(
            [odds[name] for name in ids], abs=1e-5
        )


@pytest.mark.slow
def test_options_of_questions(root):
    folder = root / "race"
    folder.mkdir()
    for split, size in (("train", 40), ("dev", 8), ("test", 12)):
        sample_race.write_split(folder / "data", split, size, split)
    vocab_size = tiny.write_vocabulary(folder, sample_race.WORDS)
    config = tiny.config(vocab_size=vocab_size, initializer_range=0.2)
    (folder / "config.json").write_text(config.to_json_string(), encoding="utf-8")
    values = {
        "albert_config_file": folder / "config.json",
        "spm_model_file": folder / "30k-clean.model",
        "data_dir": folder / "data",
        "output_dir": folder / "output",
        "max_seq_length": 64,
        "max_qa_length": 24,
        "train_step": 4,
    }
    output = train("run_multigpus_race", values)
    inputs = []
    for level in ("middle", "high"):
        paths = (folder / f"data/RACE/test/{level}").glob("*.txt")
        for path in sorted(paths, key=lambda path: (len(path.name), path.name)):
            passage = json.loads(path.read_text(encoding="utf-8"))
            for question, options in zip(passage["questions"], passage["options"]):
                cells = {"article": passage["article"], "question": question}
                inputs.append(dict(cells, options=options))
    inputs[0]["options"] = json.dumps(inputs[0]["options"])  # as in a CSV file
    model = predict.load(str(output), device_type="cpu")
    expected = [answer for _, answer in table(output / "submit_results.tsv")[1:]]
    assert [each["label"] for each in model.predict(inputs)] == expected
    with pytest.raises(UsageError, match="^input 0: 'options' must be a JSON list of 4 texts."):
        model.predict([dict(inputs[0], options=["a"])])


# Without a model


@pytest.mark.parametrize(
    ("content", "input_format", "expected"),
    [
        (b'\xef\xbb\xbf{"text": "a"}\n', "auto", ["a"]),
        (b"a\n\nb", "auto", ["a", "", "b"]),
        (b"", "auto", []),
        (b'{"text": "a"}\n', "lines", ['{"text": "a"}']),
        (b"x\ttext\n1\ta\n", "tsv", ["a"]),
    ],
)
def test_the_first_character_of_a_pipe_decides(monkeypatch, content, input_format, expected):
    stdin = io.TextIOWrapper(io.BytesIO(content))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert [row.cells["text"] for row in predict._rows("-", input_format)] == expected


def test_the_ending_of_a_file_decides(tmp_path):
    for name, content in (
        ("a.csv", "text\na\n"),
        ("a.data", "text\na\n"),
        ("b.data", '{"text":1}'),
    ):
        (tmp_path / name).write_text(content)
    found = [
        [row.cells["text"] for row in predict._rows(str(tmp_path / name), "auto")]
        for name in ("a.csv", "a.data", "b.data")
    ]
    assert found == [["a"], ["text", "a"], [1]]


def test_windows_hold_what_has_come_and_no_more_than_fits():
    may_go_on = threading.Event()

    def rows():
        yield from (Row(str(number), {}) for number in range(5))
        may_go_on.wait(60)
        yield Row("5", {})
        raise UsageError("line 7")

    windows = predict._windows(predict._Ahead(rows(), 2), 2)
    found = []
    while len(found) < 5:
        window = next(windows)
        assert 1 <= len(window) <= 2
        found += window
    may_go_on.set()
    with pytest.raises(UsageError, match="line 7"):
        for window in windows:
            found += window
    assert [row.where for row in found] == list("012345")


def test_what_is_read_ahead_is_bounded():
    num_read = 0

    def items():
        nonlocal num_read
        for number in range(1000):
            num_read += 1
            yield number

    ahead = predict._Ahead(items(), 3)
    assert next(ahead) == 0
    time.sleep(0.3)  # in which it would read them all
    assert num_read <= 6
    assert list(ahead) == list(range(1, 1000))
    assert list(ahead) == []  # and again at its end


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_devices": 0}, "^num_devices=0 must be 1 or more.$"),
        ({"batch_size": 0}, "^predict_batch_size=0 must be 1 or more.$"),
    ],
)
def test_a_model_on_no_device_is_refused(tmp_path, settings, message):
    for name in ("run.json", "albert_config.json", "vocab.txt"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=message):
        predict.load(str(tmp_path), **settings)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="^model_dir=.* holds no run.json: it must be a run"):
        predict.load(str(tmp_path))
