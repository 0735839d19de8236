"""Tests of modeling.AlbertConfig, the file that describes a model."""

import json
import math

import pytest
import tiny

from albert import modeling
from albert.common.errors import UsageError


def write_json(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_config_takes_its_values_from_the_file(tmp_path):
    given = dict(tiny.SIZES, hidden_act="relu", num_hidden_groups=2, hidden_dropout_prob=0.1)
    config = modeling.AlbertConfig.from_json_file(
        write_json(tmp_path / "albert_config.json", json.dumps(given))
    )
    assert {key: getattr(config, key) for key in given} == given


def test_config_defaults_are_those_of_the_released_models():
    config = modeling.AlbertConfig.from_dict({"vocab_size": 30000})
    assert (config.embedding_size, config.hidden_act) == (128, "gelu")
    assert (config.num_hidden_groups, config.inner_group_num) == (1, 1)
    assert (config.max_position_embeddings, config.type_vocab_size) == (512, 2)
    assert (config.initializer_range, config.hidden_dropout_prob) == (0.02, 0)


def test_unknown_keys_of_a_config_are_kept():
    extra = {"net_structure_type": 0, "gap_size": 0, "layers_to_keep": [1], "new": {"a": None}}
    config = modeling.AlbertConfig.from_dict(dict(tiny.SIZES, **extra))
    written = config.to_dict()
    assert {key: written[key] for key in extra} == extra
    assert config.gap_size == 0


def test_config_survives_being_written_and_read(tmp_path):
    given = dict(tiny.SIZES, classifier_dropout_prob=0.1, gap_size=0)
    config = modeling.AlbertConfig.from_dict(given)
    text = config.to_json_string()
    again = modeling.AlbertConfig.from_json_file(write_json(tmp_path / "config.json", text))
    assert again.to_dict() == config.to_dict() == dict(config.to_dict(), **given)


def test_config_is_written_as_sorted_json_with_a_final_newline():
    text = modeling.AlbertConfig.from_dict(tiny.SIZES).to_json_string()
    keys = list(json.loads(text))
    assert keys == sorted(keys)
    assert text.endswith("}\n")


def test_dict_of_a_config_is_a_copy():
    config = modeling.AlbertConfig.from_dict(dict(tiny.SIZES, layers_to_keep=[1]))
    config.to_dict()["layers_to_keep"].append(2)
    assert config.layers_to_keep == [1]


def usage_error_of_config(path):
    """Returns the message with which a config is refused: one line that names the file."""
    with pytest.raises(UsageError) as caught:
        modeling.AlbertConfig.from_json_file(str(path))
    message = str(caught.value)
    assert "\n" not in message
    assert f"albert_config_file={path}" in message
    return message


def test_missing_config_file_is_refused(tmp_path):
    assert "No such file" in usage_error_of_config(tmp_path / "absent.json")


def test_folder_instead_of_a_config_file_is_refused(tmp_path):
    assert "directory" in usage_error_of_config(tmp_path)


@pytest.mark.parametrize("text", ["", '{"vocab_size": 30', '{"vocab_size": 30000,\n "hidden'])
def test_truncated_config_is_refused(tmp_path, text):
    path = write_json(tmp_path / "config.json", text)
    assert "is not JSON" in usage_error_of_config(path)


def test_config_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00{")
    assert "is not UTF-8 text: byte 0 " in usage_error_of_config(tmp_path / "config.json")


@pytest.mark.parametrize("text", ["[]", "3", "null", '"vocab_size"'])
def test_config_that_is_not_an_object_is_refused(tmp_path, text):
    path = write_json(tmp_path / "config.json", text)
    assert "does not hold a JSON object" in usage_error_of_config(path)


def test_config_without_vocab_size_is_refused(tmp_path):
    given = {key: value for key, value in tiny.SIZES.items() if key != "vocab_size"}
    path = write_json(tmp_path / "config.json", json.dumps(given))
    assert "vocab_size must be an integer from 1 to 16777216, not None." in (
        usage_error_of_config(path)
    )


@pytest.mark.parametrize(
    "key, value",
    [
        ("hidden_size", 0),
        ("num_hidden_layers", -1),
        ("vocab_size", "50"),
        ("inner_group_num", 1.5),
        ("num_hidden_layers", True),
        ("vocab_size", 2**33),
        ("intermediate_size", [32]),
    ],
)
def test_size_that_is_not_a_sensible_integer_is_refused(tmp_path, key, value):
    path = write_json(tmp_path / "config.json", json.dumps(dict(tiny.SIZES, **{key: value})))
    message = usage_error_of_config(path)
    assert f": {key} must be an integer from 1 to 16777216, not {value!r}." in message


def test_heads_that_do_not_divide_the_hidden_size_are_refused(tmp_path):
    path = write_json(tmp_path / "config.json", json.dumps(dict(tiny.SIZES, num_attention_heads=3)))
    message = usage_error_of_config(path)
    assert "hidden_size 16 is not a multiple of num_attention_heads 3." in message


def test_more_groups_than_layers_are_refused(tmp_path):
    path = write_json(tmp_path / "config.json", json.dumps(dict(tiny.SIZES, num_hidden_groups=3)))
    message = usage_error_of_config(path)
    assert "num_hidden_groups 3 is more than num_hidden_layers 2." in message


@pytest.mark.parametrize("key", ["__class__", "__setstate__", "to_dict", "_check"])
def test_key_that_would_replace_a_method_is_refused(tmp_path, key):
    path = write_json(tmp_path / "config.json", json.dumps(dict(tiny.SIZES, **{key: 5})))
    assert f"'{key}' is not allowed as a key" in usage_error_of_config(path)


def test_long_value_is_shortened_in_the_error(tmp_path):
    given = dict(tiny.SIZES, hidden_size="16" * 9999)
    path = write_json(tmp_path / "config.json", json.dumps(given))
    assert len(usage_error_of_config(path)) < 200 + len(path)


@pytest.mark.parametrize("value", [1.0, -0.1, "0.1", True, math.nan])
@pytest.mark.parametrize(
    "key", ["hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range"]
)
def test_rate_that_is_not_a_number_from_0_to_below_1_is_refused(key, value):
    with pytest.raises(
        UsageError, match=f"{key} must be a number from 0 to below 1, not {value!r}"
    ):
        modeling.AlbertConfig.from_dict({"vocab_size": 5, key: value})


@pytest.mark.parametrize("activation", ["swish", 5])
def test_config_with_an_unknown_activation_is_refused(tmp_path, activation):
    path = write_json(tmp_path / "config.json", json.dumps(dict(tiny.SIZES, hidden_act=activation)))
    assert f"hidden_act must be gelu, relu, tanh or linear, not {activation!r}" in (
        usage_error_of_config(path)
    )
