"""Tests of the files, features, head and task of RACE."""

import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tiny
from sample_race import write_passage

from albert import modeling, tokenization
from albert.common.errors import UsageError
from albert.engine import model_fn
from albert.nn.layers import Dropout
from albert.race import files as race_files
from albert.race_utils import RaceSettings, RaceTask

WORDS = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] ann bob sings a hymn waltz what who is old the _ ? .".split()
)
PASSAGE = {
    "id": "high7.txt",
    "article": "Ann sings a hymn. Bob sings a waltz.",
    "questions": ["Who sings a hymn?", "Bob sings a _ ."],
    "options": [["Ann", "Bob", "the old", "a waltz"], ["hymn", "waltz", "old hymn", "_"]],
    "answers": ["A", "B"],
}
OTHER = dict(PASSAGE, id="middle1.txt")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("race") / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return tokenization.FullTokenizer(str(path))


@pytest.fixture
def make_task(tokenizer, tmp_path):
    """Returns a function of ({file: content}, split, settings) that makes a RaceTask."""

    def made(files, split="dev", **settings):
        for name, content in files.items():
            level, name = name.split("/")
            write_passage(tmp_path / "RACE" / split / level, name, content)
        return RaceTask(str(tmp_path), tokenizer, RaceSettings(**settings))

    return made


def tokens_of(sequences):
    return [" ".join(WORDS[index] for index in ids) for ids in sequences]


# --- The files


def read(data_dir, split="dev", levels=race_files.LEVELS, needs_answers=True):
    return race_files.read_race(str(data_dir), split, levels, needs_answers)


def write_levels(tmp_path, **changes):
    """Writes a passage per level, with changes to the one of `high`; None removes a key."""
    changed = {key: value for key, value in dict(PASSAGE, **changes).items() if value is not None}
    write_passage(tmp_path / "RACE/dev/middle", "1.txt", OTHER)
    write_passage(tmp_path / "RACE/dev/high", "7.txt", changed)


def test_passages_come_middle_school_first_in_the_order_of_their_numbers(tmp_path):
    for level, number in (("high", 2), ("middle", 10), ("middle", 9), ("high", 1)):
        content = dict(PASSAGE, id=f"{level}{number}.txt")
        write_passage(tmp_path / "RACE" / "dev" / level, f"{number}.txt", content)
    passages = read(tmp_path)
    assert [passage.questions[0].id for passage in passages] == [
        "middle9.txt-0",
        "middle10.txt-0",
        "high1.txt-0",
        "high2.txt-0",
    ]
    assert passages[2].article == PASSAGE["article"]
    assert passages[2].questions[1] == (
        "high1.txt-1",
        "high",
        "Bob sings a _ .",
        ("hymn", "waltz", "old hymn", "_"),
        1,
    )


def test_files_that_other_programs_leave_in_a_folder_are_ignored(tmp_path):
    write_levels(tmp_path)
    for name in ("all.txt", "._7.txt", "7.txt~"):
        write_passage(tmp_path / "RACE/dev/high", name, "not JSON")
    assert len(read(tmp_path)) == 2


def test_one_level_can_be_read_without_the_other(tmp_path):
    write_passage(tmp_path / "RACE/dev/high", "1.txt", PASSAGE)
    assert [row.level for row in read(tmp_path, levels=["high"])[0].questions] == ["high"] * 2


