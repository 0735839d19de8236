"""End-to-end tests of create_pretraining_data, in processes of their own."""

import contextlib
import gzip
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest
import runs
import sample_pretraining

from albert.common import locks
from albert.pretraining import manifest

WORDS = ["super", "singing", "sing", "abc", "def", "ghi"]


def documents(num_documents, num_sentences=6, seed=0):
    """Returns documents of sentences of random words."""
    generator = random.Random(seed)
    return [
        [" ".join(generator.choices(WORDS, k=5)) for _ in range(num_sentences)]
        for _ in range(num_documents)
    ]


def command(*arguments):
    return [sys.executable, "-m", "albert.create_pretraining_data", *map(str, arguments)]


def started(folder, *arguments, **more):
    """Returns the process of the command, in a folder."""
    environment = dict(os.environ, PYTHONPATH=str(runs.REPOSITORY))
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        command(*arguments), cwd=str(folder), env=environment, **streams, **more
    )


def create(folder, *arguments):
    """Returns (exit status, stderr) of the command, in a folder."""
    process = started(folder, *arguments)
    stdout, stderr = process.communicate(timeout=120)
    assert stdout == b""
    return process.returncode, stderr.decode()


@pytest.fixture
def folder(tmp_path, wordpiece):
    """Returns a folder with text.txt and vocab.txt."""
    (tmp_path / "vocab.txt").write_text("\n".join(wordpiece.vocab) + "\n", encoding="utf-8")
    text = sample_pretraining.text_of(documents(40))
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    return tmp_path


GIVEN = ("--input_file=text.txt", "--vocab_file=vocab.txt")


def test_a_run_logs_what_it_has_made_and_nothing_else(folder):
    status, stderr = create(folder, *GIVEN, "--output_file=new/folder/P")
    assert status == 0 and runs.foreign_lines(stderr) == []
    made = manifest.read(str(folder / "new" / "folder" / "P.manifest.json"))
    counts = (
        f"40 documents, 240 sentences (0 dropped), {made.total('num_sequences')} sequences, "
        f"{made.total('num_tokens')} tokens, in "
    )
    assert counts in stderr.splitlines()[-1]
    assert made.settings["random_seed"] == 12345 and made.max_seq_length == 512
    assert sorted(os.listdir(folder / "new" / "folder")) == [
        "P-00000.tf_record",
        "P.lock",
        "P.manifest.json",
    ]


def test_a_vocabulary_is_trained_where_none_is_given(folder):
    flags = ("--input_file=text.txt", "--output_file=P", "--vocab_size=33")
    status, stderr = create(folder, *flags)
    assert status == 0 and runs.foreign_lines(stderr) == [], stderr
    made = manifest.read(str(folder / "P.manifest.json"))
    assert made.vocab_size == 33 == len((folder / "P.vocab").read_text("utf-8").splitlines())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert create(folder, *flags)[0] == 0
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}
    # With the same model, given, the records are the same.
    create(folder, "--input_file=text.txt", "--output_file=Q", "--spm_model_file=P.model")
    assert (folder / "Q-00000.tf_record").read_bytes() == before["P-00000.tf_record"]


def test_patterns_and_gzip_and_a_flagfile(folder):
    text = (folder / "text.txt").read_bytes()
    (folder / "more").mkdir()
    for number in range(2):
        (folder / "more" / f"{number}.gz").write_bytes(gzip.compress(text))
    (folder / "flags").write_text("--input_file=text.txt,more/*.gz\n--vocab_file=vocab.txt\n")
    status, stderr = create(folder, "--flagfile=flags", "--output_file=P")
    assert status == 0 and "120 documents" in stderr
    found = json.loads((folder / "P.manifest.json").read_text())
    assert [row["path"] for row in found["inputs"]] == ["text.txt", "more/0.gz", "more/1.gz"]


def test_a_pattern_that_matches_the_output_too_resumes(folder):
    (folder / "data").mkdir()
    (folder / "text.txt").rename(folder / "data" / "text.txt")
    flags = ("--input_file=data/*", "--output_file=data/P", "--vocab_size=33")
    assert create(folder, *flags)[0] == 0
    before = {path.name: path.read_bytes() for path in (folder / "data").iterdir()}
    status, stderr = create(folder, *flags)
    assert status == 0 and "1 of 1 shards were there already" in stderr
    assert before == {path.name: path.read_bytes() for path in (folder / "data").iterdir()}


