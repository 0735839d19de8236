"""Readers of models, of what models are asked, and of what runs have left; see fuzz_readers.py."""

import contextlib
import functools
import gzip
import json
from types import SimpleNamespace

import fuzz_feed
import packed
import sample_brightmart
import sample_hugging_face
import sample_models
import sample_runs
import tensorflow.compat.v1 as tf
from fuzz_feed import Reader

from albert import convert, predict
from albert.cli import trained_model
from albert.common import json_files
from albert.common.errors import UsageError
from albert.conversion import brightmart, hugging_face
from albert.engine import pretrained
from albert.export import __main__ as export
from albert.export import metadata, tokenizer_json
from albert.report import __main__ as report
from albert.serve import body as body_lib

LIMITS = body_lib.Limits(max_body_bytes=1 << 20, max_inputs=256, max_text_length=10000)
SLOW = 20  # a period: these build graphs
_RUN_FILES = ("run.json", "albert_config.json", "vocab.txt")
_CONLL = b"anna B-PER\nsmith I-PER\n\nwent O\nto O\noslo B-LOC\n"


def make_readers(folder, models):
    """Returns {name: Reader}; makes the start files in a folder.

    Args:
        models: {name: output_dir} of trained models, as sample_models.trained returns.
    """
    readers = {}
    for name, output_dir in models.items():
        ask = functools.lru_cache(None)(functools.partial(_opened, str(output_dir)))
        given = sample_models.INPUTS[name]
        files = _files_of_run(output_dir)
        readers[f"request {name}"] = _request_reader(name, ask)
        readers[f"model {name}"] = Reader(files, functools.partial(model_folder, given=given), 2)
        readers[f"load {name}"] = Reader(files, functools.partial(predicting, given=given), SLOW)
        readers[f"export {name}"] = Reader(files, exporting, 2 * SLOW)
        if name in ("single", "tagging"):
            readers.update(_input_readers(name, ask))
    readers.update(_foreign_readers(folder))
    readers.update(_report_readers(folder))
    return readers


def _opened(output_dir):
    return predict.load(output_dir, device_type="cpu")


# What a model is asked


def _request_reader(name, ask):
    """Returns the Reader of the bodies that the server receives."""

    def answer(content):
        try:
            inputs, _ = body_lib.inputs_in(content, LIMITS)
        except body_lib.Refused as refused:  # an answer of 4xx
            raise UsageError(refused.message) from refused
        results = ask().predict(inputs)
        assert len(json.loads(json_files.as_json(results).encode())) == len(inputs)

    given = sample_models.INPUTS[name]
    return fuzz_feed.of_content(json.dumps([given, given]).encode(), answer)


def _input_readers(name, ask):
    """Returns the readers of the files that albert.predict predicts."""
    rows = [{"text": "a red one", "id": 1, "more": None}, {"text": "blue", "id": 2, "more": [1]}]
    lines = "\n".join(map(json.dumps, rows)).encode()
    contents = {"jsonl": lines, "csv": b'text,id\n"a, b",1\nc,2\n', "txt": b"a red one\nblue\n"}
    contents.update({"tsv": b"text\tid\na b\t1\nc\t2\n", "jsonl.gz": gzip.compress(lines)})
    if name == "tagging":
        contents = {"conll": _CONLL, "jsonl": b'{"tokens": ["anna", "went"]}\n{"text": "to."}\n'}
    return {
        f"predict {name}.{ending}": Reader(
            {f"input.{ending}": content}, functools.partial(_predict_file, ask, f"input.{ending}")
        )
        for ending, content in contents.items()
    }


def _predict_file(ask, name, folder):
    rows = predict._rows(str(folder / name), "auto")
    for result in ask().predict_rows(rows):
        assert len(json_files.as_json(result).encode().split(b"\n")) == 1


# Folders of trained models


