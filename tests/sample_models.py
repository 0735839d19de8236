"""Tiny models of every task, trained for a few steps: what a server or a program can open."""

import fcntl
import os

import runs
import sample_race
import sample_squad
import sample_tagging
import tiny

WORDS = ("red", "green", "blue", "small", "big", "old", "new")

# {name: (columns, rows)} of the training files of classifications.
_FILES = {
    "single": ("text,label", [("a red one", "warm"), ("a blue one", "cold")]),
    "pair": ("premise,hypothesis,label", [("red", "blue", "no"), ("old", "old", "yes")]),
    "number": ("text,label", [("old", 0.5), ("new", 2.25)]),
    "labels": ("text,red,blue", [("a red one", 1, 0), ("a blue one", 0, 1)]),
}
CLASSIFIERS = tuple(_FILES)
NAMES = (*CLASSIFIERS, "squad1.1", "squad2.0", "race", "tagging")
_QUESTION = {"context": "Ann sings a hymn. Bob sings a waltz.", "question": "What?"}

# {name: an input}
INPUTS = {
    "single": "a small red one",
    "pair": {"premise": "red", "hypothesis": "blue"},
    "number": "big and old",
    "labels": {"text": "green"},
    "squad1.1": _QUESTION,
    "squad2.0": _QUESTION,
    "race": {"article": "Ba be bi.", "question": "What is _?", "options": ["ba", "be", "bi", "bo"]},
    "tagging": "anna smith went to oslo .",
}


def trained(tmp_path_factory):
    """Returns {name: output_dir} of models for reading, which all processes of a test run share."""
    base = tmp_path_factory.getbasetemp()
    return trained_in((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "models")


def trained_in(folder):
    """Returns {name: output_dir} of models in a folder, trained unless they are there."""
    folder.mkdir(exist_ok=True)
    with open(str(folder / "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "trained").exists():
            _train(folder, NAMES)
            (folder / "trained").touch()
    return {name: folder / name / "output" for name in NAMES}


def _train(folder, names):
    """Trains models, which must succeed."""
    for runner, of_runner in {
        "classifier": [name for name in names if name in CLASSIFIERS],
        "squad": [name for name in names if name.startswith("squad")],
        "race": [name for name in names if name == "race"],
        "tagging": [name for name in names if name == "tagging"],
    }.items():
        commands = {name: _command(folder / name, name) for name in of_runner}
        if commands:
            done = runs.in_one_process(f"run_multigpus_{runner}", commands)
            assert {name: run["status"] for name, run in done.items()} == dict.fromkeys(done, 0)


def _command(folder, name):
    """Writes data, vocabulary and configuration of a model; returns the arguments of its run."""
    folder.mkdir(parents=True)
    write = {"race": _race, "tagging": _tagging}.get(name)
    write = write or (_squad if name.startswith("squad") else _classifier)
    vocabulary, values = write(folder, name)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *vocabulary]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    config = tiny.config(vocab_size=len(vocabulary), initializer_range=0.2)
    (folder / "config.json").write_text(config.to_json_string(), encoding="utf-8")
    common = {
        "albert_config_file": folder / "config.json",
        "vocab_file": folder / "vocab.txt",
        "output_dir": folder / "output",
        "max_seq_length": 48,
        "train_batch_size": 2,
        "device_type": "cpu",
    }
    return runs.arguments({**common, **values}, "do_train")


def _classifier(folder, name):
    columns, rows = _FILES[name]
    lines = [columns, *(",".join(map(str, row)) for row in rows * 4)]
    (folder / "train.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    more = {"label_column": "red,blue"} if name == "labels" else {}
    return WORDS, {"train_file": folder / "train.csv", "train_step": 2, **more}


def _squad(folder, name):
    version = name[len("squad") :]
    sample_squad.write_squad(folder / "train.json", 4, "train", version)
    values = {"train_file": folder / "train.json", "squad_version": version}
    more = {"max_seq_length": 24, "doc_stride": 8, "num_train_epochs": 1}
    return sample_squad.VOCABULARY[5:], {**values, **more}


def _race(folder, name):
    del name
    sample_race.write_split(folder / "data", "train", 8, "train")
    values = {"data_dir": folder / "data", "max_seq_length": 64, "max_qa_length": 24}
    return sample_race.VOCABULARY[5:], {**values, "train_step": 2}


def _tagging(folder, name):
    del name
    sample_tagging.write_conll(folder / "train.conll", sample_tagging.sentences(20, "train"))
    return sample_tagging.WORDS, {"train_file": folder / "train.conll", "train_step": 2}
