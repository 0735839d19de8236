"""Tests of albert.cli.trained_model: folders of runs whose files were changed or damaged."""

import json
import shutil
from types import SimpleNamespace

import pytest
import sample_models

from albert import predict
from albert.cli import trained_model
from albert.common.errors import UsageError
from albert.export import __main__ as export

pytestmark = pytest.mark.slow
MISSING = object()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return sample_models.trained(tmp_path_factory)


@pytest.fixture
def copy_of(models, tmp_path):
    """Returns a function of a name that returns the folder of a copy of that model."""

    def copied(name):
        shutil.copytree(str(models[name]), str(tmp_path / "model"))
        return tmp_path / "model"

    return copied


def change(path, values):
    """Changes keys of a JSON object in a file; of run.json those of its settings."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    changed = stored["settings"] if path.name == "run.json" else stored
    for key, value in values.items():
        changed.pop(key, None)
        if value is not MISSING:
            changed[key] = value
    path.write_text(json.dumps(stored), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("single", {"labels": "ab"}, "run.json: 'labels' of the run must be of type list"),
        ("single", {"labels": ["a", 1]}, "run.json: 'labels' of the run must hold texts only."),
        ("single", {"task_type": "sum"}, "run.json: the run has an unknown task_type, 'sum'."),
        ("single", {"columns": 0.5}, "run.json: 'columns' of the run must be of type list, not fl"),
        ("single", {"columns": ["text"]}, "run.json: columns has no 'labels'."),
        ("single", {"columns": ["a", 1, ["b"]]}, "run.json: 'text_pair' of columns must be of ty"),
        ("single", {"max_seq_length": [8]}, "run.json: 'max_seq_length' of the run must be of"),
        ("single", {"max_seq_length": 65}, "run.json: max_seq_length 65 of the run must be from"),
        ("single", {"do_lower_case": None}, "run.json: 'do_lower_case' of the run must be of t"),
        ("pair", {"task_name": MISSING}, "run.json: the run has no 'task_name'."),
        ("squad2.0", {"doc_stride": "8"}, "run.json: 'doc_stride' of the run must be of type int,"),
        ("squad2.0", {"squad_version": "3"}, "squad_version=3 must be one of 1.1, 2.0."),
        ("race", {"high_only": MISSING}, "run.json: the run has no 'high_only'."),
        ("tagging", {"tags": ["O", None]}, "run.json: 'tags' of the run must hold texts only."),
    ],
)
def test_a_record_that_is_none_of_a_run_is_one_line(copy_of, name, changes, message):
    folder = copy_of(name)
    change(folder / "run.json", changes)
    with pytest.raises(UsageError) as caught:
        trained_model.load(str(folder))
    assert str(caught.value).startswith(message)


def test_whole_numbers_are_rates_too(copy_of):
    folder = copy_of("race")
    change(folder / "run.json", {"dropout_prob": 0})
    assert trained_model.load(str(folder)).task.name == "race"


def test_a_damaged_index_is_one_line(copy_of):
    folder = copy_of("single")
    for path in folder.glob("*.index"):
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UsageError, match="model.ckpt-2 is damaged .*, and no other checkpoint"):
        trained_model.load(str(folder))


def test_a_configuration_of_another_model_is_one_line(copy_of):
    folder = copy_of("single")
    change(folder / "albert_config.json", {"intermediate_size": 40})
    expected = "model_dir=.*model.ckpt-2: bert/.* has shape .*, but the model's is"
    with pytest.raises(UsageError, match=expected):
        predict.load(str(folder), device_type="cpu")
    given = {"model_dir": str(folder), "output": str(folder / "new"), "format": "saved_model"}
    with pytest.raises(UsageError, match=expected):
        export._export(SimpleNamespace(**given))
