"""Tests of feature files that are longer than what is read at once for their checksum."""

import pytest

from albert.engine.input_pipeline import cached_features
from albert.engine.task import INPUT_IDS

LENGTH = 1 << 21  # bytes, two blocks


@pytest.mark.parametrize("position", [1000, LENGTH - 1000])
def test_damage_in_any_block_of_a_feature_file_is_noticed(tmp_path, position):
    num_made = []

    def make_features():
        num_made.append(1)
        yield {INPUT_IDS: [5] * LENGTH}  # a byte for each

    path = cached_features(str(tmp_path), "train", {}, make_features).path
    with open(path, "r+b") as file:
        file.seek(position)
        file.write(b"\x06")
    for expected in (2, 2):  # made again once, and then found whole
        cached_features(str(tmp_path), "train", {}, make_features)
        assert len(num_made) == expected
