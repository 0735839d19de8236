"""Feeds damaged files to all readers of users' files, which must accept or refuse them in one line.

    python tests/fuzz_readers.py --count=20000 --seed=1

Prints how many inputs each reader accepted and refused. Anything but success or a UsageError of one
line is a finding: another exception, a crash, or a hang of 10 seconds. The inputs of findings are
kept in a folder, each with its traceback. The start files are real ones where ../shared/data has
them. The same seed gives the same inputs.
"""

import argparse
import collections
import contextlib
import faulthandler
import gzip
import json
import logging
import lzma
import os
import pathlib
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from typing import Any, Callable, Dict, NamedTuple

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
SHARED_DATA = REPOSITORY.parent / "shared" / "data"
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import fuzz_mutators  # noqa: E402
import packed  # noqa: E402
import sample_glue  # noqa: E402
import sample_race  # noqa: E402
import sample_squad  # noqa: E402
import sample_tagging  # noqa: E402
import sentencepiece  # noqa: F401, E402 - after TensorFlow 1.15, its training crashes the process
import tensorflow.compat.v1 as tf  # noqa: E402
import tiny  # noqa: E402
from absl import flags  # noqa: E402
from absl.testing import flagsaver  # noqa: E402
from sentencepiece import sentencepiece_model_pb2  # noqa: F401, E402 - or each child imports it

from albert import (  # noqa: E402
    classifier_utils,
    evaluate_squad,
    modeling,
    race_utils,
    run_multigpus_classifier,
    squad_utils,
    tokenization,
)
from albert.cli import runner  # noqa: E402
from albert.common.errors import UsageError  # noqa: E402
from albert.downloads import archives, transfer  # noqa: E402
from albert.downloads import glue as download_glue  # noqa: E402
from albert.engine import (  # noqa: E402
    checkpoints,
    input_pipeline,
    pretrained,
    results,
    run_identity,
)
from albert.engine.task import Change, DataSource, settings_of  # noqa: E402
from albert.glue.own_files import FileSettings, FileTask  # noqa: E402
from albert.glue.split_files import SplitFiles, SplitSettings  # noqa: E402
from albert.glue.table import GLUE_ROWS, folder_of  # noqa: E402
from albert.squad.versions import SquadSettings  # noqa: E402
from albert.tagging_utils import TaggingSettings, TaggingTask  # noqa: E402

SECONDS = 10  # after which an input counts as a hang
MAX_MESSAGE = 1100  # characters of an error
KEPT_PER_PLACE = 3
CHARACTERS = [chr(code) for code in range(33, 127)]
VOCABULARY = [*sample_glue.VOCABULARY, *CHARACTERS, *(f"##{letter}" for letter in CHARACTERS)]


class Reader(NamedTuple):
    """Start files, {path in the folder: content}, and what reads them, given the folder."""

    files: Dict[str, bytes]
    read: Callable[[pathlib.Path], Any]


class Hang(BaseException):
    """Not an Exception, so that no reader catches it."""


class Crash(Exception):
    """The reader ended its process, or failed in a process of its own."""


# --- The readers


def wordpiece(folder):
    tokenizer = tokenization.FullTokenizer(str(folder / "vocab.txt"))
    return tokenizer.encode_batch(["a b", "A c, 1."]), tokenizer.fingerprint()


def sentencepiece_model(folder):
    model, vocab_file = str(folder / "30k-clean.model"), str(folder / "30k-clean.vocab")
    tokenizer = tokenization.FullTokenizer(vocab_file, spm_model_file=model)
    return tokenizer.encode_batch(["hello world, 2015,", "", "中 ½"]), tokenizer.tokenize("hello")


def albert_config(folder):
    config = modeling.AlbertConfig.from_json_file(str(folder / "albert_config.json"))
    return config.to_json_string(), config.sizes()


def task_reader(make):
    """Returns what reads all splits of the task that `make(folder)` returns."""

    def read(folder):
        task = make(folder)
        splits = [task.train_split, *task.dev_splits, *task.test_splits]
        for split in dict.fromkeys(["diagnostic"] if task.name == "ax" else splits):
            task.fingerprint(split)
            for _ in task.features(split):
                pass

    return read


