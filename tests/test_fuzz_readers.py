"""Damaged files of every kind are accepted or refused in one line; see tests/fuzz_readers.py."""

import os
import random
import time

import fuzz_mutators
import fuzz_readers
import pytest

from albert.common.errors import UsageError


@pytest.fixture
def fuzz(tmp_path):
    """Returns a function of (readers, count) that returns what fuzz_readers.fuzz does."""

    def fuzzed(readers, count):
        with fuzz_readers.quiet_watchdog():
            return fuzz_readers.fuzz(readers, count, 1, tmp_path / "work", tmp_path / "kept")

    return fuzzed


def test_no_reader_crashes_hangs_or_gives_a_traceback_on_damaged_files(fuzz, tmp_path):
    (tmp_path / "start").mkdir()
    readers = fuzz_readers.make_readers(tmp_path / "start")
    tallies, findings = fuzz(readers, 10 * len(readers))
    told = [(place, (path / "traceback.txt").read_text()) for place, path in findings.items()]
    assert not told
    assert all(tally.refused for name, tally in tallies.items() if name != "feature cache")


def raises(error):
    def read(folder):
        raise error

    return read


def hangs(folder):
    time.sleep(600)


def aborts(folder):
    os.abort()


@pytest.mark.parametrize(
    "read, place",
    [
        (raises(UsageError("a")), None),
        (raises(UsageError("a" * 9999)), None),  # which is cut
        (raises(KeyError("a")), "? KeyError"),
        (hangs, "? fuzz_readers.Hang"),
        (fuzz_readers.in_child(raises(UsageError("a"))), None),
        (fuzz_readers.in_child(raises(KeyError("a"))), "? KeyError"),
        (fuzz_readers.in_child(aborts), "? fuzz_readers.Crash"),
    ],
)
def test_what_is_not_refused_in_one_line_is_a_finding_whose_input_is_kept(
    fuzz, monkeypatch, read, place
):
    if read is hangs:
        monkeypatch.setattr(fuzz_readers, "SECONDS", 0.2)
    tallies, findings = fuzz({"a reader": fuzz_readers.Reader({"a.txt": b"text"}, read)}, 1)
    assert (tallies["a reader"].findings, tallies["a reader"].refused) == (
        (0, 1) if place is None else (1, 0)
    )
    assert list(findings) == ([("a reader", place)] if place else [])
    for path in findings.values():
        assert path.name == "a_reader-1-0"
        assert (path / "traceback.txt").read_text().startswith("a.txt\n")


def test_the_same_seed_damages_files_alike():
    content = b'{"a": [1, "b"]}\n' * 3

    def damaged(seed):
        return [fuzz_mutators.mutated(content, random.Random(f"{seed}-{n}")) for n in range(200)]

    assert damaged(1) == damaged(1) != damaged(2)
    assert len({item for item in damaged(1) if isinstance(item, bytes)}) > 120
