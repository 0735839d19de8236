"""Tests of albert.pretraining.creation: data sets that are made, made again, and resumed."""

import json
import os
import signal

import pytest
import sample_pretraining

from albert.common.errors import UsageError
from albert.pretraining import creation, manifest, segments, shards

PAIRS = segments.PairSettings(max_seq_length=24)


def text_of(num_documents, word="super"):
    documents = [[f"{word} {number}", "sing abc", "def"] for number in range(num_documents)]
    return sample_pretraining.text_of(documents)


class Data:
    """A folder with a text, in which data sets are made."""

    def __init__(self, folder, tokenizer):
        self.folder = folder
        self.text = folder / "text"
        self.tokenizer = tokenizer

    def create(self, prefix="P", num_processes=1, pairs=PAIRS, shard_size=200):
        recipe = shards.Recipe(self.tokenizer, pairs, None)
        path = str(self.folder / prefix)
        data_set = creation.DataSet(path, [str(self.text)], recipe, shard_size, None)
        return creation.create(data_set, num_processes)

    def contents(self, prefix="P"):
        """Returns {rest of the name: (bytes, time of the last change)} of a data set."""
        return {
            path.name[len(prefix) :]: (path.read_bytes(), path.stat().st_mtime_ns)
            for path in self.folder.glob(f"{prefix}[-.]*")
        }

    def bytes_of(self, prefix="P"):
        """Returns what is in a data set, by the names of its files without the prefix."""
        found = {name: content for name, (content, _) in self.contents(prefix).items()}
        return {
            name: content.replace(f'"{prefix}-'.encode(), b'"') for name, content in found.items()
        }


@pytest.fixture
def data(tmp_path, wordpiece):
    made = Data(tmp_path, wordpiece)
    made.text.write_text(text_of(60), encoding="utf-8")
    return made


def test_a_data_set_is_complete_and_every_file_is_listed(data):
    made = data.create()
    assert made == manifest.read(made.path)
    assert len(made.shards) > 4
    names = [f"-{number:05d}.tf_record" for number in range(len(made.shards))]
    assert sorted(data.contents()) == [*names, ".manifest.json"]
    assert (made.total("num_documents"), made.total("num_sentences")) == (60, 180)
    assert made.inputs[0]["num_bytes"] == len(data.text.read_bytes())


def test_the_bytes_do_not_depend_on_the_number_of_processes(data):
    data.create("P", num_processes=1)
    data.create("Q", num_processes=2)
    data.create("R", num_processes=5)
    assert data.bytes_of("P") == data.bytes_of("Q") == data.bytes_of("R")


def test_ids_of_sequences_are_unique_and_tell_the_shard(data):
    made = data.create()
    examples = sample_pretraining.examples_in(*made.shard_paths())
    ids = [example["sequence_id"][0] for example in examples]
    counts = [shard.num_sequences for shard in made.shards]
    expected = [n * 2**32 + place for n, count in enumerate(counts) for place in range(count)]
    assert ids == expected


def test_a_complete_data_set_stays_untouched(data):
    data.create()
    before = data.contents()
    data.create(num_processes=2)
    assert data.contents() == before


def test_only_what_is_lost_or_damaged_is_made_again(data):
    data.create()
    before = data.contents()
    (data.folder / "P-00001.tf_record").unlink()
    (data.folder / "P-00003.tf_record").write_bytes(b"damaged")
    data.create()
    after = data.contents()
    assert {name: after[name][0] for name in after} == {name: before[name][0] for name in before}
    changed = {name for name in after if after[name][1] != before[name][1]}
    assert changed == {"-00001.tf_record", "-00003.tf_record", ".manifest.json"}


def test_a_text_that_grows_leaves_the_shards_before_as_they_are(data):
    first = data.create()
    before = data.contents()
    data.text.write_text(text_of(90), encoding="utf-8")
    made = data.create()
    assert len(made.shards) > len(first.shards)
    after = data.contents()
    assert after["-00000.tf_record"] == before["-00000.tf_record"]
    data.create("Q")
    assert data.bytes_of("P") == data.bytes_of("Q")


def test_another_setting_makes_all_anew_and_deletes_what_is_too_much(data):
    num_before = len(data.create().shards)
    (data.folder / "P-00009x.tf_record").write_bytes(b"a name of someone else")
    for name in ("-00001.tf_record", ".manifest.json", ".model"):
        (data.folder / f"P{name}.{'0' * 32}.part").write_bytes(b"left by a run")
    made = data.create(shard_size=1000)
    assert len(made.shards) < num_before
    data.create("Q", shard_size=1000)
    (data.folder / "P-00009x.tf_record").unlink()
    assert data.bytes_of("P") == data.bytes_of("Q")
    for prefix in ("P", "R"):
        data.create(prefix, shard_size=1000, pairs=PAIRS._replace(random_seed=7))
    assert data.bytes_of("P") == data.bytes_of("R") != data.bytes_of("Q")


