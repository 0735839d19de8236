"""Tests of albert.tagging_utils: what becomes of sentences and predictions, without training."""

import math

import numpy as np
import pytest
import sample_tagging
import tensorflow.compat.v1 as tf
import tiny

from albert import tokenization
from albert.common.errors import UsageError
from albert.common.tables import Row
from albert.engine.config import FinetuneConfig
from albert.engine.training import Engine
from albert.glue.split_files import SplitFiles, SplitSettings
from albert.tagging_utils import TaggingSettings, TaggingTask

TRAIN = "a B-X\nb I-X\nc O\n\nd O\n\ne B-Y\n"
NAMES = ["O", "B-X", "I-X", "B-Y", "I-Y"]


@pytest.fixture
def make_task(tmp_path, wordpiece):
    """Returns a function that makes a TaggingTask: {file's flag: its content in CoNLL}."""

    def make(recorded=None, settings=None, **files):
        for name, value in files.items():
            if name.endswith("_file"):
                path = tmp_path / f"{name[:-5]}.conll"
                path.write_text(value, encoding="utf-8")
                files[name] = str(path)
        split_files = SplitFiles(SplitSettings(**files), "conll")
        about = TaggingSettings(16, **(settings or {}))
        return TaggingTask(split_files, recorded or {}, wordpiece, about)

    return make


def row_of(tags, sentence_index=0, probability=0.5, loss=1.0):
    """Returns the predictions of a window, padded; None is a piece without a tag."""
    ids = [-1, *(-1 if tag is None else NAMES.index(tag) for tag in tags), -1, -1]
    size = len(ids)
    return {
        "tags": np.array(ids, np.int32),
        "probabilities": np.full(size, probability, np.float32),
        "tag_losses": np.full(size, loss, np.float32),
        "sentence_index": np.int32(sentence_index),
    }