@pytest.mark.parametrize("answers", [None, []])
def test_test_set_needs_no_answers(tmp_path, answers):
    write_levels(tmp_path, answers=answers)
    labels = [
        row.label for passage in read(tmp_path, needs_answers=False) for row in passage.questions
    ]
    assert labels == [0, 1, None, None]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"article": None}, "7.txt: it has no 'article'"),
        ({"id": None}, "7.txt: it has no 'id'"),
        ({"answers": None}, "7.txt: it has no 'answers'"),
        ({"questions": "Who?"}, "7.txt: 'questions' of it must be of type list, not str"),
        ({"answers": ["A"]}, "7.txt has 2 questions, 2 options, 1 answers; it must have the same"),
        ({"answers": ["A", "E"]}, "7.txt: question 1 has the answer 'E'; A, B, C and D are"),
        ({"answers": ["AB", "A"]}, "7.txt: question 0 has the answer 'AB'"),
        ({"answers": [None, "A"]}, "7.txt: question 0 has the answer None"),
        ({"id": True}, "7.txt: 'id' of it must be of type str, not bool"),
        ({"answers": [True, "A"]}, "7.txt: question 0 has the answer True"),
        ({"answers": ["A" * 999, "A"]}, r"7.txt: question 0 has the answer 'A+\.\.\.A+'; A, B"),
        ({"questions": ["Who?", True]}, "7.txt: question 1 must be a string, not True"),
        ({"options": [list("abc") + [True]] * 2}, "7.txt: question 0 must have four strings"),
        ({"questions": ["Who?", 3]}, "7.txt: question 1 must be a string, not 3"),
        ({"options": [list("abcd"), list("abc")]}, "7.txt: question 1 must have four strings as "),
        (
            {"options": [["a", "b", "c", 4], list("abcd")]},
            "7.txt: question 0 must have four strings",
        ),
        (
            {"options": ["abcd", list("abcd")]},
            "question 0 must have four strings as options, not 'a",
        ),
        ({"options": [5, list("abcd")]}, "question 0 must have four strings as options, not 5"),
        ({"questions": [], "options": [], "answers": []}, "7.txt holds no questions"),
    ],
)
def test_passage_with_another_layout_is_refused(tmp_path, changes, message):
    write_levels(tmp_path, **changes)
    with pytest.raises(UsageError, match=message) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_two_passages_with_the_same_id_are_refused(tmp_path):
    write_levels(tmp_path, id="middle1.txt")
    with pytest.raises(UsageError, match="high/7.txt has the id 'middle1.txt', which .*/1.txt has"):
        read(tmp_path)


@pytest.mark.parametrize("answers", [False, "", 0, {}])
def test_answers_of_another_type_are_not_taken_for_none(tmp_path, answers):
    write_levels(tmp_path, answers=answers)
    with pytest.raises(UsageError, match="7.txt: 'answers' of it must be of type list, not "):
        read(tmp_path, needs_answers=False)


@pytest.mark.parametrize(
    "content, message",
    [("", "is not JSON"), ('{"id": "1.tx', "is not JSON"), ("[]", "hold a JSON object")],
)
def test_file_that_holds_no_passage_is_refused(tmp_path, content, message):
    write_levels(tmp_path)
    write_passage(tmp_path / "RACE/dev/high", "8.txt", content)
    with pytest.raises(UsageError, match=f"8.txt:? .*{message}"):
        read(tmp_path)


def test_error_about_a_missing_folder_says_what_to_put_there(tmp_path):
    with pytest.raises(UsageError, match="RACE/dev/middle is missing: unpack .*RACE.tar.gz into"):
        read(tmp_path)


def test_error_about_an_empty_folder_names_it(tmp_path):
    write_levels(tmp_path)
    (tmp_path / "RACE/dev/high/7.txt").unlink()
    with pytest.raises(UsageError, match="RACE/dev/high holds no passages"):
        read(tmp_path)


# --- Features


def test_each_option_is_a_sequence_of_article_and_question_with_option(make_task):
    first, second = make_task({"high/7.txt": PASSAGE}, high_only=True).features("dev")
    article = "ann sings a hymn . bob sings a waltz ."
    assert tokens_of(first["input_ids"]) == [
        f"[CLS] {article} [SEP] who sings a hymn ? {option} [SEP]"
        for option in ("ann", "bob", "the old", "a waltz")
    ]
    assert [row.count(0) for row in first["segment_ids"]] == [12] * 4
    assert [row[12:] for row in first["segment_ids"]] == [[1] * n for n in (7, 7, 8, 8)]
    assert (first["label_ids"], second["label_ids"]) == (0, 1)
    # The option fills the gap, even if it looks like a gap itself.
    assert tokens_of(second["input_ids"]) == [
        f"[CLS] {article} [SEP] bob sings a {option} . [SEP]"
        for option in ("hymn", "waltz", "old hymn", "_")
    ]


