"""Tests of SQuAD as a task: features, answers, scores and result files."""

import json
import logging
import math

import numpy as np
import pytest
from sample_squad import one_question, predictions_of, write_json

from albert import squad_utils, tokenization
from albert.common.errors import UsageError
from albert.engine import input_pipeline
from albert.engine.task import Change, Setting

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] who sings what is it ann bob and a song the old".split()
CONTEXT = "Ann sings the  old song and Bob"  # two spaces
#          0   4     10   15  19   24  28


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("squad") / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return tokenization.FullTokenizer(str(path))


def row(identifier, answer=None, begin=0, **more):
    answers = [] if answer is None else [{"text": answer, "answer_start": begin}]
    return dict({"id": identifier, "question": "Who sings?", "answers": answers}, **more)


@pytest.fixture
def make_task(tokenizer, tmp_path):
    """Returns a function of (rows, split, settings): the SquadTask of one paragraph."""

    def made(rows, split="predict", **settings):
        data = {"data": [{"paragraphs": [{"context": CONTEXT, "qas": rows}]}]}
        path = tmp_path / f"{split}.json"
        path.write_text(json.dumps(data), encoding="utf-8")
        return squad_utils.SquadTask(
            tokenizer, squad_utils.SquadSettings(**settings), **{f"{split}_file": str(path)}
        )

    return made


def test_training_features_point_at_the_answer(make_task):
    (feature,) = make_task([row("q", "old song", 15)], "train").features("train")
    tokens = [WORDS[index] for index in feature["input_ids"]]
    assert tokens[feature["start_positions"] : feature["end_positions"] + 1] == ["old", "song"]
    assert feature["is_impossible"] == 0


def test_training_windows_without_the_answer_point_at_cls_and_are_impossible(make_task):
    task = make_task([row("q", "Ann")], "train", max_seq_length=10, doc_stride=3)
    found = [
        (feature["start_positions"], feature["is_impossible"]) for feature in task.features("train")
    ]
    assert found[0][1] == 0 and found[0][0] > 0
    assert found[1:] == [(0, 1)] * (len(found) - 1) and len(found) > 1


def test_questions_whose_answer_is_elsewhere_are_counted_and_left_out(make_task, caplog):
    wrong = [("Ann", 3), ("Bob", -3), ("", 0), (" ", 3), ("Bob!", 28)]
    rows = [row(f"bad{number}", *answer) for number, answer in enumerate(wrong)]
    task = make_task([*rows, row("good", "Bob", 28)], "train")
    with caplog.at_level(logging.WARNING):
        assert len(list(task.features("train"))) == 1
    assert "5 questions are left out" in caplog.text and ": bad0, bad1, bad2, ..." in caplog.text


@pytest.mark.parametrize(
    "rows, message",
    [
        ([row("q1")], "question q1 has no answer"),
        ([row("q1", is_impossible=True)], "squad_version=2.0 is for such files"),
    ],
)
def test_training_file_that_does_not_fit_is_refused(make_task, rows, message):
    with pytest.raises(UsageError, match=message):
        make_task(rows, "train")


@pytest.mark.parametrize("split", ["train", "predict"])
def test_both_files_are_read_when_the_task_is_made(tokenizer, tmp_path, split):
    whole = write_json(tmp_path / "squad.json", one_question())
    paths = {"train_file": whole, "predict_file": whole, f"{split}_file": "none.json"}
    with pytest.raises(UsageError, match=f"{split}_file=none.json: No such file or directory"):
        squad_utils.SquadTask(tokenizer, squad_utils.SquadSettings(), **paths)


def test_file_without_answers_is_not_scored(make_task):
    assert make_task([row("q")]).dev_splits == ()
    assert make_task([row("q", "Ann")]).dev_splits == ("predict",)


@pytest.mark.parametrize("name", ["doc_stride", "n_best_size", "start_n_top"])
def test_setting_below_1_is_refused(make_task, name):
    with pytest.raises(UsageError, match=f"{name}=0 must be 1 or more"):
        make_task([row("q")], **{name: 0})


def pointing_at(first, last, length=14):
    """Returns what a model predicts that is sure of tokens first to last of the context."""
    offset = 5  # [CLS] who sings [UNK] [SEP]: the question mark is not in the vocabulary
    starts, ends = np.zeros([length]), np.zeros([length])
    starts[offset + first] = ends[offset + last] = 9.0
    return {"start_logits": starts, "end_logits": ends}


def test_answers_of_version_1_are_written_and_scored(make_task, tmp_path):
    task = make_task([row("q1", "old song", 15), row("q2", "Bob", 28)])
    predictions = predictions_of(task, [pointing_at(3, 4), pointing_at(0, 0)])
    assert task.evaluate(predictions) == {"exact_match": 50.0, "f1": 50.0}
    paths = task.write_predictions(predictions, str(tmp_path))
    assert [path[len(str(tmp_path)) + 1 :] for path in paths] == [
        "predictions.json",
        "nbest_predictions.json",
    ]
    best, n_best = (json.loads(open(path, encoding="utf-8").read()) for path in paths)
    assert best == {"q1": "old song", "q2": "Ann"}
    assert n_best["q1"][0]["text"] == "old song"
    assert sum(answer["probability"] for answer in n_best["q1"]) == pytest.approx(1.0)