class OwnTask(classifier_utils.DataProcessor):
    """As in the documentation: label, tab, text."""

    def get_train_examples(self, data_dir):
        rows = self._read_tsv(os.path.join(data_dir, "own.tsv"))
        return [
            classifier_utils.InputExample(str(index), row[1], None, row[0])
            for index, row in enumerate(rows)
        ]

    get_dev_examples = get_test_examples = get_train_examples

    def get_labels(self):
        return ["no", "yes"]


def squad_scores(folder):
    paths = [str(folder / name) for name in ("data.json", "predictions.json", "null_odds.json")]
    return evaluate_squad.evaluate(*paths)


def run_record(folder):
    settings = settings_of({"task_name": "rte", "seed": 1}, Change.REFUSED)
    run_identity.check(str(folder), settings, is_training=True)
    run_identity.owns_data(str(folder), "dev", {"dev": "a"})
    run_identity.folder_of_other_data(str(folder), "dev", DataSource("dev", "b"))
    run_identity.claim(str(folder), settings, {}, {})


def evaluation_record(folder):
    record = results.EvaluationRecord(str(folder), "accuracy")
    record.metrics_by_step(), record.best(), record.setting("seed")
    record.add(3, "dev", {"accuracy": 0.5})


def cached_features(folder):
    found = input_pipeline.cached_features(str(folder), "train", {"a": 1}, _features, ["input_ids"])
    num_records = sum(1 for _ in tf.io.tf_record_iterator(found.path))
    assert found.num_features == num_records, f"{found.num_features} of {num_records} features"


def _features():
    return [{"input_ids": [2, index, 3], "label_ids": index} for index in range(5)]


def checkpoint(folder):
    path = checkpoints.latest(str(folder)) or checkpoints.best(str(folder))
    if path:
        pretrained.check(path)
    return checkpoints.saved_steps(str(folder))


def archive(folder):
    for path in folder.iterdir():  # none if it is missing, which is noticed before
        archives.unpack(str(path), str(folder / "new"))


def tar_in_gzip(folder):
    """Compresses a damaged tar: in a damaged tar.gz, gzip notices before tarfile does."""
    if (folder / "a.tar").is_file():
        (folder / "a.tar.gz").write_bytes(gzip.compress((folder / "a.tar").read_bytes()))
        archives.unpack(str(folder / "a.tar.gz"), str(folder / "new"))


def mrpc_sources(folder):
    config = transfer.DownloadConfig("http://127.0.0.1:1", retries=0)
    download_glue.download(["mrpc"], str(folder / "glue_data"), config, str(folder))


def flagfile(folder):
    with flagsaver.flagsaver():
        runner._parse(["program", f"--flagfile={folder / 'flags.txt'}"])
        return flags.FLAGS.flag_values_dict()


def in_child(read):
    """Returns `read` for a process of its own, whose crash is an exception here."""

    def read_in_child(folder):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            try:
                read(folder)
            except UsageError as error:
                os.write(writing, b"U" + str(error).encode())
            except BaseException:
                os.write(writing, b"C" + traceback.format_exc()[-4000:].encode())
            finally:
                os._exit(0)
        os.close(writing)
        try:
            with open(reading, "rb") as answer:
                text = answer.read().decode()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        if text or status not in (0, signal.SIGKILL):
            raise UsageError(text[1:]) if text[:1] == "U" else Crash(text or f"signal {status}")

    return read_in_child


# --- Their start files


