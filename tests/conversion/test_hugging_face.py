"""Tests of albert.conversion.hugging_face and of albert.convert."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import runs
import sample_hugging_face
import sample_tagging
import tensorflow.compat.v1 as tf
from safetensors.numpy import save_file

from albert.common.errors import UsageError
from albert.conversion import checkpoint, hugging_face, names

KERNEL = "bert/encoder/transformer/group_1/inner_group_0/ffn_1/intermediate/dense/kernel"
FFN = "albert.encoder.albert_layer_groups.1.albert_layers.0.ffn.weight"


def variables_of(prefix):
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def test_a_model_becomes_a_checkpoint_once(tmp_path, caplog):
    caplog.set_level("INFO")
    values = sample_hugging_face.write_model(tmp_path / "model")
    prefix = hugging_face.as_checkpoint(str(tmp_path / "model"), str(tmp_path / "converted"))
    found = variables_of(prefix)
    assert len(found) == len(values)
    np.testing.assert_array_equal(found[KERNEL], values[FFN].T)
    np.testing.assert_array_equal(
        found["cls/seq_relationship/output_weights"], values["sop_classifier.classifier.weight"]
    )
    assert sorted(os.listdir(str(tmp_path / "converted"))) == [
        os.path.basename(prefix) + ending for ending in (".data-00000-of-00001", ".index")
    ]
    assert caplog.text.count("Converted ") == 1
    # The file alone has the same content, which is there already.
    file = str(tmp_path / "model" / "model.safetensors")
    assert names.is_model(file) and not names.is_model(prefix)
    assert hugging_face.as_checkpoint(file, str(tmp_path / "converted")) == prefix
    assert caplog.text.count("Converted ") == 1
    values = sample_hugging_face.write_model(tmp_path / "model", sample_hugging_face.weights(1))
    assert hugging_face.as_checkpoint(file, str(tmp_path / "converted")) != prefix


def test_half_precision_becomes_float32(tmp_path):
    values = {
        name: value.astype(np.float16) for name, value in sample_hugging_face.weights().items()
    }
    sample_hugging_face.write_model(tmp_path / "model", values)
    found = hugging_face.read_weights(str(tmp_path / "model"), "input")
    assert {value.dtype for value in found.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(found[KERNEL], values[FFN].T.astype(np.float32))


def test_what_is_not_known_is_left_out_with_a_warning(tmp_path, caplog):
    values = dict(
        sample_hugging_face.weights(), **{"albert.adapter.weight": np.ones(3, np.float32)}
    )
    sample_hugging_face.write_model(tmp_path / "model", values)
    found = hugging_face.read_weights(str(tmp_path / "model"), "input")
    assert len(found) == len(values) - 1
    assert "Left out, since nothing here is like it: albert.adapter.weight." in caplog.text


def make_empty(folder):
    (folder / "model.safetensors").unlink()


def make_damaged(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-40])


def make_integers(folder):
    name = "albert.pooler.bias"
    save_file({name: np.ones(16, np.int32)}, str(folder / "model.safetensors"))


def make_foreign(folder):
    save_file({"bert.x": np.ones(16, np.float32)}, str(folder / "model.safetensors"))


def make_other_eps(folder):
    sample_hugging_face.write_model(folder, layer_norm_eps=1e-5)


def make_impossible(folder):
    sample_hugging_face.write_model(folder, vocab_size=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (make_impossible, "init_checkpoint=.*: config.json: vocab_size must be an integer from 1"),
        (make_empty, "init_checkpoint=.* has no model.safetensors; with transformers, save_pretra"),
        (make_damaged, "init_checkpoint=.* cannot be read: "),
        (make_integers, "albert.pooler.bias is of type I32; it must be one of F32, F16, F64."),
        (make_foreign, "holds no encoder of ALBERT"),
        (make_other_eps, "layer_norm_eps is 1e-05; here it is 1e-12."),
    ],
)
def test_what_is_no_model_is_refused(tmp_path, change, message):
    sample_hugging_face.write_model(tmp_path / "model")
    change(tmp_path / "model")
    with pytest.raises(UsageError, match=message):
        hugging_face.as_checkpoint(str(tmp_path / "model"), str(tmp_path / "converted"))
    assert not (tmp_path / "converted").exists()


def check(folder):
    weights = hugging_face.read_weights(str(folder), "input")
    config = hugging_face.read_config(str(folder), "input")
    checkpoint.check_shapes(weights, config, str(folder), "input")


def test_weights_must_have_the_shapes_of_the_configuration(tmp_path):
    values = sample_hugging_face.weights()
    for name in ("albert.pooler.weight", "albert.pooler.bias"):
        del values[name]  # as models of tokens alone have none
    sample_hugging_face.write_model(tmp_path / "model", values)
    check(tmp_path / "model")
    sample_hugging_face.write_model(tmp_path / "model", values, intermediate_size=64)
    expected = r"^input=.*dense/.* is \(.*32.*\); by its configuration it has the shape \(.*64"
    with pytest.raises(UsageError, match=expected):
        check(tmp_path / "model")
    del values[FFN]
    sample_hugging_face.write_model(tmp_path / "model", values)
    with pytest.raises(UsageError, match=f"{KERNEL} is missing; by its configuration"):
        check(tmp_path / "model")


def convert(source, target):
    """Runs the command; returns the finished process."""
    return subprocess.run(
        [sys.executable, "-m", "albert.convert", f"--input={source}", f"--output_dir={target}"],
        env=dict(os.environ, PYTHONPATH=str(runs.REPOSITORY)),
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_the_command_writes_what_runners_take_and_overwrites_no_model(tmp_path):
    values = sample_hugging_face.write_model(tmp_path / "model")
    (tmp_path / "model" / "spiece.model").write_bytes(b"pieces")
    finished = convert(tmp_path / "model", tmp_path / "out")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.split() == [
        str(tmp_path / "out" / name)
        for name in ("model.ckpt-best", "albert_config.json", "spiece.model")
    ]
    found = variables_of(tmp_path / "out" / "model.ckpt-best")
    np.testing.assert_array_equal(found[KERNEL], values[FFN].T)
    config = json.loads((tmp_path / "out" / "albert_config.json").read_text())
    assert config["hidden_act"] == "gelu" and "architectures" not in config
    assert {name: config[name] for name in sample_hugging_face.SIZES} == sample_hugging_face.SIZES
    again = convert(tmp_path / "model", tmp_path / "out")
    assert again.returncode == 1 and again.stderr.count("\n") == 1
    assert f"--output_dir={tmp_path / 'out'} holds a model.ckpt-best already" in again.stderr


@pytest.mark.slow
def test_the_command_may_write_into_the_folder_that_it_reads(tmp_path):
    folder = tmp_path / "model"
    sample_hugging_face.write_model(folder)
    (folder / "spiece.model").write_bytes(b"pieces")
    finished = convert(folder, folder)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert (folder / "spiece.model").read_bytes() == b"pieces"
    assert KERNEL in variables_of(folder / "model.ckpt-best")


@pytest.mark.slow
def test_a_run_starts_from_a_model(tmp_path):
    values = sample_hugging_face.write_model(tmp_path / "model")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sample_tagging.WORDS]
    tokens += [f"more{number}" for number in range(50 - len(tokens))]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    sample_tagging.write_conll(tmp_path / "train.conll", sample_tagging.sentences(8, "train"))
    given = {
        "albert_config_file": tmp_path / "model" / "config.json",
        "init_checkpoint": tmp_path / "model",
        "vocab_file": tmp_path / "vocab.txt",
        "train_file": tmp_path / "train.conll",
        "output_dir": tmp_path / "out",
        "max_seq_length": 32,
        "train_batch_size": 4,
        "train_step": 1,
        "num_gpu_cores": 2,
        "device_type": "cpu",
    }
    commands = {
        "run": runs.arguments(given, "do_train", "overwrite_output_dir"),
        "nothing there": runs.arguments(dict(given, init_checkpoint=tmp_path), "do_train"),
    }
    found = runs.in_one_process("run_multigpus_tagging", commands)
    assert found["run"]["status"] == 0, found["run"]["stderr"]
    start = variables_of(tmp_path / "out" / "model.ckpt-0")
    np.testing.assert_array_equal(start[KERNEL], values[FFN].T)
    assert (
        f"Converted {tmp_path / 'model'} to {tmp_path / 'out' / 'hugging_face'}"
        in (found["run"]["stderr"])
    )
    assert "there is no such checkpoint" in found["nothing there"]["stderr"]