def test_of_the_first_questions_alone_features_answers_and_scores_are_made(make_task, tmp_path):
    rows = [row("q1", "old song", 15), row("q2", "Bob", 28), row("q3", "Bob", 28)]
    task = make_task(rows)
    task.max_samples = {"predict": 2}
    predictions = predictions_of(task, [pointing_at(3, 4), pointing_at(0, 0)])
    assert task.evaluate(predictions) == {"exact_match": 50.0, "f1": 50.0}
    best, _ = task.write_predictions(predictions, str(tmp_path))
    assert json.loads(open(best, encoding="utf-8").read()) == {"q1": "old song", "q2": "Ann"}


def beams_at(first, last, null=-1.0):
    """Returns what a model predicts whose only span is tokens first to last of the context."""
    beams = {"start_index": [5 + first], "start_log_probs": [-0.1]}
    return dict(beams, end_index=[[5 + last]], end_log_probs=[[-0.1]], null_logits=null)


def test_question_that_sets_the_threshold_is_answered(make_task, tmp_path):
    rows = [row("q1", "Ann"), row("q2", is_impossible=True), row("q3", "Bob", 28)]
    task = make_task(rows, squad_version="2.0")
    outputs = [beams_at(0, 0, -2.0), beams_at(1, 1, 3.0), beams_at(6, 6, 1.5)]
    predictions = predictions_of(task, outputs)
    scores = task.evaluate(predictions)
    assert (scores["exact"], scores["f1"], scores["best_f1_thresh"]) == (100.0, 100.0, 1.5)
    paths = task.write_predictions(predictions, str(tmp_path))
    best, _, odds = (json.loads(open(path, encoding="utf-8").read()) for path in paths)
    assert best == {"q1": "Ann", "q2": "", "q3": "Bob"}
    assert odds == {"q1": -2.0, "q2": 3.0, "q3": 1.5}


@pytest.mark.parametrize(
    "answer, metrics, expected, source",
    [
        (
            "Ann",
            {"best_f1_thresh": 2.0},
            {"q1": "Ann", "q2": "sings"},
            "2.0 mean no answer: chosen when",
        ),
        (
            None,
            {"best_f1_thresh": 2.0},
            {"q1": "Ann", "q2": "sings"},
            "2.0 mean no answer: chosen when",
        ),
        ("Ann", None, {"q1": "Ann", "q2": ""}, "1.5 mean no answer: chosen by this file's own"),
        (None, None, {"q1": "", "q2": ""}, "0.0 mean no answer: because none is known"),
        (None, {"best_f1_thresh": float("nan")}, {"q1": "", "q2": ""}, "because none is known"),
        (None, {"f1": 80.0}, {"q1": "", "q2": ""}, "because none is known"),
    ],
)
def test_threshold_of_the_checkpoint_comes_before_that_of_the_file(
    make_task, tmp_path, caplog, answer, metrics, expected, source
):
    task = make_task([row("q1", answer), row("q2", is_impossible=True)], squad_version="2.0")
    predictions = predictions_of(task, [beams_at(0, 0, 1.5), beams_at(1, 1, 2.0)])
    with caplog.at_level(logging.INFO):
        (path, *_) = task.write_predictions(predictions, str(tmp_path), metrics)
    assert json.loads(open(path, encoding="utf-8").read()) == expected
    assert source in caplog.text and caplog.text.count("mean no answer") == 1


def test_null_odds_are_those_of_the_window_that_is_surest_of_an_answer(make_task, tmp_path):
    task = make_task([row("q", "Ann")], squad_version="2.0", max_seq_length=12, doc_stride=3)
    predictions = predictions_of(task, [beams_at(0, 0, -2.0), beams_at(0, 0, 3.0)])
    (*_, path) = task.write_predictions(predictions, str(tmp_path))
    assert json.loads(open(path, encoding="utf-8").read()) == {"q": -2.0}


@pytest.mark.parametrize("version, output_at", [("1.1", pointing_at), ("2.0", beams_at)])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_predictions_that_are_not_finite_score_nan_and_are_written_as_null(
    make_task, tmp_path, version, output_at, value
):
    rows = [row("q1", "Ann"), row("q2", "Ann")]
    task = make_task(rows, squad_version=version, max_seq_length=12, doc_stride=3)
    outputs = [output_at(0, 0) for _ in range(4)]
    outputs[3] = {name: np.full_like(found, value, float) for name, found in outputs[3].items()}
    if version == "2.0":
        outputs[3].update(start_index=[5], end_index=[[5]])
    predictions = predictions_of(task, outputs)
    scores = task.evaluate(predictions)
    assert "f1" in scores and all(np.isnan(score) for score in scores.values())
    paths = task.write_predictions(predictions, str(tmp_path))
    best, n_best, *_ = (
        json.loads(open(path, encoding="utf-8").read(), parse_constant=pytest.fail)
        for path in paths
    )
    nothing = {"1.1": "empty", "2.0": ""}[version]
    assert best == {"q1": "Ann", "q2": nothing}
    assert n_best["q2"] == [{"text": nothing, "probability": None, "score": None}]


