"""Tests of SQuAD on unusual texts: from the file to features and back to answers."""

import json

import numpy as np
import pytest
from sample_squad import predictions_of

from albert import squad_utils

# (context, answer): the first occurrence is meant.
TEXTS = {
    "one character": ("x", "x"),
    "emoji": ("We had 🍕 and 🍦 \U0001f468\u200d\U0001f680 today", "🍦"),
    "joined emoji": ("The \U0001f468\u200d\U0001f680 has flown", "\U0001f468\u200d\U0001f680"),
    "combining characters": ("Zoe\u0308 took the cafe\u0301 au lait", "cafe\u0301 au"),
    "accents composed": ("Zoë took the café au lait", "café"),
    "Hebrew": ("דוד גר בירושלים מאז 1999", "בירושלים"),
    "Arabic": ("وُلِدَ في القاهرة سنة 1990", "القاهرة"),
    "both directions": ("The word שלום means peace", "שלום"),
    "white space": ("  He\u00a0said\t\tnothing \n at   all ", "nothing \n at   all"),
    "case": ("THE Old MAN", "Old MAN"),
    "lone surrogate": ("A \ud83d sign \udc00", "\ud83d sign"),
    "full width": ("in Ｔｏｋｙｏ city", "Ｔｏｋｙｏ"),
}


@pytest.fixture
def make_task(tokenizer, tmp_path):
    """Returns a function of (context, answer, question): a SquadTask to train on and predict."""

    def made(context, answer, question="What?", **settings):
        answers = [{"text": answer, "answer_start": context.index(answer)}]
        rows = [{"id": "q", "question": question, "answers": answers}]
        data = {"data": [{"paragraphs": [{"context": context, "qas": rows}]}]}
        path = tmp_path / "squad.json"
        path.write_text(json.dumps(data), encoding="utf-8")
        return squad_utils.SquadTask(
            tokenizer, squad_utils.SquadSettings(**settings), str(path), str(path)
        )

    return made


def answer_of(task, features, tmp_path):
    """Returns the answer of a model that predicts exactly what the training features say."""
    outputs = []
    for feature in features:
        starts, ends = np.zeros([2, len(feature["input_ids"])])
        if feature["start_positions"]:  # not at [CLS]
            starts[feature["start_positions"]] = ends[feature["end_positions"]] = 9.0
        outputs.append({"start_logits": starts, "end_logits": ends})
    (path, *_) = task.write_predictions(predictions_of(task, outputs), str(tmp_path))
    with open(path, encoding="utf-8") as reader:
        return json.load(reader)["q"]


@pytest.mark.parametrize("name", TEXTS)
def test_an_answer_comes_back_as_the_context_has_it(make_task, tmp_path, name):
    context, answer = TEXTS[name]
    task = make_task(context, answer, question="What \udfff?")
    features = list(task.features("train"))
    assert answer_of(task, features, tmp_path) == answer


def test_question_longer_than_allowed_is_cut(make_task, tmp_path, tokenizer):
    question = "why " * 200
    task = make_task("a song", "song", question, max_query_length=10, max_seq_length=60)
    (feature,) = task.features("train")
    asked = feature["input_ids"][1 : feature["input_ids"].index(tokenizer.sep_id)]
    assert asked == tokenizer.encode(question)[:10]
    assert answer_of(task, [feature], tmp_path) == "song"


@pytest.mark.parametrize("context", ["", " \n", "\u0301"])
def test_context_without_text_is_predicted_as_empty(make_task, tmp_path, context):
    task = make_task(context, "")
    assert list(task.features("train")) == []
    (feature,) = task.features("predict")
    assert feature["p_mask"] == [0] + [1] * (len(feature["p_mask"]) - 1)
    assert answer_of(task, [feature], tmp_path) == "empty"


def test_one_and_several_processes_make_the_same_features(tokenizer, tmp_path, monkeypatch):
    paragraphs = [
        {
            "context": f"Singer {number} sings song {number * 7}.",
            "qas": [{"id": str(number), "question": f"What does {number} sing?", "answers": []}],
        }
        for number in range(300)
    ]
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), encoding="utf-8")
    found = []
    for num_cores in (1, 2):
        monkeypatch.setattr(squad_utils.parallel, "num_cores", lambda count=num_cores: count)
        task = squad_utils.SquadTask(tokenizer, squad_utils.SquadSettings(), predict_file=str(path))
        found.append(list(task.features("predict")))
    assert found[0] == found[1]
    assert len(found[0]) == 300
