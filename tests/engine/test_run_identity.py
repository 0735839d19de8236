"""Tests of albert.engine.run_identity: an output_dir belongs to one run."""

import json
import logging
import os

import pytest
import tiny
from tiny_task import TinyTask

from albert.common.errors import UsageError
from albert.engine import run_identity
from albert.engine.config import FinetuneConfig
from albert.engine.task import Change, DataSource, settings_of

FIXED = {"task_name": "cola", "labels": ["0", "1"]}
START = {"seed": 42, "optimizer": "adamw"}
SIZES = {"hidden_size": 16}
INPUT = {"max_seq_length": 128}
SCHEDULE = {"learning_rate": 2e-5}
PATHS = {"output_dir": "here"}


def settings(**changes):
    """Returns the settings of a run with some values changed."""
    groups = (
        settings_of(FIXED, Change.REFUSED),
        settings_of(SIZES, Change.REFUSED, "{} of <albert_config_file>"),
        settings_of(START, Change.REFUSED_IN_TRAINING),
        settings_of(INPUT, Change.WARNED),
        settings_of(SCHEDULE, Change.WARNED_IN_TRAINING),
        settings_of(PATHS, Change.ALLOWED),
    )
    found = {name: setting for group in groups for name, setting in group.items()}
    for name, value in changes.items():
        found[name] = found[name]._replace(value=value)
    return found


@pytest.fixture
def folder(tmp_path):
    """Returns an output_dir with a record."""
    run_identity.claim(str(tmp_path), settings(), {"data_dir": "glue"}, {})
    return str(tmp_path)


def record_of(folder):
    with open(os.path.join(folder, run_identity.NAME), encoding="utf-8") as reader:
        return json.load(reader)


@pytest.mark.parametrize("is_training", [True, False])
def test_the_same_run_goes_on(folder, caplog, is_training):
    run_identity.check(folder, settings(), is_training)
    assert not caplog.records


def test_every_setting_and_every_flag_is_recorded(folder):
    everything = {**FIXED, **START, **SIZES, **INPUT, **SCHEDULE, **PATHS}
    assert record_of(folder)["settings"] == everything
    assert record_of(folder)["options"] == {"data_dir": "glue"}


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize(
    "changes, said",
    [
        ({"labels": ["1", "0"]}, "labels was ['0', '1'] and is ['1', '0']"),
        ({"task_name": "rte"}, "task_name was 'cola' and is 'rte'"),
        ({"hidden_size": 32}, "hidden_size of albert_config_file was 16 and is 32"),
    ],
)
def test_another_model_is_refused_with_what_differs(folder, changes, said, is_training):
    with pytest.raises(UsageError) as raised:
        run_identity.check(folder, settings(**changes), is_training)
    assert str(raised.value) == (
        f"output_dir={folder} holds another run: {said}. Use another folder, or the same settings "
        "to go on."
    )


def test_all_that_differs_is_named_at_once(folder):
    with pytest.raises(UsageError, match="seed was 42 and is 7; optimizer was 'adamw' and is"):
        run_identity.claim(folder, settings(seed=7, optimizer="lamb"), {}, {})
    assert record_of(folder)["settings"]["seed"] == 42


def test_another_seed_or_optimizer_is_refused_only_in_training(folder, caplog):
    run_identity.check(folder, settings(seed=7, optimizer="lamb"), is_training=False)
    with pytest.raises(UsageError, match="seed was 42 and is 7"):
        run_identity.check(folder, settings(seed=7), is_training=True)
    assert not caplog.records


@pytest.mark.parametrize(
    "is_training, said",
    [
        (True, "max_seq_length was 128 and is 64; learning_rate was 2e-05 and is 0.1."),
        (False, "max_seq_length was 128 and is 64."),
    ],
)
def test_what_alters_the_results_is_warned_of_in_one_line(folder, caplog, is_training, said):
    changed = settings(max_seq_length=64, learning_rate=0.1, output_dir="there")
    run_identity.check(folder, changed, is_training)
    run_identity.warn_of_changes(folder, changed, is_training)
    (line,) = caplog.records
    assert line.levelno == logging.WARNING
    assert line.getMessage() == f"Changed since the last start of this run: {said}"


def test_a_change_is_warned_of_only_at_the_start_that_makes_it(folder, caplog):
    changed = settings(learning_rate=0.1)
    run_identity.claim(folder, changed, {}, {})
    caplog.clear()
    run_identity.claim(folder, changed, {}, {})
    assert not caplog.records


def test_a_value_that_is_not_given_is_not_compared_and_not_forgotten(folder):
    unset = settings(optimizer=None)
    run_identity.claim(folder, unset, {}, {})
    assert record_of(folder)["settings"]["optimizer"] == "adamw"


def test_a_value_that_was_not_given_counts_as_different(tmp_path):
    run_identity.claim(str(tmp_path), settings(optimizer=None), {}, {})
    with pytest.raises(UsageError, match="optimizer was None and is 'adamw'"):
        run_identity.check(str(tmp_path), settings(), is_training=True)