def test_ids_that_are_no_plain_text_come_back_from_the_result_files(make_task, tmp_path, caplog):
    names = ["\ud83d", "a\tb\r\nc", "\u2028"]
    task = make_task([row(name, "Ann") for name in names], squad_version="2.0")
    predictions = predictions_of(task, [beams_at(0, 0)] * 3)
    for path in task.write_predictions(predictions, str(tmp_path)):
        assert list(json.loads(open(path, encoding="utf-8").read())) == names
    task = make_task([row("good", "Ann"), *(row(name, "Bob") for name in names)], "train")
    list(task.features("train"))
    assert r": '\ud83d', 'a\tb\r\nc', '\u2028'." in caplog.text


def test_all_that_scores_depend_on_is_recorded_and_compared(make_task):
    task = make_task([row("q", "Ann")], max_answer_length=7)
    recorded = task.settings()
    assert recorded["task"] == "SQuAD 1.1"
    assert (recorded["max_answer_length"], recorded["n_best_size"]) == (7, 20)
    compared = task.run_settings()
    assert compared["squad_version"].change is Change.REFUSED
    for name in ("max_answer_length", "n_best_size", "start_n_top", "end_n_top", "doc_stride"):
        assert compared[name] == Setting(recorded[name], Change.WARNED, f"<{name}>")


def test_a_file_is_scored_with_the_threshold_of_the_checkpoint_if_there_is_one(make_task):
    # Both answers are right, and only a threshold of 3 or more gives both.
    task = make_task([row("a", "Ann"), row("b", "Ann")], squad_version="2.0")
    predictions = predictions_of(task, [beams_at(0, 0, -1.0), beams_at(0, 0, 3.0)])
    assert task.evaluate(predictions)["f1"] == 100.0
    assert task.evaluate(predictions, {"best_f1_thresh": 0.0})["f1"] == 50.0
    assert task.evaluate(predictions, {"best_f1_thresh": math.nan})["f1"] == 100.0


@pytest.mark.parametrize("version, expected", [("1.1", "empty"), ("2.0", "")])
def test_question_without_any_span_has_the_answer_of_the_original(
    make_task, tmp_path, version, expected
):
    task = make_task([row("q1", "Ann")], squad_version=version, n_best_size=1)
    found = beams_at(-5, -5, -1.0) if version == "2.0" else pointing_at(-5, -5)
    (path, *_) = task.write_predictions(predictions_of(task, [found]), str(tmp_path))
    assert json.loads(open(path, encoding="utf-8").read()) == {"q1": expected}


@pytest.mark.parametrize("version, output_at", [("1.1", pointing_at), ("2.0", beams_at)])
def test_evaluation_neither_tokenizes_nor_starts_processes(
    make_task, tmp_path, monkeypatch, version, output_at
):
    settings = dict(squad_version=version, max_seq_length=12, doc_stride=3)
    # Two windows each, of six tokens of the context and of four.
    questions = [row("q1", "Bob", 28), row("q2", "Ann", 0)]
    task = make_task(questions, **settings)
    feature_file = input_pipeline.cached_features(
        str(tmp_path), "squad", task.fingerprint("predict"), lambda: task.features("predict")
    )
    ((positions, batch),) = input_pipeline.read_batches(feature_file, task.feature_spec(), 4)
    rows = [dict(zip(batch, values)) for values in zip(*batch.values())]
    rows = [rows[index] for index in np.argsort(positions)]

    def refuse(*_):
        raise AssertionError("the features hold all that decoding needs")

    for name in ("tokenize", "encode", "encode_batch"):
        monkeypatch.setattr(tokenization.FullTokenizer, name, refuse)
    monkeypatch.setattr(squad_utils.parallel, "ordered_map", refuse)
    task = make_task(questions, **settings)  # as in another process, which finds the features
    # Only [CLS] in the windows without the answer.
    spans = [(-5, -5), (3, 3), (0, 0), (-5, -5)]
    predictions = {"predict": [dict(held, **output_at(*span)) for held, span in zip(rows, spans)]}
    assert task.evaluate(predictions)["f1"] == 100.0
    (path, *_) = task.write_predictions(predictions, str(tmp_path))
    assert json.loads(open(path, encoding="utf-8").read()) == {"q1": "Bob", "q2": "Ann"}


def test_only_features_to_predict_hold_what_decoding_needs(make_task):
    task = make_task([row("q", "Ann")], "train")
    spec = task.feature_spec()
    (feature,) = task.features("train")
    assert set(feature) == {name for name in spec if spec[name].is_input}
    (feature,) = make_task([row("q", "Ann")]).features("predict")
    assert set(feature) == set(spec)