def make_readers(folder):
    """Returns {name: Reader}; makes the start files in an empty folder."""
    sample_glue.write_glue(folder)
    for name in ("cola", "sst-2", "sts-b"):
        _write_single_sentences(folder, name)
    if SHARED_DATA.is_dir():
        for path in (SHARED_DATA / "glue_data").glob("*/*.tsv"):
            target = folder / path.parent.name / path.name
            target.write_bytes(b"".join(path.read_bytes().splitlines(True)[:12]))
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("".join(f"{token}\n" for token in VOCABULARY), encoding="utf-8")
    tokenizer = tokenization.FullTokenizer(str(vocabulary))
    classifier_utils.register("fuzzed")(OwnTask)
    if "task_name" not in flags.FLAGS:
        run_multigpus_classifier.define_flags()

    def classifier(name):
        return task_reader(
            lambda place: classifier_utils.make_task(name, str(place), tokenizer, 64)
        )

    readers = {
        f"GLUE {folder_of(name)}": Reader(_in(folder, folder_of(name)), classifier(name))
        for name in GLUE_ROWS
    }
    readers["own task"] = Reader({"own.tsv": b"no\ta b\nyes\tc d\n" * 3}, classifier("fuzzed"))
    for version in ("1.1", "2.0"):
        readers[f"SQuAD {version}"] = _squad_reader(folder, version, tokenizer)
    data = readers["SQuAD 2.0"].files["predict.json"]
    ids = re.findall(r'"id": "([^"]+)"', data.decode())
    answers = {
        "data.json": data,
        "predictions.json": json.dumps(dict.fromkeys(ids, "a song")).encode(),
        "null_odds.json": json.dumps(dict.fromkeys(ids, -0.5)).encode(),
    }
    readers["evaluate_squad"] = Reader(answers, squad_scores)
    settings = race_utils.RaceSettings(max_seq_length=64, max_qa_length=32)
    for split in ("train", "dev", "test"):
        sample_race.write_split(folder, split, 8, seed=1)
    readers["RACE"] = Reader(
        _in(folder, "RACE"),
        task_reader(lambda place: race_utils.RaceTask(str(place), tokenizer, settings)),
    )
    readers.update(_own_file_readers(folder, tokenizer))
    readers.update(_model_readers(folder))
    readers.update(_archive_readers())
    record = {"settings": {"task_name": "rte", "seed": 1}, "sizes": tiny.config().sizes()}
    readers["run.json"] = Reader({"run.json": json.dumps(record).encode()}, run_record)
    rows = [
        {"step": n, "dataset": "dev", "metrics": {"accuracy": 0.5, "loss": 1.0}} for n in (1, 2)
    ]
    record = {"settings": {"seed": 1}, "best_metric": "accuracy", "evaluations": rows}
    readers["eval_results.json"] = Reader(
        {"eval_results.json": json.dumps(record).encode()}, evaluation_record
    )
    cached = folder / "cache"
    input_pipeline.cached_features(str(cached), "train", {"a": 1}, _features)
    readers["feature cache"] = Reader(packed.contents_of(cached), cached_features)
    given = b"--task_name=RTE\n# a comment\n--seed=7\n--learning_rate=3e-5\n--nodo_lower_case\n"
    readers["flagfile"] = Reader({"flags.txt": given}, flagfile)
    return readers


def _in(folder, name):
    return {f"{name}/{path}": data for path, data in packed.contents_of(folder / name).items()}


def _write_single_sentences(folder, name):
    header, row = {
        "cola": (None, "gj04\t{label}\t\t{a} {b}"),
        "sst-2": ("sentence\tlabel", "{a} {b}\t{label}"),
        "sts-b": ("\t".join(f"column{n}" for n in range(9)) + "\tscore", "0\t" * 7 + "{a}\t{b}\t3"),
    }[name]
    test_header, test_row = "index\tsentence", "{index}\t{a}"
    if name == "sts-b":
        test_header, test_row = header.rsplit("\t", 1)[0], "{index}\t" + "0\t" * 6 + "{a}\t{b}"
    place = folder / folder_of(name)
    for split in ("train", "dev"):
        sample_glue.write(place / f"{split}.tsv", header, row, 6, ("0", "1"))
    sample_glue.write(place / "test.tsv", test_header, test_row, 5)