def test_folder_without_a_record_takes_any_run(tmp_path):
    run_identity.check(str(tmp_path), settings(), is_training=True)
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize(
    "record",
    [
        {"--task_name": "cola", "hidden_size of --albert_config_file": 16, "--seed": 42},
        {"settings": {"task_name": "cola", "seed": 42}, "sizes": {"hidden_size": 16}},
    ],
)
def test_records_of_earlier_releases_are_understood(tmp_path, record, caplog):
    (tmp_path / run_identity.NAME).write_text(json.dumps(record))
    run_identity.check(str(tmp_path), settings(), is_training=True)
    assert not caplog.records
    for changes in ({"seed": 7}, {"hidden_size": 32}, {"task_name": "rte"}):
        with pytest.raises(UsageError, match="holds another run"):
            run_identity.check(str(tmp_path), settings(**changes), is_training=True)


def test_a_record_from_before_there_were_precisions_is_of_float32(tmp_path):
    def check(precision):
        values = settings_of({"precision": precision}, Change.REFUSED_IN_TRAINING)
        run_identity.check(str(tmp_path), values, is_training=True)

    (tmp_path / run_identity.NAME).write_text('{"settings": {"seed": 42}}')
    check("fp32")
    with pytest.raises(UsageError, match="precision was 'fp32' and is 'fp16'"):
        check("fp16")


@pytest.mark.parametrize(
    "text",
    [
        '{"task_name": ',
        "[]",
        "7",
        '{"settings": 1}',
        '{"settings": {}, "sizes": []}',
        '{"settings": {}, "data": {"dev": 1}}',
        '{"settings": {}, "options": null}',
    ],
)
def test_damaged_record_is_refused(tmp_path, text):
    path = tmp_path / run_identity.NAME
    path.write_text(text)
    with pytest.raises(UsageError, match=f"{path} (is|does) no.* Use another output_dir."):
        run_identity.check(str(tmp_path), settings(), is_training=True)


def test_results_stay_with_the_data_that_they_are_about(tmp_path):
    folder = str(tmp_path)
    assert run_identity.owns_data(folder, "test", {"test": "a"})
    assert run_identity.owns_data(folder, "test", {"test": "a"})
    assert run_identity.owns_data(folder, "dev", {"dev": "b"})
    assert not run_identity.owns_data(folder, "test", {"test": "b"})
    assert run_identity.owns_data(folder, "test", {"test": "a", "diagnostic": "c"})
    assert not run_identity.owns_data(folder, "test", {"diagnostic": "c"})


def test_training_says_which_data_the_results_are_about(folder):
    assert run_identity.owns_data(folder, "dev", {"dev": "a"})
    run_identity.claim(folder, settings(), {}, {"dev": {"dev": "b"}})
    assert not run_identity.owns_data(folder, "dev", {"dev": "a"})


def test_other_data_have_a_folder_each_even_if_their_names_are_the_same(tmp_path):
    first, second = DataSource("dev-v2", "0123456789"), DataSource("dev-v2", "abcdefghij")
    folders = [
        run_identity.folder_of_other_data(str(tmp_path), "dev", source)
        for source in (first, second, first, second)
    ]
    names = ["predictions_dev-v2", "predictions_dev-v2_abcdefgh"]
    assert folders == 2 * [str(tmp_path / name) for name in names]
    assert all(os.path.isdir(folder) for folder in folders)
    assert run_identity.folder_of_other_data(str(tmp_path), "test", second) == folders[0]


def test_a_source_is_named_after_its_file_or_folder(tmp_path):
    assert DataSource.of("data/dev-v2.0.json", 1).name == "dev-v2.0"
    assert DataSource.of(str(tmp_path / "RTE") + os.sep, 1).name == "RTE"
    assert DataSource.of("a", {"x": 1}).content == DataSource.of("b", {"x": 1}).content
    assert DataSource.of("a", {"x": 1}).content != DataSource.of("a", {"x": 2}).content


def test_the_files_of_the_model_are_copied_but_replace_no_file_of_the_users(tmp_path):
    source, output_dir = tmp_path / "vocab source", tmp_path / "output"
    output_dir.mkdir()
    source.write_text("a\nb\n")

    def claim():
        config = FinetuneConfig(tiny.config(), str(output_dir))
        run_identity.Run(TinyTask(), config, {}, {"vocab.txt": str(source)}).claim([])

    (output_dir / "vocab.txt").write_text("mine\n")
    with pytest.raises(UsageError, match="holds another vocab.txt, which is not of a run"):
        claim()
    assert not (output_dir / "run.json").exists()
    (output_dir / "vocab.txt").unlink()
    claim()
    assert (output_dir / "vocab.txt").read_text() == "a\nb\n"
    source.write_text("a\nc\n")  # the configuration of a run may change
    claim()
    assert (output_dir / "vocab.txt").read_text() == "a\nc\n"
    # A copy that the next run reads stays.
    run_identity.erase(str(output_dir), kept=[str(output_dir / "vocab.txt")])
    assert [path.name for path in output_dir.iterdir()] == ["vocab.txt"]


def test_erasing_removes_the_copies_of_the_models_files(tmp_path):
    source, output_dir = tmp_path / "source", tmp_path / "output"
    output_dir.mkdir()
    source.write_text("a\nb\n")
    config = FinetuneConfig(tiny.config(), str(output_dir))
    run_identity.Run(TinyTask(), config, {}, {"vocab.txt": str(source)}).claim([])
    run_identity.erase(str(output_dir))
    assert list(output_dir.iterdir()) == []
