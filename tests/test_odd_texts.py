"""Texts of every odd kind, in inputs, labels and ids, through whole runs of every task.

None of them may become a special token, and every results file must give back its rows.
"""

import json
import re

import numpy as np
import pytest
import runs
import sample_race
import tensorflow.compat.v1 as tf
import tiny

from albert.tokenization import FullTokenizer

pytestmark = pytest.mark.slow

TEXTS = [
    "[CLS] [SEP] [MASK] [PAD] [UNK]",
    "a<pad><unk>b</s>",
    "\u2581 \u2581a",
    "a\tb\nc\r\nd\x0be\x0cf",
    "\x00\x01\x1b[31m\x1c\x85\u2028\u2029",
    "a \ud800 b\udfff",
    '=1+1,"@SUM(A1)"',
    '"a"',
    "\u202eabc\u200f\u2066 \u05d0 \ufeff",
    "<script>alert('$x$')</script> \\ %s {a}",
    "\u4e2d\u6587 \u00e9\u0301 \U0001f600",
]
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ("a", "b", "c", "cls", "sep", "pad", "[", "]", "<", ">", "##a", "##b")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Returns a folder with both vocabularies and their configurations."""
    folder = tmp_path_factory.mktemp("odd")
    sizes = {"spm": tiny.write_vocabulary(folder, ["hello", "world", "abc", "clsep"])}
    (folder / "vocab.txt").write_text("\n".join([*SPECIALS, *WORDS]) + "\n", encoding="utf-8")
    sizes["wordpiece"] = len(SPECIALS) + len(WORDS)
    for name, size in sizes.items():
        text = tiny.config(vocab_size=size, max_position_embeddings=256).to_json_string()
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    return folder


def run(root, runner, tokenizer, name="", **values):
    """Trains for a step or two, evaluates and predicts; returns the output_dir."""
    output = root / f"{runner} {tokenizer} {name}"
    vocabulary = {"spm": {"spm_model_file": root / "30k-clean.model"}}
    common = {
        "albert_config_file": root / f"{tokenizer}.json",
        "output_dir": output,
        "max_seq_length": 200,
        "train_batch_size": 4,
        **({"num_train_epochs": 1} if "squad" in runner else {"train_step": 1}),
        "device_type": "cpu",
        **vocabulary.get(tokenizer, {"vocab_file": root / "vocab.txt"}),
    }
    switches = ["do_train", "do_predict", *([] if "squad" in runner else ["do_eval"])]
    command = runs.arguments({**common, **values}, *switches)
    done = runs.in_one_process(f"run_multigpus_{runner}", {"run": command})["run"]
    assert done["status"] == 0, done["stderr"]
    assert runs.foreign_lines(done["stderr"]) == []
    check_tokens(output, tokenizer, common)
    check_files(output)
    return output


def check_tokens(output, tokenizer, flags):
    """Checks that special tokens are only where sequences begin and end."""
    opened = FullTokenizer(
        str(flags["vocab_file"]) if "vocab_file" in flags else None,
        spm_model_file=str(flags["spm_model_file"]) if tokenizer == "spm" else None,
    )
    (path,) = output.glob("*_train_*.tf_record")
    num_found = 0
    for record in tf.io.tf_record_iterator(str(path)):
        features = tf.train.Example.FromString(record).features.feature
        ids = np.array(features["input_ids"].int64_list.value)
        segments = np.array(features["segment_ids"].int64_list.value)
        lengths = features["input_ids/lengths"].int64_list.value or [len(ids)]
        assert not set(ids) & {opened.pad_id, opened.mask_id}
        for sequence, parts in zip(*(np.split(x, np.cumsum(lengths)) for x in (ids, segments))):
            if len(sequence):
                assert np.flatnonzero(sequence == opened.cls_id).tolist() == [0]
                ends = [*np.flatnonzero(np.diff(parts)), len(parts) - 1]
                assert np.flatnonzero(sequence == opened.sep_id).tolist() == ends
                num_found += 1
    assert num_found >= len(TEXTS)


def check_files(output):
    """Checks that what a run leaves can be read line by line, however lines are told apart."""
    record = json.loads((output / "eval_results.json").read_text(encoding="utf-8"))
    lines = (output / "eval_results.txt").read_text(encoding="utf-8").splitlines()
    metrics = dict(line.split(" = ") for line in lines if " = " in line)
    best = record["evaluations"][-1]["metrics"]
    assert {name: float(metrics[name]) for name in best} == pytest.approx(best, nan_ok=True)
    is_known = re.compile(r"=+( \w+ =+)?|.+ = \S+|.+: .*|saved .*").fullmatch
    assert all(map(is_known, lines))
    assert runs.report_on(output).rstrip().endswith("</html>")


def json_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(path):
    """Returns the cells of a TSV file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [[cell(each) for each in line.split("\t")] for line in lines]


