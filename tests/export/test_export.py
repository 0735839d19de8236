"""Tests of albert.export: every task and format, beside what the engine computes."""

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import runs
import sample_hugging_face
import sample_models
import tensorflow.compat.v1 as tf
import tiny
from safetensors.numpy import load_file
from tensorflow.core.protobuf import saved_model_pb2

from albert import convert
from albert.cli import trained_model
from albert.common.errors import UsageError
from albert.common.tables import LINE, Row
from albert.conversion import checkpoint, hugging_face
from albert.engine.input_pipeline import batches_of
from albert.engine.model_fn import build
from albert.engine.task import model_inputs
from albert.export import __main__ as export
from albert.export import onnx

NAMES = sample_models.NAMES
SHORT = {
    "single": "red",
    "pair": {"premise": "red", "hypothesis": "red"},
    "number": "old",
    "labels": {"text": "blue"},
    "squad1.1": {"context": "Ann sings.", "question": "What?"},
    "squad2.0": {"context": "Ann sings.", "question": "What?"},
    "race": {"article": "Ba.", "question": "_?", "options": ["ba", "be", "bi", "bo"]},
    "tagging": "anna .",
}
OUTPUTS = {
    "number": ["logits"],
    "squad1.1": ["end_logits", "start_logits"],
    "squad2.0": ["end_index", "end_log_probs", "null_logits", "start_index", "start_log_probs"],
}
ARCHITECTURES = {
    "single": "AlbertForSequenceClassification",
    "pair": "AlbertForSequenceClassification",
    "number": "AlbertForSequenceClassification",
    "labels": "AlbertForSequenceClassification",
    "squad1.1": "AlbertForQuestionAnswering",
    "squad2.0": "AlbertModel",
    "race": "AlbertForMultipleChoice",
    "tagging": "AlbertForTokenClassification",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return sample_models.trained(tmp_path_factory)


def exported(model_dir, kind, folder):
    arguments = SimpleNamespace(model_dir=str(model_dir), format=kind, output=str(folder))
    export._export(arguments)
    return folder


def batch_of(trained, name):
    """Returns {input of the model: values} of two inputs of different length."""
    rows = [
        Row("input", {LINE: cells} if isinstance(cells, str) else cells)
        for cells in (sample_models.INPUTS[name], SHORT[name])
    ]
    examples = [trained.task.example_of(row) for row in rows]
    spec = trained.task.feature_spec()
    features = list(trained.task.features_of(examples))
    ((_, batch),) = batches_of(features, spec, len(features))
    return {each: batch[each] for each in model_inputs(spec)}


def computed(trained, batch):
    """Returns what the engine's own graph makes of a batch, without padding."""
    spec = model_inputs(trained.task.feature_spec())
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = {each: tf.placeholder(row.dtype, row.shape) for each, row in spec.items()}
        output = build(trained.task, trained.albert_config, inputs, is_training=False)
        tf.train.Saver().restore(session, trained.checkpoint)
        feed = {inputs[each]: batch[each] for each in inputs}
        return session.run(output.exported or output.predictions, feed)


def assert_equal(found, expected, batch):
    assert sorted(found) == sorted(expected)
    is_real = batch["input_mask"].astype(bool)
    for name, values in expected.items():
        if values.shape[:2] == is_real.shape:  # one for each token: padding has no meaning
            found[name], values = found[name][is_real], values[is_real]
        np.testing.assert_allclose(found[name], values, atol=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_saved_model_computes_the_same_from_token_ids_alone(name, models, tmp_path):
    trained = trained_model.load(str(models[name]))
    batch = batch_of(trained, name)
    folder = exported(models[name], "saved_model", tmp_path / "new")
    with tf.Graph().as_default(), tf.Session() as session:
        meta = tf.saved_model.loader.load(session, ["serve"], str(folder))
        signature = meta.signature_def["serving_default"]
        feed = {info.name: batch[each] for each, info in signature.inputs.items()}
        fetches = {each: info.name for each, info in signature.outputs.items()}
        found = session.run(fetches, feed)
    mask = {"p_mask"} if name == "squad2.0" else set()
    assert set(signature.inputs) == {"input_ids", "input_mask", "segment_ids"} | mask
    assert sorted(signature.outputs) == OUTPUTS.get(name, ["logits", "probabilities"])
    assert_equal(found, computed(trained, batch), batch)
    extra = folder / "assets.extra"
    about = json.loads((extra / "metadata.json").read_text(encoding="utf-8"))
    assert set(about["inputs"]) == set(signature.inputs)
    assert about["inputs"]["input_ids"]["dtype"] == "int32"
    assert sorted(os.listdir(str(extra))) == ["metadata.json", "tokenizer.json", "vocab.txt"]


def test_saved_model_has_no_attribute_that_has_its_default(models, tmp_path):
    folder = exported(models["single"], "saved_model", tmp_path / "new")
    stored = saved_model_pb2.SavedModel()
    stored.ParseFromString((folder / "saved_model.pb").read_bytes())
    (meta,) = stored.meta_graphs
    products = [node for node in meta.graph_def.node if node.op == "MatMul"]
    assert products and not any("transpose_a" in node.attr for node in products)
    assert meta.meta_info_def.stripped_default_attrs


@pytest.mark.parametrize("name", NAMES)
def test_onnx_computes_the_same(name, models, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    trained = trained_model.load(str(models[name]))
    batch = batch_of(trained, name)
    folder = exported(models[name], "onnx", tmp_path / "new")
    session = runtime.InferenceSession(
        str(folder / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    names = [each.name for each in session.get_outputs()]
    feed = {each.name: batch[each.name] for each in session.get_inputs()}
    assert session.get_inputs()[0].shape[0] == "batch"
    found = dict(zip(names, session.run(names, feed)))
    assert_equal(found, computed(trained, batch), batch)


@pytest.mark.parametrize("name", NAMES)
def test_hugging_face_has_the_same_weights(name, models, tmp_path, caplog):
    folder = exported(models[name], "hugging_face", tmp_path / "new")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == [ARCHITECTURES[name]]
    assert (config["hidden_act"], config["model_type"]) == ("gelu_new", "albert")
    reader = tf.train.load_checkpoint(trained_model.load(str(models[name])).checkpoint)
    found = hugging_face.read_weights(str(folder), "input")
    for variable, values in found.items():
        np.testing.assert_array_equal(values, reader.get_tensor(variable))
    expected = {
        variable
        for variable, shape in reader.get_variable_to_shape_map().items()
        if shape and not variable.endswith(("adam_m", "adam_v"))
    }
    if name in ("tagging", "squad1.1"):
        expected = {each for each in expected if not each.startswith("bert/pooler")}
    if name == "squad2.0":
        head = set(load_file(str(folder / "head.safetensors")))
        assert "answer_class/dense_0/kernel" in head and not any("adam" in each for each in head)
        expected -= head
        assert "the head is head.safetensors" in caplog.text
    assert set(found) == expected
    recorded = trained_model.load(str(models[name])).albert_config
    assert hugging_face.read_config(str(folder), "input").sizes() == recorded.sizes()


def test_labels_and_length_are_told(models, tmp_path):
    def read(name, file):
        folder = tmp_path / name
        if not folder.exists():
            exported(models[name], "hugging_face", folder)
        return json.loads((folder / file).read_text(encoding="utf-8"))

    assert read("pair", "config.json")["id2label"] == {"0": "no", "1": "yes"}
    assert read("pair", "tokenizer_config.json")["model_max_length"] == 48
    assert read("pair", "metadata.json")["labels"] == ["no", "yes"]
    assert read("labels", "config.json")["problem_type"] == "multi_label_classification"
    assert read("labels", "metadata.json")["threshold"] == 0.5
    assert read("number", "config.json")["problem_type"] == "regression"
    assert read("number", "config.json")["id2label"] == {"0": "score"}
    assert read("race", "metadata.json")["labels"] == ["A", "B", "C", "D"]
    assert "id2label" not in read("race", "config.json")
    assert read("squad2.0", "metadata.json")["doc_stride"] == 8
    assert read("tagging", "metadata.json")["scheme"] == "BIO"
    assert read("tagging", "metadata.json")["tokenizer"]["type"] == "WordPiece"


# Released layout -> Hugging Face -> released layout


def released(folder, **changes):
    """Writes a model with the heads of pre-training; returns its folder and values."""
    folder.mkdir()
    tiny_config = tiny.config(**dict({"num_hidden_groups": 2}, **changes))
    weights = {}
    generator = np.random.RandomState(1)
    values = sample_hugging_face.weights()
    for name, variable in hugging_face.names.of_hugging_face(values).items():
        shape = values[name].T.shape if variable.is_kernel else values[name].shape
        weights[variable.name] = generator.standard_normal(shape).astype(np.float32)
    weights["global_step"] = np.float32(7)
    weights["bert/pooler/dense/kernel/adam_m"] = np.zeros([16, 16], np.float32)
    checkpoint.write_checkpoint(str(folder / "model.ckpt-best"), weights)
    (folder / "albert_config.json").write_text(tiny_config.to_json_string(), encoding="utf-8")
    return {name: each for name, each in weights.items() if "adam" not in name and each.shape}


def test_released_layout_comes_back_bit_for_bit(tmp_path, capsys):
    weights = released(tmp_path / "released")
    folder = exported(tmp_path / "released", "hugging_face", tmp_path / "theirs")
    stored = load_file(str(folder / "model.safetensors"))
    assert {name: each.shape for name, each in stored.items()} == sample_hugging_face.shapes()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["AlbertForPreTraining"]
    convert._convert(
        SimpleNamespace(
            input=str(folder), output_dir=str(tmp_path / "back"), albert_config_file=None
        )
    )
    reader = tf.train.load_checkpoint(str(tmp_path / "back" / "model.ckpt-best"))
    assert set(reader.get_variable_to_shape_map()) == set(weights)
    for name, values in weights.items():
        np.testing.assert_array_equal(reader.get_tensor(name), values)


def test_embeddings_as_wide_as_hidden_states_get_a_projection_that_changes_nothing(tmp_path):
    tiny.write_model(tmp_path, embedding_size=16)
    folder = exported(tmp_path, "hugging_face", tmp_path / "theirs")
    file = folder / "model.safetensors"
    stored = load_file(str(file))
    np.testing.assert_array_equal(
        stored["encoder.embedding_hidden_mapping_in.weight"], np.eye(16, dtype=np.float32)
    )
    assert "bert/encoder/embedding_hidden_mapping_in/kernel" not in hugging_face.read_weights(
        str(folder), "input"
    )
    stored["encoder.embedding_hidden_mapping_in.bias"][3] = 0.5
    sample_hugging_face.save_file(stored, str(file))
    with pytest.raises(UsageError, match="projects embeddings that are as wide"):
        hugging_face.read_weights(str(folder), "input")


# Mistakes


@pytest.mark.parametrize(
    "kind, content, message",
    [
        ("saved_model", {}, "holds no run.json: it must be a run's output_dir."),
        ("onnx", {"run.json": "{}"}, "holds no albert_config.json"),
        ("hugging_face", {}, "holds no albert_config.json: it must be the folder of a model."),
        ("hugging_face", {"albert_config.json": "{}"}, "holds no checkpoint."),
    ],
)
def test_a_folder_without_a_model_is_refused(kind, content, message, tmp_path):
    for name, text in content.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        exported(tmp_path, kind, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten_and_nothing_half_written_is_left(models, tmp_path, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="output=.* is a folder that holds files"):
        exported(models["single"], "hugging_face", tmp_path / "full")
    with pytest.raises(UsageError, match="output=.* is a file"):
        exported(models["single"], "hugging_face", tmp_path / "full" / "mine")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("albert.export.metadata.write", fail)
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        with pytest.raises(OSError, match="No space left"):
            exported(models["single"], "hugging_face", tmp_path / name)
    assert sorted(os.listdir(str(tmp_path))) == ["empty", "full"]


@pytest.mark.parametrize("kind", ["saved_model", "hugging_face"])
def test_a_damaged_checkpoint_is_one_line(kind, models, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(str(models["single"]), str(folder))
    checkpoint_file = trained_model.load(str(folder)).checkpoint + ".data-00000-of-00001"
    with open(checkpoint_file, "r+b") as file:  # in a variable, so that the step can be read
        file.seek(os.path.getsize(checkpoint_file) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 255]))
    with pytest.raises(UsageError, match="is damaged"):
        exported(folder, kind, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_onnx_needs_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(UsageError, match="pip install -r requirements-onnx.txt"):
        onnx.check()


def test_the_command_prints_the_folder(models, tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "albert.export", f"--model_dir={models['single']}"),
            *("--format=hugging_face", f"--output={tmp_path / 'new'}"),
        ],
        env=dict(os.environ, PYTHONPATH=str(runs.REPOSITORY)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path / 'new'}\n", "")
    assert "model.safetensors" in os.listdir(str(tmp_path / "new"))
