"""Tests on a mounted disk that is too small or read-only; they need permission to mount one."""

import json
import subprocess

import pytest
from sample_glue import flags_of, run_python, write_glue

from albert.common.errors import UsageError
from albert.engine import input_pipeline

FEATURE = {"input_ids": list(range(500))}


def call(*command):
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


@pytest.fixture
def data_dir(tmp_path):
    folder = tmp_path / "glue data"
    folder.mkdir()
    write_glue(folder)
    return folder


def features(count):
    return lambda: (FEATURE for _ in range(count))


def test_features_that_fill_the_disk_are_an_error_and_leave_nothing(small_disk):
    cache = small_disk / "cache"
    with pytest.raises(UsageError, match="cached_dir=.*No space left on device") as error:
        input_pipeline.cached_features(str(cache), "a", {}, features(5000))
    assert "\n" not in str(error.value)
    assert [path.name for path in cache.iterdir()] == [".turns"]


def test_features_on_a_read_only_disk_are_used(small_disk):
    made = input_pipeline.cached_features(str(small_disk), "a", {}, features(10))
    assert call("mount", "-o", "remount,ro", str(small_disk)) == 0
    assert input_pipeline.cached_features(str(small_disk), "a", {}, None) == made


def test_features_that_a_read_only_disk_lacks_are_an_error(small_disk):
    assert call("mount", "-o", "remount,ro", str(small_disk)) == 0
    with pytest.raises(UsageError, match="cached_dir=.*Read-only file system"):
        input_pipeline.cached_features(str(small_disk), "a", {}, features(10))


@pytest.mark.slow
def test_training_that_fills_the_disk_ends_in_one_line(data_dir, small_disk, tmp_path):  # noqa: F811
    cached = {"cached_dir": tmp_path / "cache", "train_step": 200, "save_checkpoints_steps": 1}
    flags = flags_of(data_dir, "rte", small_disk, **cached) + ["--do_train"]
    done = run_python("run_in_process.py", stdin=json.dumps({"run": flags}))
    outcome = json.loads(done.stdout)["run"]
    errors = [line for line in outcome["stderr"].splitlines() if not line[:2].isdigit()]
    assert outcome["status"] == 1 and len(errors) == 1, outcome["stderr"]
    assert f"The disk of --output_dir={small_disk} is full" in errors[0]
