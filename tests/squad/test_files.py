"""Tests of albert.squad.files."""

import pytest
from sample_squad import one_question, write_json

from albert.common.errors import UsageError
from albert.squad import files as squad_files


def test_reading_keeps_the_order_and_the_text(tmp_path):
    data = squad_files.read_squad(write_json(tmp_path / "squad.json", one_question()))
    assert not data.is_version_2
    assert data.paragraphs[0].context == "Ann sings."
    assert list(data.questions()) == [
        squad_files.SquadQuestion("q1", "Who?", (("Ann", 0),), False),
    ]


def test_file_with_the_key_is_impossible_is_version_2(tmp_path):
    value = one_question(is_impossible=True, answers=[])
    data = squad_files.read_squad(write_json(tmp_path / "squad.json", value))
    assert data.is_version_2
    assert [(row.is_impossible, row.answers) for row in data.questions()] == [(True, ())]


@pytest.mark.parametrize(
    "value, expected",
    [
        ('{"data": [', " is not JSON: "),
        ("[]", " does not hold a JSON object."),
        ("{}", ": the file has no 'data'."),
        ({"data": {}}, ": 'data' of the file must be of type list, not dict."),
        ({"data": [{"title": "t"}]}, ": data[0] has no 'paragraphs'."),
        ({"data": []}, " holds no questions."),
        (one_question(id=7), "'id' of data[0].paragraphs[0].qas[0] must be of type str, not int."),
        (
            one_question(id=True),
            "'id' of data[0].paragraphs[0].qas[0] must be of type str, not bool.",
        ),
        (one_question(answers=[{"text": "Ann"}]), ": question q1 has no 'answer_start'."),
        (one_question(answers=[None]), ": question q1 has no 'text'."),
        (
            one_question(answers=[{"text": "Ann", "answer_start": True}]),
            "'answer_start' of question q1 must be of type int, not bool.",
        ),
        (
            one_question(answers=[{"text": "Ann", "answer_start": 0.0}]),
            "'answer_start' of question q1 must be of type int, not float.",
        ),
        (
            one_question(is_impossible="false"),
            "'is_impossible' of question q1 must be of type bool, not str.",
        ),
        (one_question(id="q\n\ud800", question=1), r"'question' of question 'q\n\ud800' must be"),
        (
            one_question(question=None),
            "'question' of question q1 must be of type str, not NoneType.",
        ),
    ],
)
def test_file_that_is_not_squad_is_refused(tmp_path, value, expected):
    path = write_json(tmp_path / "squad.json", value)
    with pytest.raises(UsageError) as caught:
        squad_files.read_squad(path)
    message = str(caught.value)
    assert message.startswith(path) and expected in message and "\n" not in message


def test_error_cuts_a_long_id(tmp_path):
    path = write_json(tmp_path / "squad.json", one_question(id="x" * 99999, question=1))
    with pytest.raises(UsageError, match="'question' of question x{60}[.]{3} must be of type str"):
        squad_files.read_squad(path)


def test_error_names_the_setting_that_chose_the_file(tmp_path):
    with pytest.raises(UsageError, match="^train_file=.*none.json: No such file or directory"):
        squad_files.read_squad(str(tmp_path / "none.json"), "train_file")


def test_file_has_answers_if_one_of_its_questions_has_one(tmp_path):
    for answers, expected in ([{"text": "Ann", "answer_start": 0}], True), ([], False):
        path = write_json(tmp_path / "squad.json", one_question(answers=answers))
        assert squad_files.read_squad(path).has_answers is expected


def test_two_questions_with_the_same_id_are_refused(tmp_path):
    value = one_question()
    value["data"] *= 2
    with pytest.raises(UsageError, match="two questions have the id q1"):
        squad_files.read_squad(write_json(tmp_path / "squad.json", value))