def _files_of_run(output_dir):
    """Returns what is read of a run, and a record of its evaluation, which these do not have."""
    files = packed.contents_of(output_dir)
    kept = {name: files[name] for name in _RUN_FILES}
    last = max(name for name in files if name.endswith(".index"))[: -len(".index")]
    kept.update({name: data for name, data in files.items() if name.startswith(last + ".")})
    kept.pop(last + ".meta", None)
    step = int(last.rsplit("-", 1)[1])
    metrics = {"f1": 0.5, "accuracy": 0.5, "threshold": 0.4, "best_f1_thresh": -0.5, "loss": 1.0}
    record = {
        "settings": {"task": "a", "seed": 1},
        "evaluations": [{"step": step, "dataset": "d", "metrics": metrics}],
    }
    kept["eval_results.json"] = json.dumps(record).encode()
    return kept


def model_folder(folder, given):
    """Opens a folder as albert.predict, serve and export do, without building its graph."""
    trained_model.check(str(folder))
    trained = trained_model.load(str(folder))
    pretrained.check(trained.checkpoint, "model_dir")
    cells = {"text": given} if isinstance(given, str) else given
    example = trained.task.example_of(predict.Row("input 0", cells))
    assert list(trained.task.features_of([example]))
    json_files.as_json(metadata.of(trained))
    tokenizer_json.of(trained.tokenizer)


def predicting(folder, given):
    with _no_graph_left():
        assert predict.load(str(folder), device_type="cpu").predict([given])


def exporting(folder):
    output = folder / "exported"
    for kind in export.HUGGING_FACE, export.SAVED_MODEL:
        target = str(output / kind)
        export._export(SimpleNamespace(model_dir=str(folder), format=kind, output=target))
    with open(str(output / export.HUGGING_FACE / "metadata.json"), "rb") as reader:
        json.loads(reader.read().decode())


@contextlib.contextmanager
def _no_graph_left():
    yield
    tf.reset_default_graph()


# Models of other programs


def _foreign_readers(folder):
    theirs = folder / "hugging_face"
    sample_hugging_face.write_model(theirs)
    zh = folder / "albert_zh"
    sample_brightmart.write_model(zh)
    return {
        "Hugging Face": Reader(packed.contents_of(theirs), hugging_face_model, SLOW),
        "albert_zh": Reader(packed.contents_of(zh), albert_zh, SLOW),
    }


def hugging_face_model(folder):
    hugging_face.as_checkpoint(str(folder), str(folder / "cached"))
    _convert(folder, folder, None)


def albert_zh(folder):
    path, config_file = folder / "albert_model.ckpt", folder / "albert_config_tiny.json"
    if brightmart.is_checkpoint(str(path)) and config_file.is_file():
        brightmart.as_checkpoint(str(path), str(config_file), str(folder / "cached"))
    if config_file.is_file():  # else the flag's value is refused before
        _convert(folder, path, str(config_file))


def _convert(folder, source, config_file):
    target = str(folder / "converted")
    with _no_graph_left():
        convert._convert(
            SimpleNamespace(input=str(source), albert_config_file=config_file, output_dir=target)
        )


# What runs have left


def _report_readers(folder):
    metrics = {20: {"accuracy": 0.5, "f1": 0.4, "pearson": 0.1, "loss": 0.5}}
    text = "Ann met Bob."
    rows = {
        "classified": [
            sample_runs.classified(0, "no", "yes"),
            sample_runs.classified(1, "no", "no"),
        ],
        "scored": [sample_runs.scored(0, 1.0, 2.0), sample_runs.scored(1, 3.5, 3.0)],
        "labelled": [sample_runs.labelled(0, ["a"], ["a", "b"], 0.5)] * 2,
        "answered": [sample_runs.answered(0, ["Ann"], "Bob"), sample_runs.answered(1, [text], "")],
        "tagged": [sample_runs.tagged(0, "ann met bob", "B-PER O B-PER", "B-PER O B-LOC")],
    }
    readers = {}
    for name, found in rows.items():
        place = folder / f"run_{name}"
        sample_runs.write_run(place, metrics, found)
        readers[f"report {name}"] = Reader(packed.contents_of(place), reporting, SLOW)
    return readers


def reporting(folder):
    report._write(SimpleNamespace(output_dirs=[str(folder)], output=None))
    assert (folder / report.FILE_NAME).read_text(encoding="utf-8").rstrip().endswith("</html>")
