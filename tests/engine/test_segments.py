"""A model that cannot tell segments apart is refused for tasks of pairs."""

from types import SimpleNamespace

import pytest
import tiny

from albert import classifier_utils, race_utils, squad_utils
from albert.common.errors import UsageError
from albert.engine import training
from albert.glue import table


class Pairs(classifier_utils.DataProcessor):
    """A task of single texts, but for those in the training data where text_b is given."""

    text_b = "b"

    def get_train_examples(self, data_dir):
        return [classifier_utils.InputExample("0", "a", self.text_b, "yes")]

    def get_dev_examples(self, data_dir):
        return [classifier_utils.InputExample("0", "a", None, "yes")]

    get_test_examples = get_dev_examples

    def get_labels(self):
        return ["no", "yes"]


@pytest.mark.parametrize("split, is_refused", [("train", True), ("dev", False)])
def test_pairs_are_refused_by_a_model_of_one_segment_before_features_are_made(
    tmp_path, wordpiece, monkeypatch, split, is_refused
):
    monkeypatch.setitem(table.OWN_TASKS, "some pairs", Pairs)
    task = classifier_utils.make_task("some pairs", str(tmp_path), wordpiece, 16)
    config = SimpleNamespace(
        albert_config=tiny.config(type_vocab_size=1), feature_dir=str(tmp_path / "cache")
    )
    if not is_refused:
        assert training.feature_file(task, config, split).num_features == 1
        return
    with pytest.raises(UsageError) as raised:
        training.feature_file(task, config, split)
    assert raised.value.text("--{}".format) == (
        "--albert_config_file: type_vocab_size 1 is for single texts, but some pairs has pairs: it "
        "must be 2 or more."
    )
    assert not (tmp_path / "cache").exists()
    config.albert_config.type_vocab_size = 2
    assert training.feature_file(task, config, split).num_features == 1


def test_each_task_knows_whether_it_has_pairs(tmp_path, wordpiece):
    names = {"cola": 1, "sst-2": 1, "rte": 2, "sts-b": 2, "mnli": 2, "ax": 2}
    for name, num_segments in names.items():
        task = classifier_utils.make_task(name, str(tmp_path), wordpiece, 16)
        assert task.num_segments == num_segments
    assert squad_utils.SquadTask.num_segments == race_utils.RaceTask.num_segments == 2
