"""Tests of what albert.common.files writes."""

from albert.common import files


def test_a_table_is_written_with_tabs_and_nothing_else_between_its_cells(tmp_path):
    path = tmp_path / "a.tsv"
    files.write_tsv(str(path), [("index", "é"), (1, 0.1), ("", "two words")])
    assert path.read_bytes() == "index\té\n1\t0.1\n\ttwo words\n".encode()
