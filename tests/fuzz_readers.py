"""Feeds damaged files to all readers of users' files, which must accept or refuse them in one line.

    python tests/fuzz_readers.py --count=20000 --seed=1

Prints how many inputs each reader accepted and refused. Anything but success or a UsageError of one
line is a finding: another exception, a crash, a hang of 10 seconds, or a gigabyte of memory. The
inputs of findings are kept in a folder, each with its traceback. The start files are real ones
where ../shared/data has them; small models are trained first, unless --models names them. The same
seed gives the same inputs.
"""

import argparse
import contextlib
import datetime
import faulthandler
import functools
import gzip
import json
import lzma
import os
import pathlib
import re
import sys
import tempfile

import sentencepiece  # noqa: F401 - after TensorFlow 1.15, its training crashes the process

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
SHARED_DATA = REPOSITORY.parent / "shared" / "data"
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import fuzz_cluster  # noqa: E402
import fuzz_feed  # noqa: E402
import fuzz_models  # noqa: E402
import fuzz_pretraining  # noqa: E402
import fuzz_server  # noqa: E402
import packed  # noqa: E402
import pyarrow  # noqa: E402
import sample_glue  # noqa: E402
import sample_models  # noqa: E402
import sample_race  # noqa: E402
import sample_squad  # noqa: E402
import sample_tagging  # noqa: E402
import tensorflow.compat.v1 as tf  # noqa: E402
import tiny  # noqa: E402
from absl import flags  # noqa: E402
from absl.testing import flagsaver  # noqa: E402
from fuzz_feed import Reader, in_child  # noqa: E402
from pyarrow import parquet  # noqa: E402
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

CHARACTERS = [chr(code) for code in range(33, 127)]
VOCABULARY = [*sample_glue.VOCABULARY, *CHARACTERS, *(f"##{letter}" for letter in CHARACTERS)]


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


# --- Their start files


def make_readers(folder, models):
    """Returns {name: Reader}; makes the start files in an empty folder.

    Args:
        models: {name: output_dir} of trained models, as sample_models.trained returns.
    """
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
    readers.update(fuzz_models.make_readers(folder, models))
    readers.update(fuzz_cluster.make_readers())
    readers.update(fuzz_pretraining.make_readers(tokenizer))
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


# {name: (flags of FileSettings, file)} of the user's own files.
_OWN_FILES = {
    "own.csv": ({}, "text,label\n" + 'a b,no\n"c, d",yes\n' * 3),
    "own.tsv": ({}, "text\tlabel\n" + "a b\tno\nc d\tyes\n" * 3),
    "own.jsonl": (
        {},
        "\n".join(json.dumps({"text": "a b", "label": ["x", "y"][: n % 3]}) for n in range(6)),
    ),
    "pair.csv": (
        {"text_column": "a", "text_pair_column": "b", "label_column": ["c"], "best_metric": "f1"},
        "c,a,b\n" + 'no,a,"b\nc"\nyes,c,d\n' * 3,
    ),
    "switches.tsv": (
        {"label_column": ["x", "y"], "task_type": "multi_label"},
        "text\tx\ty\n" + "a b\t0\t1\nc\t1\t1\n" * 3,
    ),
    "separated.csv": ({"label_separator": ";"}, "text,label\n" + "a b,x;y\nc,y\nd,\n" * 3),
    "scores.jsonl": (
        {"task_type": "regression", "best_metric": "mse"},
        "\n".join(json.dumps({"sentence": "a b", "score": n / 3.0}) for n in range(6)),
    ),
}


def _own_file_readers(folder, tokenizer):
    """Returns the readers of files that tasks of the user's own have."""
    readers = {}

    def add(name, content, make, splits=("train", "dev", "test")):
        files = {f"{split}.{name.split('.', 1)[1]}": content for split in splits}
        read = task_reader(functools.partial(make, names=list(files)))
        readers[name] = Reader(files, in_child(read) if name.endswith(".parquet") else read)

    def tagging(place, names):
        files = SplitFiles(SplitSettings(*[str(place / name) for name in names]), "conll")
        return TaggingTask(files, {}, tokenizer, TaggingSettings(max_seq_length=16))

    def classifier(place, names, **more):
        files = SplitFiles(SplitSettings(*[str(place / name) for name in names]))
        task = FileTask(files, FileSettings(**more), {}, "custom", "", tokenizer, 16)
        task.test_splits = ("test",) if "test" in " ".join(names) else ()
        return task

    found = list(sample_tagging.sentences(6, "fuzz"))
    tagged = [json.dumps({"tokens": tokens, "tags": tags}) for tokens, tags in found]
    sample_tagging.write_conll(folder / "tagged.conll", found)
    add("tagging.conll", (folder / "tagged.conll").read_bytes(), tagging)
    add("tagging.jsonl", "\n".join(tagged).encode(), tagging)
    for name, (settings, text) in _OWN_FILES.items():
        add(name, text.encode(), functools.partial(classifier, **settings))
    table = _OWN_FILES["own.csv"][1].encode()
    longer = table + table.split(b"\n", 1)[1] * 9  # enough to hold some out
    add("held out.csv", longer, classifier, splits=["train"])
    add("own.csv.gz", gzip.compress(table), classifier)
    columns = {"text": ["a b", "c"] * 4, "label": ["no", "yes"] * 4, "number": [1.5] * 8}
    columns["day"] = [datetime.date(2020, 1, day + 1) for day in range(8)]
    parquet.write_table(pyarrow.Table.from_pydict(columns), str(folder / "own.parquet"))
    add("own.parquet", (folder / "own.parquet").read_bytes(), classifier)
    return readers


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


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--count", type=int, default=20000, help="inputs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--reader", default="", help="regular expression for the readers to feed")
    parser.add_argument("--models", help="folder for trained models (default: a new one)")
    parser.add_argument("--keep", help="folder for the inputs of findings (default: a new one)")
    arguments = parser.parse_args()
    kept = pathlib.Path(arguments.keep or tempfile.mkdtemp(prefix="findings_"))
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "start").mkdir()
        models = sample_models.trained_in(pathlib.Path(arguments.models or folder / "models"))
        readers = make_readers(folder / "start", models)
        readers.update(stack.enter_context(fuzz_server.serving(models["single"], folder)))
        readers = {k: v for k, v in readers.items() if re.search(arguments.reader, k)}
        stack.enter_context(fuzz_feed.quiet_watchdog())
        tallies, findings = fuzz_feed.fuzz(
            readers, arguments.count, arguments.seed, folder / "work", kept
        )
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