@pytest.mark.parametrize("question", ["_ sings _ .", "\uff3f sings \uff3f ."])
def test_every_gap_is_filled_including_full_width_ones(make_task, question):
    passage = dict(PASSAGE, questions=[question] * 2)
    feature, _ = make_task({"high/7.txt": passage}, high_only=True).features("dev")
    assert tokens_of(feature["input_ids"])[0].endswith("[SEP] ann sings ann . [SEP]")


def test_the_last_pieces_of_question_and_option_are_kept_and_the_article_is_cut(make_task):
    task_ = make_task({"high/7.txt": PASSAGE}, high_only=True, max_seq_length=10, max_qa_length=4)
    feature, second = task_.features("dev")
    assert tokens_of(feature["input_ids"]) == [
        "[CLS] ann sings a [SEP] a hymn ? ann [SEP]",
        "[CLS] ann sings a [SEP] a hymn ? bob [SEP]",
        "[CLS] ann sings a [SEP] hymn ? the old [SEP]",
        "[CLS] ann sings a [SEP] hymn ? a waltz [SEP]",
    ]
    assert tokens_of(second["input_ids"])[2] == "[CLS] ann sings a [SEP] a old hymn . [SEP]"


def test_a_short_question_leaves_its_room_to_the_article(make_task):
    passage = dict(PASSAGE, questions=["Who?", "_"], options=[["a"] * 4] * 2)
    task_ = make_task({"high/7.txt": passage}, high_only=True, max_seq_length=10, max_qa_length=5)
    feature, second = task_.features("dev")
    assert tokens_of(feature["input_ids"])[0] == "[CLS] ann sings a hymn [SEP] who ? a [SEP]"
    assert tokens_of(second["input_ids"])[0] == "[CLS] ann sings a hymn . bob [SEP] a [SEP]"


def test_fingerprint_depends_on_data_levels_and_lengths(make_task):
    files = {"high/1.txt": PASSAGE, "middle/1.txt": OTHER}
    other = dict(PASSAGE, answers=["A", "C"])
    prints = [
        make_task(files).fingerprint("dev"),
        make_task(files, high_only=True).fingerprint("dev"),
        make_task(files, max_qa_length=100).fingerprint("dev"),
        make_task(files, max_seq_length=500).fingerprint("dev"),
        make_task(dict(files, **{"high/1.txt": other})).fingerprint("dev"),
    ]
    assert len({json.dumps(found, sort_keys=True) for found in prints}) == 5
    assert make_task(files).fingerprint("dev") == prints[0]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"max_qa_length": 0}, "max_qa_length=0 must be 1 or more"),
        ({"max_seq_length": 131}, "max_seq_length=131 leaves no room for the article: .*=128"),
        ({"high_only": True, "middle_only": True}, "high_only and middle_only exclude each"),
    ],
)
def test_impossible_settings_are_refused(tokenizer, settings, message):
    with pytest.raises(UsageError, match=message):
        RaceTask("anywhere", tokenizer, RaceSettings(**settings))


# --- The head

HIDDEN = 4


class FixedModel:
    """A model with a fixed pooled output, [batch, hidden]."""

    def __init__(self, pooled, is_training=False):
        self._pooled = tf.constant(pooled)
        self.dropout = Dropout(is_training, tf.zeros([2], tf.int64))

    def get_pooled_output(self):
        return self._pooled


@pytest.fixture
def race(tokenizer):
    return RaceTask("anywhere", tokenizer, RaceSettings())


