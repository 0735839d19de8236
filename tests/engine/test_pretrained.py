"""Tests of albert.engine.pretrained: which checkpoints load, and why the others are refused."""

import pathlib

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert import modeling
from albert.common.errors import UsageError
from albert.engine import pretrained


def write_checkpoint(path, values):
    """Writes {name: array} as a checkpoint and returns its prefix."""
    with tf.Graph().as_default():
        for name, value in values.items():
            tf.get_variable(name, initializer=np.asarray(value, np.float32))
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            return tf.train.Saver().save(session, str(path), write_meta_graph=False)


def load(tiny_config, prefix, num_labels=2, discard=False):
    """Returns (names that were not loaded, {name: initial value}) of a model with a head."""
    with tf.Graph().as_default():
        modeling.AlbertModel(tiny_config, False, tf.zeros([1, 4], tf.int32))
        tf.get_variable("output_weights", [num_labels, 16], initializer=tf.zeros_initializer())
        missing = pretrained.load(prefix, discard)
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            return missing, {v.op.name: session.run(v) for v in tf.trainable_variables()}


@pytest.fixture
def finetuned(tiny_config, tmp_path):
    """Returns the prefix of a checkpoint of the tiny model with a head of 3 labels, all 0.5."""
    with tf.Graph().as_default():
        modeling.AlbertModel(tiny_config, False, tf.zeros([1, 4], tf.int32))
        shapes = {v.op.name: v.shape.as_list() for v in tf.trainable_variables()}
    shapes["output_weights"] = [3, 16]
    values = {name: np.full(shape, 0.5) for name, shape in shapes.items()}
    return write_checkpoint(tmp_path / "model.ckpt", values)


def test_head_of_the_same_size_is_loaded(tiny_config, finetuned):
    missing, values = load(tiny_config, finetuned, num_labels=3)
    assert missing == []
    assert all((value == 0.5).all() for value in values.values())


def test_head_of_another_size_is_refused_with_the_flag_that_helps(tiny_config, finetuned):
    expected = r"output_weights has shape \[3, 16\], but the model's is \[2, 16\]. discard_clas"
    with pytest.raises(UsageError, match=expected):
        load(tiny_config, finetuned)


def test_discarding_loads_the_encoder_but_not_the_head(tiny_config, finetuned):
    missing, values = load(tiny_config, finetuned, num_labels=3, discard=True)
    assert missing == ["output_weights"]
    assert (values.pop("output_weights") == 0).all()
    assert all((value == 0.5).all() for value in values.values())


def test_encoder_of_another_size_is_refused_with_the_config(tiny_config, finetuned):
    tiny_config.intermediate_size = 64
    with pytest.raises(UsageError, match="Does albert_config_file belong to it?"):
        load(tiny_config, finetuned, num_labels=3)


def test_checkpoint_without_any_variable_of_the_encoder_is_refused(tiny_config, tmp_path):
    prefix = write_checkpoint(tmp_path / "other", {"output_weights": np.zeros([2, 16])})
    with pytest.raises(UsageError, match="none of the model's variables, such as bert/embeddings"):
        load(tiny_config, prefix)


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("bert/encoder/layer_shared/attention/self/query/kernel", "brightmart"),
        ("bert/embeddings/word_embeddings_2", "brightmart"),
        ("bert/encoder/layer_0/attention/self/query/kernel", "BERT"),
    ],
)
def test_foreign_layout_is_recognised_and_explained(tiny_config, tmp_path, name, program):
    # These layouts share some names with ALBERT's: that must not count as a partial match.
    shared = {"bert/pooler/dense/bias": np.zeros([16]), name: np.zeros([2, 2])}
    prefix = write_checkpoint(tmp_path / "foreign", shared)
    with pytest.raises(UsageError, match=f"layout of {program}.*not of google-research/albert"):
        load(tiny_config, prefix)


@pytest.mark.parametrize("check", [load, lambda config, prefix: pretrained.check(prefix)])
def test_file_that_is_no_index_is_refused(tiny_config, tmp_path, check):
    (tmp_path / "broken.index").write_bytes(b"no checkpoint")
    with pytest.raises(UsageError, match="cannot be read: |broken is damaged: broken.index: "):
        check(tiny_config, str(tmp_path / "broken"))


@pytest.mark.parametrize(
    "ending, sizes", [("index", (0, 30, 500)), ("data-00000-of-00001", (0, 1000))]
)
def test_checkpoint_of_which_a_file_is_missing_or_cut_short_is_refused(finetuned, ending, sizes):
    file = pathlib.Path(f"{finetuned}.{ending}")
    content = file.read_bytes()
    for size in sizes:
        file.write_bytes(content[:size])
        with pytest.raises(UsageError, match=f"model.ckpt is damaged: model.ckpt.{ending[:4]}"):
            pretrained.check(finetuned)
    file.unlink()
    with pytest.raises(
        UsageError, match=f"model.ckpt is damaged: model.ckpt.{ending[:4]}"
    ) as error:
        pretrained.check(finetuned)
    assert "\n" not in str(error.value)
