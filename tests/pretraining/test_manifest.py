"""Tests of albert.pretraining.manifest."""

import json

import pytest

from albert.common.errors import UsageError
from albert.pretraining import manifest

SHARD = {
    "num_documents": 2,
    "num_sentences": 9,
    "num_dropped_sentences": 1,
    "num_sequences": 4,
    "num_tokens": 40,
    "num_bytes": 3,
    "crc32": 7,
    "source_sha256": "ab",
}


def made(prefix, num_shards=2, **changes):
    """Writes a data set with its manifest; returns the Manifest."""
    rows = [
        manifest.Shard(file=f"{prefix.name}-0000{number}.tf_record", **SHARD)
        for number in range(num_shards)
    ]
    for row in rows:
        (prefix.parent / row.file).write_bytes(b"abc")
    values = {
        "path": f"{prefix}.manifest.json",
        "layout": "sequences",
        "is_complete": True,
        "max_seq_length": 64,
        "vocab_size": 100,
        "tokenizer": {"vocabulary": "cd", "do_lower_case": True},
        "settings": {"random_seed": 1},
        "vocabulary": None,
        "inputs": [{"path": "a.txt", "num_bytes": 5, "sha256": "ef"}],
        "shards": tuple(rows),
    }
    found = manifest.Manifest(**dict(values, **changes))
    manifest.write(found)
    return found


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    written = made(tmp_path / "P", vocabulary={"vocab_size": 100})
    assert manifest.read(written.path) == written
    assert written.shard_paths() == [
        str(tmp_path / f"P-0000{number}.tf_record") for number in (0, 1)
    ]


def test_the_file_has_the_sums_of_the_shards(tmp_path):
    content = json.loads(open(made(tmp_path / "P").path, encoding="utf-8").read())
    counts = [name for name in SHARD if name.startswith("num_") and name != "num_bytes"]
    assert {name: content[name] for name in counts} == {name: 2 * SHARD[name] for name in counts}
    assert content["format_version"] == 1
    assert content["shards"][1] == {"file": "P-00001.tf_record", **SHARD}


def change(**changes):
    return lambda content: {**content, **changes}


def change_shard(**changes):
    return lambda content: {**content, "shards": [{**content["shards"][0], **changes}]}


@pytest.mark.parametrize(
    "alter, message",
    [
        (lambda content: {}, "is no manifest of create_pretraining_data"),
        (change(shards=None), "'shards' of the manifest must be of type list, not NoneType"),
        (change(format_version=2), "has format version 2; this program reads 1"),
        (change(format_version="1"), "has format version '1'"),
        (change(layout="packed"), "'packed' is no layout that this program reads"),
        (change(is_complete=1), "'is_complete' of the manifest must be of type bool, not int"),
        (change(is_complete=False), "run create_pretraining_data again; the same command resumes"),
        (change(shards=[3]), "shard 0 has no 'file'"),
        (change_shard(file="../P-00000.tf_record"), "shard 0 cannot be as it says"),
        (change_shard(file="P.txt"), "shard 0 cannot be as it says"),
        (change_shard(num_sequences=-1), "shard 0 cannot be as it says"),
        (change_shard(num_bytes=4), "P-00000.tf_record has 3 bytes, but "),
        (change_shard(file="P-00007.tf_record"), "P-00007.tf_record: No such file or directory"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused_in_one_line(tmp_path, alter, message):
    path = made(tmp_path / "P").path
    with open(path, encoding="utf-8") as reader:
        content = json.load(reader)
    with open(path, "w", encoding="utf-8") as writer:
        json.dump(alter(content), writer)
    with pytest.raises(UsageError) as caught:
        manifest.read(path)
    assert message in str(caught.value) and path in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_manifest_that_is_no_json_is_refused(tmp_path):
    path = tmp_path / "P.manifest.json"
    path.write_bytes(b"{")
    with pytest.raises(UsageError, match="is not JSON"):
        manifest.read(str(path))


def test_an_earlier_manifest_that_is_damaged_counts_as_none(tmp_path, caplog):
    prefix = str(tmp_path / "P")
    assert manifest.read_previous(prefix) is None
    (tmp_path / "P.manifest.json").write_bytes(b"{")
    assert manifest.read_previous(prefix) is None
    assert "Everything is made anew" in caplog.text
    written = made(tmp_path / "P", is_complete=False)
    assert manifest.read_previous(prefix) == written


@pytest.fixture
def folder(tmp_path):
    """Returns a folder with two data sets, a vocabulary and files of another program."""
    made(tmp_path / "P")
    made(tmp_path / "Q", num_shards=1)
    for name in ("P.model", "P.vocab", "P-00009.tf_record", "other.tfrecord"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(
    "patterns, expected",
    [
        ("P.manifest.json", ["P"]),
        ("*.manifest.json", ["P", "Q"]),
        ("P*", ["P-00009.tf_record", "P"]),
        ("P-0000[01].tf_record", ["P"]),
        ("./P-0000?.tf_record, P.manifest.json", ["P", "P-00009.tf_record"]),
        ("other.tfrecord,Q*", ["other.tfrecord", "Q"]),
        ("other.tfrecord,*.tfrecord", ["other.tfrecord"]),
        ("P.manifest.json,P-00000.tf_record", ["P"]),
    ],
)
def test_patterns_find_data_sets_and_other_files(folder, monkeypatch, patterns, expected):
    monkeypatch.chdir(folder)
    found = [
        item if isinstance(item, str) else item.path[: -len(".manifest.json")]
        for item in manifest.find(patterns, "input_file")
    ]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    "patterns, message",
    [
        ("P-00000.tf_record", "P-00000.tf_record is only a part of what P.manifest.json lists"),
        ("none*", "input_file: no file matches none"),
        ("Q*,none", "input_file: no file matches none"),
        (" , ", "input_file= ,  names no file"),
        (".", "input_file: . is a folder"),
    ],
)
def test_patterns_that_name_too_little_are_refused(folder, monkeypatch, patterns, message):
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError) as caught:
        manifest.find(patterns, "input_file")
    assert message in str(caught.value)


def test_a_name_with_brackets_is_itself(tmp_path):
    path = tmp_path / "[a].tfrecord"
    path.write_bytes(b"x")
    assert manifest.find(str(path), "input_file") == [str(path)]


def test_a_folder_in_the_place_of_a_manifest_is_refused(tmp_path):
    (tmp_path / "P.manifest.json").mkdir()
    with pytest.raises(UsageError, match="P.manifest.json is a folder"):
        manifest.read_previous(str(tmp_path / "P"))