def _squad_reader(folder, version, tokenizer):
    files = {}
    for number, name in enumerate(("train", "predict")):
        sample_squad.write_squad(folder / "squad.json", 2, number, version)
        data = json.loads((folder / "squad.json").read_text(encoding="utf-8"))
        real = SHARED_DATA / "squad" / f"dev-v{version}.json"
        if real.is_file():
            article = json.loads(real.read_text(encoding="utf-8"))["data"][number]
            data["data"].append(dict(article, paragraphs=article["paragraphs"][:1]))
        files[f"{name}.json"] = json.dumps(data).encode()
    settings = SquadSettings(squad_version=version, max_seq_length=128)

    def make(place):
        paths = [str(place / f"{name}.json") for name in ("train", "predict")]
        return squad_utils.SquadTask(tokenizer, settings, *paths)

    return Reader(files, task_reader(make))


def _own_file_readers(folder, tokenizer):
    """Returns the readers of files that tasks of the user's own have."""
    found = list(sample_tagging.sentences(6, "fuzz"))
    tagged = [json.dumps({"tokens": tokens, "tags": tags}) for tokens, tags in found]
    sample_tagging.write_conll(folder / "tagged.conll", found)
    table = "text,label\n" + 'a b,no\n"c, d",yes\n' * 3
    objects = [json.dumps({"text": "a b", "label": ["x", "y"][: n % 3]}) for n in range(6)]
    contents = {
        "tagging.conll": (folder / "tagged.conll").read_bytes(),
        "tagging.jsonl": "\n".join(tagged).encode(),
        "own.csv": table.encode(),
        "own.tsv": table.replace(",", "\t").replace('"', "").replace("c\t", "c").encode(),
        "own.jsonl": "\n".join(objects).encode(),
    }
    readers = {}
    for name, content in contents.items():
        kind, ending = name.split(".")
        files = {f"{split}.{ending}": content for split in ("train", "dev", "test")}
        readers[name] = Reader(files, task_reader(_own_file_task(kind, list(files), tokenizer)))
    return readers


def _own_file_task(kind, names, tokenizer):
    def make(place):
        settings = SplitSettings(*[str(place / name) for name in names])
        if kind == "tagging":
            files = SplitFiles(settings, "conll")
            return TaggingTask(files, {}, tokenizer, TaggingSettings(max_seq_length=16))
        return FileTask(SplitFiles(settings), FileSettings(), {}, "custom", "", tokenizer, 16)

    return make


def _model_readers(folder):
    model = folder / "model"
    model.mkdir()
    tiny.train_sentencepiece(
        ["hello", "world"] * 3,
        model_prefix=str(model / "30k-clean"),
        control_symbols=["[CLS]", "[SEP]", "[MASK]"],
        normalization_rule_name="identity",  # else 230,000 of its 240,000 bytes are a table
    )
    vocabulary = packed.contents_of(model)
    tiny.write_model(model)
    everything = packed.contents_of(model)
    config = {"albert_config.json": everything["albert_config.json"]}
    steps = {
        f"model.ckpt-{step}.{name.split('.', 2)[2]}": data
        for name, data in everything.items()
        for step in ("2", "best")
        if name.startswith("model.ckpt-best.")
    }
    steps["checkpoint"] = b'model_checkpoint_path: "model.ckpt-2"\n'
    vocab = (folder / "vocab.txt").read_bytes()
    return {
        "albert_config.json": Reader(config, albert_config),
        "WordPiece": Reader({"vocab.txt": vocab}, wordpiece),
        "SentencePiece": Reader(vocabulary, in_child(sentencepiece_model)),
        "checkpoint": Reader(steps, checkpoint),
    }


def _archive_readers():
    contents = {f"RTE/{name}.tsv": b"a\tb\n1\t2\n" for name in ("train", "dev", "test")}
    packed_tar = packed.tar_of(contents)
    rows = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t10\t11\ta\tb\n0\t20\t21\tc\td\n"
    names = ("msr_paraphrase_train.txt", "msr_paraphrase_test.txt", "mrpc_dev_ids.tsv")
    mrpc = dict(zip(names, (rows.encode(), rows.encode(), b"20\t21\n")))
    return {
        "zip": Reader({"a.zip": packed.zip_of(contents)}, archive),
        "tar.gz": Reader({"a.tar.gz": packed_tar}, archive),
        "tar": Reader({"a.tar": gzip.decompress(packed_tar)}, tar_in_gzip),
        "tar.xz": Reader({"a.tar.xz": lzma.compress(b"tar" * 99)}, archive),
        "MRPC sources": Reader(mrpc, mrpc_sources),
    }