def test_a_manifest_is_incomplete_while_it_is_made(data, monkeypatch):
    states = []
    write = manifest.write

    def watched(made):
        # What is listed is there, whenever the program may end.
        for shard, path in zip(made.shards, made.shard_paths()):
            assert shards._is_whole(path, shard)
        states.append((made.is_complete, len(made.shards)))
        write(made)

    monkeypatch.setattr(manifest, "write", watched)
    num_shards = len(data.create().shards)
    assert states[0] == (False, 0) and states[-1] == (True, num_shards)
    assert [is_complete for is_complete, _ in states].count(True) == 1
    states.clear()
    data.text.write_text(text_of(60, "sing"), encoding="utf-8")
    data.create()
    assert states[0] == (False, num_shards - 1) and states[-1][0]


def stop_after(monkeypatch, count):
    """Makes a run fail after so many shards."""
    add = creation._Record.add

    def failing(self, made, inputs):
        if self.num_done == count:
            raise KeyboardInterrupt
        add(self, made, inputs)

    monkeypatch.setattr(creation._Record, "add", failing)


@pytest.mark.parametrize("num_processes", [1, 2])
def test_a_run_that_was_stopped_resumes_to_the_same_bytes(data, monkeypatch, num_processes):
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            data.create(num_processes=num_processes)
    assert len(data.contents()) == 4  # no temporary file is left
    before = data.contents()
    data.create()
    for number in range(3):
        name = f"-0000{number}.tf_record"
        assert data.contents()[name] == before[name]
    data.create("Q")
    assert data.bytes_of("P") == data.bytes_of("Q")


def test_a_run_that_was_stopped_while_it_checked_keeps_what_it_had_not_come_to(data, monkeypatch):
    made = data.create()
    (data.folder / "P-00000.tf_record").unlink()
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            data.create()
    assert manifest.read(made.path, needs_all=False).shards == made.shards


def test_a_manifest_that_is_damaged_is_made_anew(data):
    data.create()
    expected = data.bytes_of()
    (data.folder / "P.manifest.json").write_bytes(b"[]")
    data.create()
    assert data.bytes_of() == expected


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "input_file: no sequence can be made: it holds no text."),
        ("\n \n\n", "input_file: no sequence can be made: it holds no text."),
        ("super\n", "input_file: no sequence can be made: all that it holds is a sentence of one"),
    ],
)
def test_too_little_text_is_one_line_and_leaves_nothing(data, text, message):
    data.create()
    data.text.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        data.create()
    assert str(caught.value).startswith(message)
    assert data.contents() == {}


def test_a_process_that_the_system_ends_is_one_line(data, monkeypatch):
    def killed(recipe, source):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(shards, "make", killed)
    with pytest.raises(UsageError, match="num_processes=2: one of them was ended from outside"):
        data.create(num_processes=2)


def test_one_sentence_of_two_words_is_a_sequence(data):
    data.text.write_text("super sing\n", encoding="utf-8")
    made = data.create()
    (example,) = sample_pretraining.examples_in(*made.shard_paths())
    words = [data.tokenizer.encode(word) for word in ("super", "sing")]
    if example["next_sentence_labels"] == [1]:
        words.reverse()
    a, b = words
    assert example["input_ids"] == [2, *a, 3, *b, 3]


def test_one_sentence_documents_are_paired_within_a_shard(data):
    data.text.write_text("super\n\nsing\n\nabc\n", encoding="utf-8")
    made = data.create()
    examples = sample_pretraining.examples_in(*made.shard_paths())
    assert [example["next_sentence_labels"] for example in examples] == [[1]] * 3


def test_a_mistake_in_the_text_keeps_the_shards_before_it(data):
    good = data.text.read_bytes()
    data.text.write_bytes(good + b"\xff\n" + good)
    with pytest.raises(UsageError, match=r"text:240: byte 0"):
        data.create(num_processes=2)
    found = json.loads((data.folder / "P.manifest.json").read_text(encoding="utf-8"))
    assert found["is_complete"] is False
    before = data.contents()
    data.text.write_bytes(good + good)
    data.create()
    assert data.contents()["-00000.tf_record"] == before["-00000.tf_record"]
