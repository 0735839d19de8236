"""Two processes of a user that start at the same moment and write the same paths."""

import json
import os
import subprocess
import sys

import packed
import pytest
import runs
import sample_hugging_face
import sample_models
import sample_tagging
import tensorflow.compat.v1 as tf

from albert.engine import checkpoints, input_pipeline

pytestmark = pytest.mark.slow

# Starts what takes seconds and differs from process to process, then waits for the other one.
_START = """
import runpy, sys
from albert.cli import quiet
quiet.ready_tensorflow()
import tensorflow
print("ready", flush=True)
sys.stdin.readline()
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def both(module, *commands):
    """Runs commands of a module, which begin at once; returns [(exit status, stderr)]."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _START, f"albert.{module}", *command],
            env=dict(os.environ, PYTHONPATH=str(runs.REPOSITORY)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
        )
        for command in commands
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    texts = [process.communicate(timeout=300)[1] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, texts)]


def test_two_runs_on_a_cold_cache_both_succeed_and_the_cache_is_whole(tmp_path):
    sample_hugging_face.write_model(tmp_path / "model")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sample_tagging.WORDS]
    tokens += [f"more{number}" for number in range(50 - len(tokens))]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    sample_tagging.write_conll(tmp_path / "train.conll", sample_tagging.sentences(1500, "train"))
    values = {
        "albert_config_file": tmp_path / "model" / "config.json",
        "init_checkpoint": tmp_path / "model",
        "vocab_file": tmp_path / "vocab.txt",
        "train_file": tmp_path / "train.conll",
        "cached_dir": tmp_path / "cache",
        "max_seq_length": 32,
        "train_step": 1,
        "device_type": "cpu",
    }
    commands = [
        runs.arguments(dict(values, output_dir=tmp_path / name), "do_train") for name in "ab"
    ]
    found = both("run_multigpus_tagging", *commands)
    assert [status for status, _ in found] == [0, 0], found
    written = [f"Writing features to {tmp_path}" in text for _, text in found]
    assert sorted(written) == [False, True], found  # the other one waits
    files = sorted(packed.contents_of(tmp_path / "cache"))
    kinds = [name.split(".", 1)[1] for name in files]
    whole = ["ckpt.data-00000-of-00001", "ckpt.index", "tf_record", "tf_record.json"]
    assert sorted(kinds) == whole
    (converted,) = (tmp_path / "cache").glob("*/*.index")
    assert checkpoints.find_damage(str(converted)[: -len(".index")]) is None
    (records,) = (tmp_path / "cache").glob("*.tf_record")
    sidecar = json.loads((tmp_path / "cache" / (records.name + ".json")).read_text())
    assert input_pipeline._describes(sidecar, str(records), sidecar["fingerprint"])
    assert sidecar["num_features"] == sum(1 for _ in tf.io.tf_record_iterator(str(records)))
    ends = [packed.contents_of(tmp_path / name)["model.ckpt-1.index"] for name in "ab"]
    assert ends[0] == ends[1]


def test_two_conversions_into_one_folder_leave_a_whole_model(tmp_path):
    sample_hugging_face.write_model(tmp_path / "model")
    (tmp_path / "model" / "spiece.model").write_bytes(b"piece" * 10**6)
    command = [f"--input={tmp_path / 'model'}", f"--output_dir={tmp_path / 'out'}"]
    found = both("convert", command, command)
    assert [status for status, _ in found] == [0, 0], found
    assert checkpoints.find_damage(str(tmp_path / "out" / "model.ckpt-best")) is None
    assert sorted(packed.contents_of(tmp_path / "out")) == [
        "albert_config.json",
        "model.ckpt-best.data-00000-of-00001",
        "model.ckpt-best.index",
        "spiece.model",
    ]
    assert (tmp_path / "out" / "spiece.model").read_bytes() == b"piece" * 10**6


def test_of_two_exports_into_one_folder_one_is_there_and_the_other_is_refused(
    tmp_path, tmp_path_factory
):
    model_dir = sample_models.trained(tmp_path_factory)["single"]
    command = [f"--model_dir={model_dir}", "--format=hugging_face", f"--output={tmp_path / 'out'}"]
    found = sorted(both("export", command, command))
    assert [status for status, _ in found] == [0, 1]
    assert found[0][1] == ""
    refused = f"export: --output={tmp_path / 'out'} is a folder that holds files; it must be new"
    assert found[1][1].startswith(refused) and found[1][1].count("\n") == 1
    assert {"metadata.json", "model.safetensors"} < set(packed.contents_of(tmp_path / "out"))
    assert os.listdir(str(tmp_path)) == ["out"]


def test_two_downloads_into_one_folder_fetch_the_archive_once(tmp_path, server):
    server.files["RTE.zip"] = packed.task_zip("RTE")
    command = ["glue", f"--data_dir={tmp_path / 'data'}", f"--base_url={server.url}", "--tasks=RTE"]
    found = both("cli.downloads", command, command)
    assert [status for status, _ in found] == [0, 0], found
    names = {f"RTE/{split}.tsv" for split in ("train", "dev", "test")}
    assert set(packed.contents_of(tmp_path / "data")) == names
    assert [name for name, _ in server.requests] == ["RTE.zip"]
