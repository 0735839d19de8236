"""Tests of albert.engine.checkpoints: the disk space that they take, and who is warned."""

from types import SimpleNamespace

import pytest
import tiny

from albert import modeling
from albert.engine import checkpoints
from albert.engine.config import FinetuneConfig

# Counted by hand for the tiny model: embeddings (50 + 64 + 2) * 8 + 16, projection 9 * 16,
# attention 4 * 17 * 16, feed-forward 17 * 32 + 33 * 16, layer norms 64, pooler 17 * 16.
TINY = 944 + 144 + 1088 + 1072 + 64 + 272


def make_config(folder, **changes):
    return FinetuneConfig(tiny.config(), output_dir=str(folder), **changes)


@pytest.mark.parametrize(
    "changes, count",
    [
        ({}, TINY),
        ({"num_hidden_layers": 12}, TINY),  # layers share their weights
        ({"num_hidden_groups": 2, "inner_group_num": 3}, TINY + 5 * (1088 + 1072 + 64)),
        ({"embedding_size": 16}, TINY - 944 - 144 + (50 + 64 + 2) * 16 + 32),
    ],
)
def test_parameters_are_counted_as_by_hand(changes, count):
    assert checkpoints.num_parameters(tiny.config(**changes)) == count


def test_parameters_of_the_base_model_are_the_published_12_million():
    base = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
    assert round(checkpoints.num_parameters(modeling.AlbertConfig(30000, **base)) / 1e6) == 12


@pytest.mark.parametrize(
    "changes, num_checkpoints",
    [
        # Five numbered ones, one that is being written, the best one.
        ({"train_steps": 10000, "save_checkpoints_steps": 100}, 7),
        ({"train_steps": 10000, "save_checkpoints_steps": 100, "keep_checkpoint_max": 1}, 3),
        ({"train_steps": 10, "save_checkpoints_steps": 100}, 3),  # steps 0 and 10
        ({"train_steps": 200, "save_checkpoints_steps": 100}, 4),  # steps 0, 100 and 200
    ],
)
def test_checkpoints_hold_each_weight_with_its_two_moments(tmp_path, changes, num_checkpoints):
    expected = num_checkpoints * TINY * 12
    assert checkpoints.checkpoint_bytes(make_config(tmp_path, **changes)) == expected


@pytest.mark.parametrize("present, free, is_short", [(0, 0, True), (0, 1, False), (1, 0, False)])
def test_disk_that_is_too_small_is_warned_of_in_one_line(
    tmp_path, monkeypatch, caplog, present, free, is_short
):
    config = make_config(tmp_path)
    needed = checkpoints.checkpoint_bytes(config)
    (tmp_path / "model.ckpt-3.data-00000-of-00001").write_bytes(b"x" * present)
    usage = SimpleNamespace(free=needed - 1 + free)
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda folder: usage)
    checkpoints.warn_if_disk_is_short(config)
    assert len(caplog.records) == is_short
    for record in caplog.records:
        assert f"only 0.0 GB are free on the disk of {tmp_path}" in record.getMessage()
