"""Tests of albert.conversion.brightmart, beside that model written out in NumPy."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import runs
import sample_brightmart
import tensorflow.compat.v1 as tf
import tiny
from sample_brightmart import HEADS, HIDDEN, LAYERS, SIZES, weights

from albert import convert
from albert.common.errors import UsageError
from albert.conversion import brightmart
from albert.modeling import AlbertConfig, AlbertModel


def pooled_output(values, input_ids, segment_ids):
    """Returns what the code of albert_zh computes of one sequence: float [hidden]."""

    def dense(x, name):
        return x @ values[f"{name}/kernel"] + values[f"{name}/bias"]

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return scaled * values[f"{name}/LayerNorm/gamma"] + values[f"{name}/LayerNorm/beta"]

    def heads(x):
        return x.reshape(len(x), HEADS, -1).transpose(1, 0, 2)

    words = values["bert/embeddings/word_embeddings"][input_ids]
    x = words @ values["bert/embeddings/word_embeddings_2"]
    x = x + values["bert/embeddings/token_type_embeddings"][segment_ids]
    x = norm(x + values["bert/embeddings/position_embeddings"][: len(x)], "bert/embeddings")
    layer = "bert/encoder/layer_shared"
    for _ in range(LAYERS):
        query, key, value = (
            heads(dense(x, f"{layer}/attention/self/{part}")) for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(HIDDEN // HEADS)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        context = (shares @ value).transpose(1, 0, 2).reshape(len(x), HIDDEN)
        attention = f"{layer}/attention/output"
        x = norm(x + dense(context, f"{attention}/dense"), attention)
        inner = dense(x, f"{layer}/intermediate/dense")
        inner *= 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
        x = norm(x + dense(inner, f"{layer}/output/dense"), f"{layer}/output")
    return np.tanh(dense(x[0], "bert/pooler/dense"))


@pytest.fixture()
def model(tmp_path):
    """Returns the folder of a model of albert_zh."""
    sample_brightmart.write_model(tmp_path / "albert_tiny")
    return tmp_path / "albert_tiny"


def converted(model, folder):
    config_file = str(model / "albert_config_tiny.json")
    convert._convert(
        SimpleNamespace(
            input=str(model / "albert_model.ckpt"),
            albert_config_file=config_file,
            output_dir=str(folder),
        )
    )
    return folder


def test_a_converted_model_computes_what_the_other_code_does(model, tmp_path):
    folder = converted(model, tmp_path / "ours")
    config = AlbertConfig.from_json_file(str(folder / "albert_config.json"))
    assert (config.embedding_size, config.num_hidden_groups) == (HIDDEN, 1)
    assert (folder / "vocab.txt").read_text() == (model / "vocab.txt").read_text()
    ids, segments = np.array([2, 7, 9, 3, 11, 3]), np.array([0, 0, 0, 0, 1, 1])
    with tf.Graph().as_default(), tf.Session() as session:
        albert = AlbertModel(
            config,
            False,
            tf.constant(ids[None], tf.int32),
            token_type_ids=tf.constant(segments[None], tf.int32),
        )
        tf.train.Saver().restore(session, str(folder / "model.ckpt-best"))
        (found,) = session.run(albert.get_pooled_output())
    np.testing.assert_allclose(found, pooled_output(weights(), ids, segments), atol=1e-5)


def test_training_starts_from_such_a_checkpoint(model, tmp_path):
    lines = ["text,label", "a b,one", "c d,two", "e f,one", "g h,two"]
    (tmp_path / "train.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    values = {
        "train_file": tmp_path / "train.csv",
        "albert_config_file": model / "albert_config_tiny.json",
        "vocab_file": model / "vocab.txt",
        "init_checkpoint": model / "albert_model.ckpt",
        "output_dir": tmp_path / "output",
        "max_seq_length": 16,
        "train_batch_size": 2,
        "train_step": 1,
        "learning_rate": 1e-9,
        "device_type": "cpu",
    }
    command = runs.arguments(values, "do_train")
    run = runs.in_one_process("run_multigpus_classifier", {"run": command})["run"]
    assert run["status"] == 0, run["stderr"]
    config = json.loads((tmp_path / "output" / "albert_config.json").read_text())
    assert config["embedding_size"] == HIDDEN
    reader = tf.train.load_checkpoint(str(tmp_path / "output" / "model.ckpt-1"))
    values = weights()
    np.testing.assert_allclose(
        reader.get_tensor("bert/embeddings/word_embeddings"),
        values["bert/embeddings/word_embeddings"] @ values["bert/embeddings/word_embeddings_2"],
        atol=1e-6,
    )


def test_layer_norms_before_attention_are_refused(model):
    config = AlbertConfig.from_dict(dict(SIZES, ln_type="preln"))
    with pytest.raises(UsageError, match="=config.json: ln_type is 'preln'; here layer norms come"):
        brightmart.adapted(config, "config.json")


def test_other_checkpoints_are_none_of_these(tmp_path):
    tiny.write_model(tmp_path)
    prefix = str(tmp_path / "model.ckpt-best")
    assert not brightmart.is_checkpoint(prefix)
    assert not brightmart.is_checkpoint(str(tmp_path / "missing"))
    with pytest.raises(UsageError, match="no checkpoint in the layout of brightmart's albert_zh"):
        brightmart.read_weights(prefix, "input")
    with pytest.raises(UsageError, match="is a checkpoint: .*albert_config_file.* is needed"):
        convert._convert(
            SimpleNamespace(input=prefix, albert_config_file=None, output_dir=str(tmp_path))
        )


def test_a_damaged_checkpoint_is_one_line(model):
    data = model / "albert_model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(UsageError, match="input=.*albert_model.ckpt cannot be read: "):
        brightmart.read_weights(str(model / "albert_model.ckpt"), "input")


def test_a_configuration_without_its_checkpoint_is_refused(model):
    config_file = str(model / "albert_config_tiny.json")
    with pytest.raises(UsageError, match="albert_config_file=.* belongs to a checkpoint, but"):
        convert._convert(
            SimpleNamespace(
                input=str(model), albert_config_file=config_file, output_dir=str(model / "new")
            )
        )