def test_static_masks_take_the_flags_of_masks(folder):
    flags = ("--static_masks", "--dupe_factor=3", "--max_predictions_per_seq=4", "--ngram=1")
    status, stderr = create(folder, *GIVEN, "--output_file=P", "--max_seq_length=32", *flags)
    assert status == 0 and "Without effect" not in stderr
    made = manifest.read(str(folder / "P.manifest.json"))
    assert made.layout == "static_masks"
    assert {**made.settings, "dupe_factor": 3, "max_predictions": 4, "ngram": 1} == made.settings
    examples = sample_pretraining.examples_in(*made.shard_paths())
    assert {len(example["masked_lm_ids"]) for example in examples} == {4}


def test_flags_of_masks_without_static_masks_are_warned_of(folder):
    status, stderr = create(folder, *GIVEN, "--output_file=P", "--ngram=2", "--dupe_factor=5")
    assert status == 0
    (line,) = [line for line in stderr.splitlines() if "Without effect" in line]
    assert "--ngram, --dupe_factor" in line.replace(
        "--dupe_factor, --ngram", "--ngram, --dupe_factor"
    )
    assert "run_multigpus_pretraining" in line


def test_help_names_every_flag(folder):
    process = started(folder, "--help")
    stdout, stderr = process.communicate()
    assert process.returncode == 0 and stderr == b""
    text = stdout.decode()
    assert text.startswith("Makes sequences to pre-train ALBERT on")
    assert max(map(len, text.splitlines())) < 80
    for name in ("input_file", "shard_size", "static_masks", "num_processes", "verbosity"):
        assert text.count(f"\n  --{name} ") == 1


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--input_file=",), "--input_file is required."),
        (("--output_file=",), "--output_file is required."),
        (("--input_file=none*.txt",), "--input_file: no file matches none*.txt."),
        (("--input_file=.",), "--input_file: . is a folder."),
        (("--input_file=vocab.txt", "--output_file=vocab.txt,"), "--output_file=vocab.txt, has a "),
        (("--output_file=.",), "--output_file=. is a folder: add what the names"),
        (("--output_file=new/",), "--output_file=new/ is a folder: add what the names"),
        (("--output_file=a,b",), "--output_file=a,b has a comma: give one path"),
        (("--output_file=text.txt/P",), "--output_file=text.txt/P cannot be written to: Not a dir"),
        (("--vocab_file=none",), "--vocab_file=none: No such file or directory."),
        (("--spm_model_file=text.txt",), "--spm_model_file=text.txt is not a SentencePiece model"),
        (("--vocab_file=no_mask.txt",), "--vocab_file=no_mask.txt has no [MASK], which pre-train"),
        (("--do_permutation",), "--do_permutation=True is not supported."),
        (
            ("--max_seq_length=4",),
            "flag --max_seq_length=4: 4 is not an integer in the range [5, 65536]",
        ),
        (("--random_seed=2147483648",), "--random_seed=2147483648 must be 2147483647 or less."),
        (("--short_seq_prob=nan",), "--short_seq_prob=nan is no number."),
        (("--max_sequence_length=4",), "Unknown command line flag 'max_sequence_length'."),
        (("--input_file=latin.txt",), "latin.txt:2: byte 1 of the line is 0xe9"),
        (("--input_file=half.gz",), "half.gz: the gzip file ends too early, after line "),
        (("--input_file=empty.txt",), "--input_file: no sequence can be made: it holds no text."),
        (("--vocab_file=", "--input_file=empty.txt"), "--input_file: there is no text in it."),
        (("--vocab_file=",), "--vocab_size=30000 is too large for this text: "),
        (("extra",), "Unexpected argument 'extra'; flags are written --name=value."),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(folder, flags, message):
    (folder / "latin.txt").write_bytes(b"abc\nd\xe9\n")
    (folder / "half.gz").write_bytes(gzip.compress(os.urandom(2000).hex().encode())[:-9])
    (folder / "empty.txt").write_bytes(b"\n")
    (folder / "no_mask.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")
    before = {*os.listdir(folder), "P.lock"}
    status, stderr = create(folder, *GIVEN, "--output_file=P", *flags)
    *log, line = stderr.splitlines()
    assert status == 1
    assert line.startswith(f"create_pretraining_data.py: {message}")
    assert runs.foreign_lines("\n".join(log)) == []
    assert set(os.listdir(folder)) <= before


def contents_of(folder, prefix):
    """Returns {rest of the name: bytes} of a data set, in which its prefix has no place."""
    return {
        path.name[len(prefix) :]: path.read_bytes().replace(f'"{prefix}-'.encode(), b'"-')
        for path in folder.glob(f"{prefix}[-.]*")
    }


