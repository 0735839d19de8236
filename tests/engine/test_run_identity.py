"""Tests of albert.engine.run_identity: an output_dir belongs to one run."""

import json

import pytest

from albert.common.errors import UsageError
from albert.engine import run_identity

SETTINGS = {"task_name": "cola", "seed": 42}
SIZES = {"hidden_size": 16}


def test_first_run_claims_the_folder_and_can_resume(tmp_path):
    run_identity.claim(str(tmp_path), SETTINGS, SIZES)
    run_identity.claim(str(tmp_path), SETTINGS, SIZES)
    assert run_identity.check(str(tmp_path), SETTINGS, SIZES)


def test_other_run_is_refused_with_what_differs(tmp_path):
    run_identity.claim(str(tmp_path), SETTINGS, SIZES)
    expected = (
        "holds another run: seed was 42 and is 7; hidden_size of albert_config_file was 16 and is "
        "32. Use another folder"
    )
    with pytest.raises(UsageError, match=expected):
        run_identity.claim(str(tmp_path), dict(SETTINGS, seed=7), {"hidden_size": 32})
    assert run_identity.check(str(tmp_path), SETTINGS, SIZES)


def test_only_settings_that_are_both_recorded_and_given_are_compared(tmp_path):
    run_identity.claim(str(tmp_path), SETTINGS, SIZES)
    assert run_identity.check(str(tmp_path), {"task_name": "cola", "optimizer": "lamb"}, {})


def test_folder_without_a_record_holds_no_run(tmp_path):
    assert not run_identity.check(str(tmp_path), SETTINGS, SIZES)


def test_record_with_flags_as_keys_is_understood(tmp_path):
    record = {"--task_name": "cola", "hidden_size of --albert_config_file": 16, "--seed": 42}
    (tmp_path / run_identity.NAME).write_text(json.dumps(record))
    assert run_identity.check(str(tmp_path), SETTINGS, SIZES)
    with pytest.raises(UsageError, match="seed was 42 and is 7"):
        run_identity.check(str(tmp_path), dict(SETTINGS, seed=7), SIZES)
    with pytest.raises(UsageError, match="hidden_size of albert_config_file was 16 and is 32"):
        run_identity.check(str(tmp_path), SETTINGS, {"hidden_size": 32})


@pytest.mark.parametrize("text", ['{"task_name": ', "[]", "7", '{"settings": 1, "sizes": {}}'])
def test_damaged_record_is_refused(tmp_path, text):
    path = tmp_path / run_identity.NAME
    path.write_text(text)
    with pytest.raises(UsageError, match=f"{path} (is|does) no.* Use another output_dir."):
        run_identity.check(str(tmp_path), SETTINGS, SIZES)