def cell(text):
    """Returns the text of a cell, which may be a JSON string."""
    return json.loads(text) if text.startswith('"') else text


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("tokenizer", ["spm", "wordpiece"])
def test_classification(root, tokenizer):
    rows = [{"text": text, "text_pair": text, "label": text} for text in TEXTS] * 2
    data = write_lines(root / "classes.jsonl", rows)
    files = dict.fromkeys(("train_file", "validation_file", "test_file"), data)
    output = run(root, "classifier", tokenizer, task_name="odd", **files)
    header, *probabilities = table(output / "test_results.tsv")
    assert sorted(header) == sorted(TEXTS)
    assert {len(row) for row in probabilities} == {len(TEXTS)} and len(probabilities) == len(rows)
    for name in ("submit_results.tsv", "odd_test.tsv"):
        first, *found = table(output / name)
        assert first == ["index", "prediction"]
        assert [index for index, _ in found] == [str(number) for number in range(len(rows))]
        assert {label for _, label in found} <= set(TEXTS)
    predicted = json_lines(output / "dev_predictions.jsonl")
    assert [[row["text"], row["text_pair"], row["gold"]] for row in predicted] == [
        list(row.values()) for row in rows
    ]
    assert set(predicted[0]["probabilities"]) == set(TEXTS)


def test_any_number_of_labels(root):
    rows = [{"text": text, "labels": TEXTS[: number + 1]} for number, text in enumerate(TEXTS)]
    data = write_lines(root / "labels.jsonl", rows)
    files = dict.fromkeys(("train_file", "validation_file", "test_file"), data)
    output = run(root, "classifier", "wordpiece", task_name="sets", name="sets", **files)
    _, *answers = table(output / "sets_test.tsv")
    assert {label for _, found in answers for label in json.loads(found)} <= set(TEXTS)
    predicted = json_lines(output / "dev_predictions.jsonl")
    assert [row["gold"] for row in predicted] == [
        [text for text in sorted(TEXTS) if text in row["labels"]] for row in rows
    ]


@pytest.mark.parametrize("version", ["1.1", "2.0"])
def test_squad(root, version):
    questions = [
        {"id": text, "question": text, "answers": [{"text": "Ann", "answer_start": 0}]}
        for text in TEXTS
    ]
    for question in questions if version == "2.0" else []:
        question["is_impossible"] = False
    paragraph = {"context": "Ann " + " ".join(TEXTS), "qas": questions}
    path = root / f"squad{version}.json"
    path.write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}), encoding="utf-8")
    output = run(
        root,
        "squad",
        "spm" if version == "1.1" else "wordpiece",
        squad_version=version,
        train_file=path,
        predict_file=path,
    )
    names = ["predictions.json", "nbest_predictions.json"]
    for name in names + ["null_odds.json"] * (version == "2.0"):
        text = (output / name).read_text(encoding="utf-8")
        assert list(json.loads(text)) == TEXTS
    found = json_lines(output / "dev_predictions.jsonl")
    assert [(row["id"], row["question"], row["text"]) for row in found] == [
        (text, text, paragraph["context"]) for text in TEXTS
    ]


def test_race(root):
    for split in ("train", "dev", "test"):
        for number, text in enumerate(TEXTS):
            passage = {
                "id": text,
                "article": text,
                "questions": [text],
                "options": [[text] * 4],
                "answers": ["A"],
            }
            folder = root / "data" / "RACE" / split / sample_race.LEVELS[number % 2]
            sample_race.write_passage(folder, f"{number}.txt", passage)
    values = {"data_dir": root / "data", "max_qa_length": 64, "max_seq_length": 128}
    output = run(root, "race", "spm", **values)
    ids = [identifier[:-2] for identifier, _ in table(output / "submit_results.tsv")[1:]]
    assert sorted(set(ids)) == sorted(TEXTS)
    assert len(table(output / "test_results.tsv")) == len(ids)
    found = json_lines(output / "dev_predictions.jsonl")
    assert {(row["text"], row["question"], row["options"][3]) for row in found} == {
        (text, text, text) for text in TEXTS
    }


def test_tagging(root):
    rows = [{"tokens": [text, "a"], "tags": [f"B-{text}", "O"]} for text in TEXTS] * 2
    data = write_lines(root / "tags.jsonl", rows)
    files = dict.fromkeys(("train_file", "validation_file", "test_file"), data)
    output = run(root, "tagging", "wordpiece", **files)
    lines = (output / "test_predictions.conll").read_text(encoding="utf-8").splitlines()
    assert lines[2::3] == [""] * len(rows)
    found = [[cell(each) for each in line.split("\t")] for line in lines[::3]]
    assert [(token, tag) for token, tag, _ in found] == [
        (row["tokens"][0], row["tags"][0]) for row in rows
    ]
    predicted = json_lines(output / "dev_predictions.jsonl")
    assert [[row["tokens"], row["gold"]] for row in predicted] == [list(r.values()) for r in rows]