# --- Feeding them


class Tally:
    """What became of the inputs of one reader."""

    def __init__(self):
        self.inputs = self.accepted = self.refused = self.findings = self.seconds = 0


def fuzz(readers, count, seed, work, kept):
    """Returns ({reader: Tally}, {(reader, place of the failure): path of its first input}).

    Args:
        readers: {name: Reader}.
        work: a folder for one input at a time.
        kept: the folder for inputs of findings.
    """
    tallies = {name: Tally() for name in readers}
    places = collections.Counter()
    findings = {}
    for index in range(count):
        name = list(readers)[index % len(readers)]
        reader, tally = readers[name], tallies[name]
        rng = random.Random(f"{seed}-{index}")
        path = rng.choice(sorted(reader.files))
        content = fuzz_mutators.mutated(reader.files[path], rng)
        _write_input(work, dict(reader.files, **{path: content}))
        started = time.monotonic()
        failure = _failure_of(reader, work, tally)
        tally.seconds += time.monotonic() - started
        tally.inputs += 1
        if failure:
            tally.findings += 1
            place = name, _place_of(failure)
            places[place] += 1
            if places[place] <= KEPT_PER_PLACE:
                target = kept / f"{name.replace(' ', '_')}-{seed}-{index}"
                findings.setdefault(place, target)
                _write_input(target, dict(reader.files, **{path: content}))
                (target / "traceback.txt").write_text(f"{path}\n{failure}", errors="replace")
    return tallies, findings


def _write_input(folder, files):
    shutil.rmtree(str(folder), ignore_errors=True)
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if content is fuzz_mutators.FOLDER:
            target.mkdir()
        elif content is not fuzz_mutators.MISSING:
            target.write_bytes(content)


def _failure_of(reader, folder, tally):
    """Feeds a reader; returns the traceback if it neither accepts nor refuses the input."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        reader.read(folder)
        tally.accepted += 1
        return None
    except UsageError as error:
        text = error.text("--{}".format)
        if "\n" in text or len(text) > MAX_MESSAGE:
            return f"{traceback.format_exc()}\nis not one line of {MAX_MESSAGE} characters"
        tally.refused += 1
        return None
    except (Exception, Hang):
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _place_of(failure):
    """Returns the last line of a traceback that is ours, and its error: what to mend."""
    places = re.findall(r'albert/([\w/]+\.py)", line (\d+)', failure)
    error = failure.strip().splitlines()[-1].split(":")[0][:60]
    return " ".join([":".join(places[-1]) if places else "?", error])


def _interrupt(*_):
    raise Hang


@contextlib.contextmanager
def quiet_watchdog():
    """Silences the log, turns hangs into findings, and ends the process if one cannot be ended."""
    before = signal.signal(signal.SIGALRM, _interrupt)
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        signal.signal(signal.SIGALRM, before)


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--count", type=int, default=20000, help="inputs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--reader", help="part of the names of the readers to feed")
    parser.add_argument("--keep", help="folder for the inputs of findings (default: a new one)")
    arguments = parser.parse_args()
    kept = pathlib.Path(arguments.keep or tempfile.mkdtemp(prefix="findings_"))
    with tempfile.TemporaryDirectory() as folder, quiet_watchdog():
        start, work = pathlib.Path(folder, "start"), pathlib.Path(folder, "work")
        start.mkdir()
        readers = make_readers(start)
        readers = {k: v for k, v in readers.items() if (arguments.reader or "") in k}
        tallies, findings = fuzz(readers, arguments.count, arguments.seed, work, kept)
    print(f"{'reader':20}  inputs accepted refused findings seconds")
    for name, t in tallies.items():
        columns = f"{t.inputs:7}{t.accepted:9}{t.refused:8}{t.findings:9}{t.seconds:8.1f}"
        print(f"{name:20} {columns}")
    for (name, place), path in sorted(findings.items()):
        print(f"FINDING {name}: {place}: {path}")
    return 1 if findings else 0


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(main())