def test_tags_are_those_of_the_training_file_and_their_other_places(make_task, caplog):
    caplog.set_level("INFO")
    task = make_task(train_file=TRAIN, validation_file="a I-Y\n")
    assert task.settings()["tags"] == NAMES
    assert [each["tag_ids"] for each in task.features("train")] == [
        [-1, 1, 2, 0, -1],
        [-1, 0, -1],
        [-1, 3, -1],
    ]
    assert [each["tag_ids"] for each in task.features("dev")] == [[-1, 4, -1]]
    assert "train.conll: 3 sentences; BIO tags of: 'X', 'Y'." in caplog.text
    assert (task.best_metric, task.greater_is_better) == ("f1", True)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train_file": "a B-X\nb X\n"}, "train.conll:2: tag 'X' is not O, or B- or I- and a type"),
        (
            {"train_file": "a O\n\nb S-X\nc U-X\n"},
            "train.conll:4: tag 'U-X' is not O, or B-, I-, E",
        ),
        ({"train_file": "a O\nb O\n"}, "two tags or more are needed, but there is only 'O'."),
        ({"train_file": "a\nb\n"}, "train.conll:1: the sentence has no tags."),
        ({"train_file": "\n\n"}, "train_file=.*train.conll holds no rows."),
        (
            {"train_file": TRAIN, "validation_file": "a O\nb B-Z\n"},
            "ion.conll:2: tag 'B-Z' is not ",
        ),
        (
            {"train_file": TRAIN, "validation_file": "a\nb\n"},
            "tion.conll:1: the sentence has no ta",
        ),
        (
            {"test_file": "a\n"},
            "train_file is required: there is no trained run that knows the tags",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused(make_task, files, message):
    with pytest.raises(UsageError, match=message):
        make_task(**files).sentences("dev")


def test_a_part_of_the_training_file_is_held_out(make_task):
    content = "".join(f"{letter} {tag}\n\n" for letter in "abcdef" for tag in ("O", "B-X"))
    task = make_task(train_file=content, validation_split=0.25)
    train, dev = ([each.tokens for each in task.sentences(split)] for split in ("train", "dev"))
    assert (len(train), len(dev)) == (9, 3)
    rows = [row_of(["O"], index) for index in range(3)]
    numbers = [row["index"] for row in task.comparisons("dev", rows, None)]
    assert [(each,) for each in ("abcdef"[number // 2] for number in numbers)] == dev


def test_scores_and_losses_are_of_the_tokens_of_all_windows(make_task):
    dev = "a B-X\nb I-X\nc O\n\nd B-Y\n"
    task = make_task(train_file=TRAIN, validation_file=dev)
    rows = [
        row_of(["B-X", None], loss=4.0),  # two windows of the first sentence
        row_of([None, "I-X", "B-Y"], loss=1.0),
        row_of(["B-Y"], 1, loss=2.0),
    ]
    found = task.evaluate({"dev": rows})
    assert found["precision"] == pytest.approx(2 / 3) and found["recall"] == 1.0
    assert found["accuracy"] == 0.75 and found["loss"] == pytest.approx((4 + 1 + 1 + 2) / 4)
    assert (found["f1_X"], found["precision_Y"]) == (1.0, 0.5)
    first, second = task.comparisons("dev", rows, None)
    assert first == {
        "index": 0,
        "tokens": ("a", "b", "c"),
        "gold": ("B-X", "I-X", "O"),
        "predicted": ["B-X", "I-X", "B-Y"],
        "probabilities": [0.5, 0.5, 0.5],
        "loss": 2.0,
    }
    assert (second["index"], second["loss"]) == (1, 2.0)
    rows[2] = row_of(["B-Y"], 1, probability=math.nan)
    assert all(math.isnan(value) for value in task.evaluate({"dev": rows}).values())


def test_any_score_may_decide(make_task):
    task = make_task(settings={"best_metric": "recall_Y"}, train_file=TRAIN)
    assert (task.best_metric, task.greater_is_better) == ("recall_Y", True)
    task = make_task(settings={"best_metric": "loss"}, train_file=TRAIN)
    assert not task.greater_is_better
    with pytest.raises(UsageError, match="^best_metric=f2 must be one of precision, recall, f1"):
        make_task(settings={"best_metric": "f2"}, train_file=TRAIN)


def test_plain_tags_need_no_places(make_task):
    task = make_task(train_file="a DET\nb NOUN\n", validation_file="a NOUN\nb NOUN\n")
    assert task.best_metric == "accuracy"
    row = dict(row_of([]), tags=np.array([-1, 0, 1, -1]), probabilities=np.ones(4))
    found = task.evaluate({"dev": [dict(row, tag_losses=np.ones(4))]})
    assert found == {"accuracy": 0.5, "macro_f1": pytest.approx(1 / 3), "loss": 1.0}
    (result,) = task.results_of(
        [task.sentences("dev")[0]], [dict(row, tag_losses=row["tags"])], None
    )
    assert result["tags"] == ["DET", "NOUN"] and "entities" not in result


@pytest.mark.parametrize("tag", ["", " B-X", " unknown"])
def test_predicted_tags_are_written_after_the_tokens_and_their_own_tags(make_task, tmp_path, tag):
    task = make_task(train_file=TRAIN, test_file=f"-DOCSTART-{tag}\n\n\u200b{tag}\n“{tag}\n")
    assert [each["tag_ids"].count(-1) for each in task.features("test")][1] == 2
    rows = [row_of(["O"]), row_of(["B-X", "I-X"], 1)]
    (path,) = task.write_predictions({"test": rows}, str(tmp_path))
    expected = f"-DOCSTART-{tag} O\n\n\u200b{tag} B-X\n“{tag} I-X\n\n"
    assert (tmp_path / "test_predictions.conll").read_text(encoding="utf-8") == expected
    assert path == str(tmp_path / "test_predictions.conll")


def test_tags_that_some_test_sentences_lack_are_not_written(make_task, tmp_path):
    rows = ['{"tokens": ["a"], "tags": ["O"]}', '{"tokens": ["b"]}']
    (tmp_path / "test.jsonl").write_text("\n".join(rows), encoding="utf-8")
    task = make_task(train_file=TRAIN, validation_file=TRAIN)
    task._files = SplitFiles(SplitSettings(test_file=str(tmp_path / "test.jsonl")), "conll")
    task.write_predictions({"test": [row_of(["B-X"]), row_of(["O"], 1)]}, str(tmp_path))
    assert (tmp_path / "test_predictions.conll").read_text() == "a B-X\n\nb O\n\n"


def test_entities_of_a_text_have_their_characters(make_task):
    task = make_task({"tags": NAMES})
    text = task.example_of(Row("f:1", {"text": "see  ab  c!"}))
    tokens = task.example_of(Row("f:2", {"tokens": ["ab", "c"]}))
    rows = [row_of(["O", "B-X", "I-X", "B-Y"]), row_of(["B-X", "O"], 1)]
    first, second, empty = task.results_of([text, tokens, text._replace(tokens=())], rows, None)
    assert first["tokens"] == ["see", "ab", "c", "!"] and first["tags"] == [
        "O",
        "B-X",
        "I-X",
        "B-Y",
    ]
    assert first["entities"] == [
        {"type": "X", "text": "ab  c", "start": 5, "end": 10, "first": 1, "last": 2, "score": 0.5},
        {"type": "Y", "text": "!", "start": 10, "end": 11, "first": 3, "last": 3, "score": 0.5},
    ]
    assert second["entities"] == [{"type": "X", "text": "ab", "first": 0, "last": 0, "score": 0.5}]
    assert "tokens" not in second and empty["tags"] == empty["entities"] == []


def test_the_loss_is_the_sum_of_the_cross_entropies_of_first_pieces(make_task, graph_mode):
    task = make_task(train_file=TRAIN)
    tag_ids = np.array([[-1, 1, -1, -1], [-1, 0, 4, -1]], np.int32)
    outputs = np.random.RandomState(0).standard_normal((2, 4, 8)).astype(np.float32)

    class Model:
        def get_sequence_output(self):
            return tf.constant(outputs)

        def dropout(self, tensor, rate):
            assert rate == 0.1
            return tensor

    with tf.Graph().as_default(), tf.Session() as session:
        features = {"tag_ids": tf.constant(tag_ids)}
        output = task.head(Model(), features, is_training=True)
        (weight,) = task.loss_weights(features)
        session.run(tf.global_variables_initializer())
        weights, found, loss, count = session.run(
            [tf.global_variables(), output.predictions, output.loss_sums[0], weight]
        )
    (kernel,) = [each for each in weights if each.shape == (5, 8)]
    exponents = np.exp(outputs @ kernel.T)
    probabilities = exponents / exponents.sum(-1, keepdims=True)
    right = [
        probabilities[row, place, tag_ids[row, place]] for row, place in ((0, 1), (1, 1), (1, 2))
    ]
    assert loss == pytest.approx(-np.log(right).sum(), rel=1e-5) and count == 3.0
    np.testing.assert_array_equal(found["tags"] >= 0, tag_ids >= 0)
    is_token = tag_ids >= 0
    np.testing.assert_array_equal(found["tags"][is_token], probabilities.argmax(-1)[is_token])
    np.testing.assert_allclose(found["probabilities"], probabilities.max(-1), rtol=1e-5)
    np.testing.assert_allclose(found["tag_losses"][is_token], -np.log(right), rtol=1e-5)
    assert not found["tag_losses"][~is_token].any()


def weights_of(folder):
    reader = tf.train.load_checkpoint(str(folder))
    names = [name for name in reader.get_variable_to_shape_map() if "/" in name or "output" in name]
    return {
        name: reader.get_tensor(name) for name in names if "Adam" not in name and "adam" not in name
    }


@pytest.mark.parametrize("accumulation", [1, 2])
def test_two_replicas_train_like_one_on_sentences_of_many_lengths(tmp_path, accumulation):
    """The mean is over the tokens of the global batch: replicas have different numbers of them."""
    sample_tagging.write_conll(tmp_path / "train.conll", sample_tagging.sentences(40, 1))
    vocab_size = tiny.write_vocabulary(tmp_path, sample_tagging.WORDS)
    tokenizer = tokenization.FullTokenizer(None, spm_model_file=str(tmp_path / "30k-clean.model"))
    found = []
    for num_replicas in (1, 2):
        files = SplitFiles(SplitSettings(str(tmp_path / "train.conll"), do_eval=False), "conll")
        config = FinetuneConfig(
            albert_config=tiny.config(vocab_size=vocab_size, initializer_range=0.2),
            output_dir=str(tmp_path / str(num_replicas)),
            train_batch_size=8 // num_replicas // (accumulation if num_replicas == 2 else 1),
            gradient_accumulation_steps=accumulation if num_replicas == 2 else 1,
            learning_rate=0.001,
            train_steps=6,
            num_devices=num_replicas,
            device_type="cpu",
        )
        task = TaggingTask(files, {}, tokenizer, TaggingSettings(64, 0.0))
        Engine(task, config).train()
        found.append(weights_of(tmp_path / str(num_replicas)))
    one, two = found
    assert one.keys() == two.keys() and "output_weights" in one
    difference = math.sqrt(sum(np.square(one[name] - two[name]).sum() for name in one))
    assert difference < 1e-4 * math.sqrt(sum(np.square(value).sum() for value in one.values()))
    for name, value in one.items():
        assert np.abs(value - two[name]).max() < 0.05 * 0.001 * 6, name