@pytest.mark.parametrize("vocabulary", ["--vocab_file=vocab.txt", "--vocab_size=33"])
def test_a_run_that_is_killed_again_and_again_ends_in_the_same_bytes(folder, vocabulary):
    text = sample_pretraining.text_of(documents(3000))
    (folder / "text.txt").write_text(text, encoding="utf-8")
    flags = ("--input_file=text.txt", vocabulary, "--shard_size=40000", "--num_processes=2")
    flags += ("--static_masks", "--dupe_factor=4", "--max_seq_length=64")
    begun = time.monotonic()
    assert create(folder, *flags, "--output_file=Q")[0] == 0
    whole = time.monotonic() - begun
    generator = random.Random(1)
    num_killed = 0
    for attempt in range(100):
        process = started(folder, *flags, "--output_file=P")
        try:
            # Longer each time, so that even a run that resumed nothing would end.
            process.communicate(timeout=generator.uniform(0.3, 0.6 + 0.05 * attempt) * whole)
        except subprocess.TimeoutExpired:
            process.kill()
            num_killed += 1
            process.communicate()
        if process.returncode == 0:
            break
    assert process.returncode == 0 and num_killed >= 1
    assert contents_of(folder, "P") == contents_of(folder, "Q")


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_all_processes_in_one_line(folder, number, status):
    text = sample_pretraining.text_of(documents(4000))
    (folder / "text.txt").write_text(text, encoding="utf-8")
    flags = (*GIVEN, "--output_file=P", "--num_processes=2", "--shard_size=20000")
    process = started(folder, *flags, start_new_session=True)
    while not (folder / "P-00001.tf_record").exists():
        time.sleep(0.01)
        assert process.poll() is None
    os.killpg(process.pid, number)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == status
    last = stderr.decode().splitlines()[-1]
    assert last == (
        "create_pretraining_data.py: Interrupted. The same command resumes from the last file that "
        "was finished."
    )
    assert runs.foreign_lines(stderr.decode()) == [last]
    assert [path for path in folder.iterdir() if path.name.endswith(".part")] == []
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_a_disk_that_is_full_is_one_line_and_the_same_command_resumes(folder, small_disk):
    text = sample_pretraining.text_of(documents(2000))
    (folder / "text.txt").write_text(text, encoding="utf-8")
    for flags in (("--num_processes=1",), ("--num_processes=2",)):
        flags += (*GIVEN, f"--output_file={small_disk}/P", "--shard_size=100000")
        status, stderr = create(folder, *flags)
        assert status == 1
        assert stderr.splitlines()[-1] == (
            f"create_pretraining_data.py: The disk of --output_file={small_disk}/P is full. What "
            "was saved before is whole: free some space, and the same command resumes from there."
        )
        found = manifest.read(str(small_disk / "P.manifest.json"), needs_all=False)
        assert found.shards and not found.is_complete
        assert list(small_disk.glob("*.part")) == []


def test_a_file_that_cannot_be_written_is_one_line(folder):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    process = started(folder, *GIVEN, "--output_file=P", preexec_fn=limit)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr.decode() == "create_pretraining_data.py: the disk: File too large.\n"


def test_a_second_process_waits_for_the_first(folder):
    with contextlib.ExitStack() as stack:
        stack.enter_context(locks.turn("P.manifest.json", str(folder / "P.lock")))
        process = started(folder, *GIVEN, "--output_file=P")
        line = process.stderr.readline().decode()
        assert "Waiting for the process that makes P.manifest.json" in line
        time.sleep(0.2)
        assert not (folder / "P.manifest.json").exists()
    assert process.wait(timeout=60) == 0
    process.communicate()
    assert manifest.read(str(folder / "P.manifest.json")).is_complete


def peak_memory(folder, num_documents):
    """Returns the most memory, in bytes, that the command or one of its processes has used."""
    text = sample_pretraining.text_of(documents(500))
    with open(folder / "text.txt", "w", encoding="utf-8") as writer:
        for _ in range(num_documents // 500):
            writer.write(text + "\n")
    process = started(folder, *GIVEN, "--output_file=P", "--num_processes=2", "--shard_size=300000")
    process.stdout.close()
    process.stderr.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    assert status == 0
    return 1024 * usage.ru_maxrss


@pytest.mark.slow
def test_memory_does_not_grow_with_the_text(folder):
    small, large = (peak_memory(folder, number) for number in (10000, 40000))
    assert large < small + 10e6