def test_head_agrees_with_numpy(race):
    random = np.random.RandomState(1)
    pooled = random.normal(size=(8, HIDDEN)).astype(np.float32)  # two questions
    with tf.Graph().as_default(), tf.Session() as session:
        output = race.head(FixedModel(pooled), {"label_ids": tf.constant([2, 0])}, False)
        variables = {variable.op.name: variable for variable in tf.global_variables()}
        for variable in variables.values():
            variable.load(random.normal(size=variable.shape.as_list()), session)
        loss, output_losses, predictions, values = session.run(
            [output.loss_sums, output.losses, output.predictions, variables]
        )
    assert {name: value.shape for name, value in values.items()} == {
        "output_weights": (1, HIDDEN),
        "output_bias": (1,),
    }
    scores = pooled @ values["output_weights"][0] + values["output_bias"][0]
    shares = np.exp(scores.reshape([2, 4]))
    shares /= shares.sum(axis=1, keepdims=True)
    losses = -np.log([shares[0, 2], shares[1, 0]])
    np.testing.assert_allclose(predictions["probabilities"], shares, rtol=1e-5)
    np.testing.assert_allclose(output_losses, losses, rtol=1e-5)
    np.testing.assert_allclose(loss, [losses.sum()], rtol=1e-5)


def test_head_applies_dropout_only_in_training(race):
    pooled = np.ones([4, 100], np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        shares = []
        for is_training in (True, False):
            with tf.variable_scope("", reuse=tf.AUTO_REUSE):
                output = race.head(
                    FixedModel(pooled, is_training), {"label_ids": tf.constant([0])}, is_training
                )
            shares.append(output.predictions["probabilities"])
        session.run(tf.global_variables_initializer())
        dropped, whole = session.run(shares)
    np.testing.assert_allclose(whole, [[0.25] * 4], rtol=1e-6)
    assert len(set(dropped[0].tolist())) > 1


@pytest.mark.parametrize("packed_tokens", [True, False])
def test_options_of_a_batch_get_the_same_scores_as_alone(race, packed_tokens):
    ids = [[[2, 7, 9, 3], [2, 8, 3], [2, 3], [2, 9, 9]], [[2], [2, 5], [2, 6], [2, 7]]]
    batch, options, longest = 2, 4, 4
    inputs = {name: np.zeros([batch, options, longest], np.int32) for name in ("ids", "mask")}
    for index in np.ndindex(batch, options):
        row = ids[index[0]][index[1]]
        inputs["ids"][index][: len(row)] = row
        inputs["mask"][index][: len(row)] = 1
    random = np.random.RandomState(1)
    with tf.Graph().as_default(), tf.Session() as session:
        features = {
            "input_ids": tf.constant(inputs["ids"]),
            "input_mask": tf.constant(inputs["mask"]),
            "segment_ids": tf.constant(inputs["mask"]),
            "label_ids": tf.constant([0, 1]),
        }
        config = tiny.config()
        output = model_fn.build(race, config, features, False, packed_tokens=packed_tokens)
        pooled = []
        with tf.variable_scope("", reuse=True):
            for row in ids[0] + ids[1]:
                row = tf.constant([row])
                segments = tf.ones_like(row)
                alone = modeling.AlbertModel(config, False, row, None, segments, scope="bert")
                pooled.append(alone.get_pooled_output())
            weights = tf.get_variable("output_weights")
        for variable in tf.global_variables():
            middle = 1.0 if "gamma" in variable.op.name else 0.0
            variable.load(random.normal(middle, 0.5, variable.shape.as_list()), session)
        found, pooled, weights = session.run([output.predictions, tf.concat(pooled, 0), weights])
    shares = np.exp((pooled @ weights[0]).reshape([2, 4]))
    shares /= shares.sum(axis=1, keepdims=True)
    assert shares.max() - shares.min() > 0.1
    np.testing.assert_allclose(found["probabilities"], shares, atol=1e-5)


# --- Metrics and results


def sure_of(number, loss=0.5):
    return {"probabilities": np.eye(4, dtype=np.float32)[number], "losses": np.float32(loss)}


def test_accuracy_is_reported_for_each_level_and_for_both(make_task):
    task_ = make_task({"middle/1.txt": OTHER, "high/7.txt": PASSAGE})
    rows = [sure_of(0), sure_of(1), sure_of(0, 1.0), sure_of(3, 2.0)]  # right, right, right, wrong
    assert task_.evaluate({"dev": rows}) == {
        "accuracy": 0.75,
        "accuracy_middle": 1.0,
        "accuracy_high": 0.5,
    }


def test_only_the_requested_level_is_reported(make_task):
    task_ = make_task({"middle/1.txt": OTHER}, middle_only=True)
    values = task_.evaluate({"dev": [sure_of(0), sure_of(0)]})
    assert values == {"accuracy": 0.5, "accuracy_middle": 0.5}
    assert task_.settings()["task"] == "RACE middle"


@pytest.mark.parametrize("limit, num_passages", [(1, 1), (2, 1), (3, 2), (9, 2)])
def test_the_first_questions_alone_are_features_and_scored(make_task, limit, num_passages):
    task_ = make_task({"middle/1.txt": OTHER, "high/7.txt": PASSAGE})
    task_.max_samples = {"dev": limit}
    rows = [sure_of(0) for _ in task_.features("dev")]
    assert len(rows) == min(limit, 4)
    levels = ["accuracy_middle", "accuracy_high"][:num_passages]
    assert list(task_.evaluate({"dev": rows})) == ["accuracy", *levels]


def test_predictions_are_written_with_ids_and_letters(make_task, tmp_path):
    task_ = make_task({"high/7.txt": PASSAGE}, "test", high_only=True)
    paths = task_.write_predictions({"test": [sure_of(0), sure_of(3)]}, str(tmp_path))
    texts = {path[len(str(tmp_path)) + 1 :]: open(path, encoding="utf-8").read() for path in paths}
    assert texts["submit_results.tsv"] == "index\tprediction\nhigh7.txt-0\tA\nhigh7.txt-1\tD\n"
    assert texts["test_results.tsv"] == "1.0\t0.0\t0.0\t0.0\n0.0\t0.0\t0.0\t1.0\n"
    assert json.loads(texts["test_metrics.json"]) == {
        "accuracy": 0.5,
        "accuracy_high": 0.5,
        "loss": 0.5,
    }


@pytest.mark.parametrize(
    "identifier", ["a\tb", "a\nb", "a\rb", "\u2028", "\ud83d", '"a-0"', '"', "中 é", "a b"]
)
def test_any_id_comes_back_from_the_submission(make_task, tmp_path, identifier):
    task_ = make_task({"high/7.txt": dict(PASSAGE, id=identifier)}, "test", high_only=True)
    path, *_ = task_.write_predictions({"test": [sure_of(0), sure_of(3)]}, str(tmp_path))
    text = open(path, encoding="utf-8", newline="").read()
    _, *rows = [line.split("\t") for line in text.splitlines()]
    cells = [json.loads(cell) if cell.startswith('"') else cell for cell, _ in rows]
    assert cells == [f"{identifier}-0", f"{identifier}-1"]
    assert [letter for _, letter in rows] == ["A", "D"]


def test_lone_surrogates_in_texts_are_unknown_tokens(make_task):
    passage = dict(PASSAGE, article="Ann \ud83d sings.", questions=["\udc00 who", "_"])
    passage["options"] = [["\ud800"] * 4] * 2
    first, _ = make_task({"high/7.txt": passage}, high_only=True).features("dev")
    expected = "[CLS] ann [UNK] sings . [SEP] [UNK] who [UNK] [SEP]"
    assert tokens_of(first["input_ids"]) == [expected] * 4


def test_test_set_without_answers_is_predicted_but_not_scored(make_task, tmp_path):
    passage = {key: value for key, value in PASSAGE.items() if key != "answers"}
    task_ = make_task({"high/7.txt": passage, "middle/1.txt": OTHER}, "test")
    assert [feature["label_ids"] for feature in task_.features("test")] == [0, 1, 0, 0]
    paths = task_.write_predictions({"test": [sure_of(0)] * 4}, str(tmp_path))
    assert [path.rpartition("/")[2] for path in paths] == ["submit_results.tsv", "test_results.tsv"]
