"""Tests of albert.cli.downloads: which command is run."""

import sys

import pytest

from albert.cli import downloads


@pytest.mark.parametrize("arguments, shown", [([], "''"), (["gleu"], "'gleu'")])
def test_command_that_does_not_exist_is_one_line_and_status_1(
    monkeypatch, capsys, arguments, shown
):
    monkeypatch.setattr(sys, "argv", ["downloads.py", *arguments])
    with pytest.raises(SystemExit) as end:
        downloads.main()
    assert end.value.code == 1
    line = f"downloads.py: {shown} is not one of glue, squad, models.\n"
    assert capsys.readouterr().err == line
