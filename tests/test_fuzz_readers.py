"""Damaged files of every kind are accepted or refused in one line; see tests/fuzz_readers.py."""

import itertools
import os
import random
import time

import fuzz_feed
import fuzz_mutators
import fuzz_readers
import fuzz_server
import pytest
import sample_models

from albert.common.errors import UsageError


@pytest.fixture
def fuzz(tmp_path):
    """Returns a function of (readers, count) that returns what fuzz_feed.fuzz does."""

    def fuzzed(readers, count):
        with fuzz_feed.quiet_watchdog():
            return fuzz_feed.fuzz(readers, count, 1, tmp_path / "work", tmp_path / "kept")

    return fuzzed


@pytest.mark.slow
def test_no_reader_crashes_hangs_or_gives_a_traceback_on_damaged_files(
    fuzz, tmp_path, tmp_path_factory
):
    (tmp_path / "start").mkdir()
    models = sample_models.trained(tmp_path_factory)
    readers = fuzz_readers.make_readers(tmp_path / "start", models)
    with fuzz_server.serving(models["single"], tmp_path) as requests:
        readers.update(requests)
        tallies, findings = fuzz(readers, 8 * len(readers))
    told = [(place, (path / "traceback.txt").read_text()) for place, path in findings.items()]
    assert not told
    often = {name: tally for name, tally in tallies.items() if tally.inputs > 5}
    made_anew = ("feature cache", "manifest to resume")
    assert [n for n, tally in often.items() if not tally.refused and n not in made_anew] == []
    assert any(tally.accepted for name, tally in often.items() if name.startswith("request "))
    assert any(tally.accepted for name, tally in often.items() if name.startswith("HTTP "))


def test_slow_readers_are_fed_in_some_rounds_only_and_bytes_need_no_file(fuzz):
    fed = []
    readers = {
        "often": fuzz_feed.of_content(b"abc", lambda content: fed.append(content)),
        "seldom": fuzz_feed.of_content(b"abc", lambda content: None, period=3),
    }
    tallies, _ = fuzz(readers, 8)
    assert {name: tally.inputs for name, tally in tallies.items()} == {"often": 6, "seldom": 2}
    assert all(isinstance(content, bytes) for content in fed) and len(set(fed)) > 2


@pytest.mark.parametrize("more, places", [(0, []), (1, [("a reader", "? Memory")])])
def test_memory_that_runs_away_is_a_finding(fuzz, monkeypatch, more, places):
    # Not a real one: the peak of this process, which has run other tests, may be any.
    peaks = itertools.chain([5], itertools.repeat(5 + fuzz_feed.MAX_BYTES + more))
    monkeypatch.setattr(fuzz_feed, "_peak_of_memory", lambda: next(peaks))
    reader = fuzz_feed.of_content(b"abc", lambda content: None)
    assert list(fuzz({"a reader": reader}, 1)[1]) == places


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
        (hangs, "? fuzz_feed.Hang"),
        (fuzz_feed.in_child(raises(UsageError("a"))), None),
        (fuzz_feed.in_child(raises(KeyError("a"))), "? KeyError"),
        (fuzz_feed.in_child(aborts), "? fuzz_feed.Crash"),
    ],
)
def test_what_is_not_refused_in_one_line_is_a_finding_whose_input_is_kept(
    fuzz, monkeypatch, read, place
):
    if read is hangs:
        monkeypatch.setattr(fuzz_feed, "SECONDS", 0.2)
    tallies, findings = fuzz({"a reader": fuzz_feed.Reader({"a.txt": b"text"}, read)}, 1)
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
