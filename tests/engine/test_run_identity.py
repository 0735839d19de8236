"""Tests of run_identity: an output_dir belongs to one run."""

import pytest

from albert.common.errors import UsageError
from albert.engine import run_identity

IDENTITY = {"--task_name": "cola", "--seed": 42}


def test_first_run_claims_the_folder_and_may_come_back(tmp_path):
    run_identity.claim(str(tmp_path), IDENTITY)
    run_identity.claim(str(tmp_path), IDENTITY)
    assert run_identity.check(str(tmp_path), IDENTITY)


def test_other_run_is_refused_with_what_differs(tmp_path):
    run_identity.claim(str(tmp_path), IDENTITY)
    expected = "holds another run: --seed was 42 and is 7. Use another folder"
    with pytest.raises(UsageError, match=expected):
        run_identity.claim(str(tmp_path), {"--task_name": "cola", "--seed": 7})
    assert run_identity.check(str(tmp_path), IDENTITY)


def test_only_what_both_name_is_compared(tmp_path):
    run_identity.claim(str(tmp_path), IDENTITY)
    assert run_identity.check(str(tmp_path), {"--task_name": "cola", "--optimizer": "lamb"})


def test_folder_without_a_record_is_nobodys(tmp_path):
    assert not run_identity.check(str(tmp_path), IDENTITY)


def test_damaged_record_is_refused(tmp_path):
    (tmp_path / run_identity.NAME).write_text('{"--task_name": ')
    with pytest.raises(UsageError, match="cannot be read"):
        run_identity.check(str(tmp_path), IDENTITY)
