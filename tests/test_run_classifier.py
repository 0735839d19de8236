"""End-to-end tests of albert.run_multigpus_classifier: what a user types, reads and finds on disk.

Runs are expensive (TensorFlow starts, graphs are built), so module-scoped fixtures make a few full
runs and the tests look at their results.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import runs
import tensorflow.compat.v1 as tf
import tiny

from albert import classifier_utils, modeling, tokenization
from albert.engine import curve, hooks, results, training
from albert.engine.config import FinetuneConfig

pytestmark = pytest.mark.slow

RUNNER = "run_multigpus_classifier"
PROGRAM = ("-m", f"albert.{RUNNER}")
RUN_AND_SIGNAL = str(runs.REPOSITORY / "tests" / "run_and_signal.py")

GOOD = ("good", "great", "fine", "warm", "funny")
BAD = ("bad", "dull", "weak", "cold", "slow")
OTHER = ("the", "film", "story", "plot", "cast", "is", "was", "feels", "very", "and", "quite", "it")
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *OTHER)
NUM_TRAIN, NUM_DEV, NUM_TEST = 200, 33, 41  # neither a multiple of a batch


def sentences(num_sentences, seed):
    """Returns (text, label) pairs of 3 to 12 words."""
    generator = random.Random(seed)
    found = []
    for _ in range(num_sentences):
        label = generator.randrange(2)
        words = generator.choices(OTHER, k=generator.randint(2, 11))
        words.insert(generator.randint(0, len(words)), generator.choice((BAD, GOOD)[label]))
        found.append((" ".join(words), label))
    return found


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")


def write_sst2(data_dir):
    folder = data_dir / "SST-2"
    for split, size in (("train", NUM_TRAIN), ("dev", NUM_DEV)):
        write_rows(folder / f"{split}.tsv", [("sentence", "label"), *sentences(size, split)])
    texts = [text for text, _ in sentences(NUM_TEST, "test")]
    write_rows(folder / "test.tsv", [("index", "sentence"), *enumerate(texts)])


def write_stsb(data_dir):
    def rows(split, size):
        pairs = zip(sentences(size, split + "a"), sentences(size, split + "b"))
        for number, ((text_a, label_a), (text_b, label_b)) in enumerate(pairs):
            score = 4.2 if label_a == label_b else 0.8
            yield (number, *["-"] * 6, text_a, text_b, score)

    header = [("index", *"bcdefg", "sentence1", "sentence2", "score")]
    for split, size in (("train", 60), ("dev", NUM_DEV)):
        write_rows(data_dir / "STS-B" / f"{split}.tsv", [*header, *rows(split, size)])
    test = [row[:-1] for row in [*header, *rows("test", NUM_TEST)]]
    write_rows(data_dir / "STS-B" / "test.tsv", test)


def write_cola(data_dir):
    for split, size in (("train", 60), ("dev", NUM_DEV)):
        rows = [("src", label, "", text) for text, label in sentences(size, split)]
        write_rows(data_dir / "CoLA" / f"{split}.tsv", rows)
    texts = [text for text, _ in sentences(NUM_TEST, "test")]
    write_rows(data_dir / "CoLA" / "test.tsv", [("index", "sentence"), *enumerate(texts)])


def write_config(path, **changes):
    config = tiny.config(**dict({"vocab_size": len(VOCABULARY)}, **changes))
    path.write_text(config.to_json_string(), encoding="utf-8")


def command(root, *switches, **changes):
    """Returns the arguments of a run on root's data; a flag changed to None is left out."""
    values = {
        "data_dir": root / "data",
        "task_name": "sst-2",
        "albert_config_file": root / "albert_config.json",
        "vocab_file": root / "vocab.txt",
        "output_dir": root / "output",
        "max_seq_length": 64,
        "train_batch_size": 4,
        "train_step": 12,
        "save_checkpoints_steps": 5,
        "learning_rate": 0.001,
        "albert_dropout_prob": 0.1,
        "classifier_dropout_prob": 0.1,
        "num_gpu_cores": 2,
        "device_type": "cpu",
    }
    values.update(changes)
    return runs.arguments(values, *switches)


def start(program, arguments, cwd=runs.REPOSITORY, **more):
    """Returns the finished process of `python program arguments`."""
    environment = {
        name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"
    }
    environment["PYTHONPATH"] = str(runs.REPOSITORY)
    return subprocess.run(
        [sys.executable, *program, *arguments],
        cwd=str(cwd),
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        **more,
    )


def checkpoint_values(path):
    """Returns {name: array} of all variables in a checkpoint."""
    reader = tf.train.load_checkpoint(str(path))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def lines_of(path):
    return path.read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Returns a folder that holds data, vocabularies and configurations."""
    folder = tmp_path_factory.mktemp("classifier")
    for write_task in (write_sst2, write_stsb, write_cola):
        write_task(folder / "data")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    (folder / "long_vocab.txt").write_text(
        "\n".join([*VOCABULARY, "surplus"]) + "\n", encoding="utf-8"
    )
    (folder / "broken.json").write_text('{"vocab_size": 27,', encoding="utf-8")
    write_config(folder / "albert_config.json")
    write_config(folder / "wide_config.json", hidden_size=32)
    return folder


@pytest.fixture(scope="module")
def full_run(root):
    """Returns the process that trained, evaluated and predicted from a folder of its own."""
    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    return start(PROGRAM, command(root, "do_train", "do_eval", "do_predict"), cwd=elsewhere)


@pytest.fixture(scope="module")
def output(root, full_run):
    """Returns output_dir of the full run."""
    assert full_run.returncode == 0, full_run.stderr
    return root / "output"


@pytest.fixture(scope="module")
def stopped_runs(root):
    """Returns the processes of one command that was killed, stopped twice, and then finished."""
    arguments = command(root, "do_train", "do_eval", output_dir=root / "stopped")
    runs = {}
    for step, number in ((8, signal.SIGKILL), (7, signal.SIGINT), (9, signal.SIGTERM)):
        runs[number] = start([RUN_AND_SIGNAL, str(step), str(int(number))], arguments)
        runs[number].checkpoints = {path.stem for path in (root / "stopped").glob("*.index")}
    runs["finished"] = start(PROGRAM, arguments)
    return runs


def test_full_run_is_silent_but_for_our_log(full_run):
    assert full_run.returncode == 0, full_run.stderr
    assert full_run.stdout == ""
    assert runs.foreign_lines(full_run.stderr) == []


def test_full_run_logs_local_and_global_batch(full_run):
    assert "200 examples, batch 4 on each of 2 replica(s), 8 in all." in full_run.stderr


def test_full_run_from_scratch_warns(full_run):
    assert "No initial checkpoint: training from random weights" in full_run.stderr


def test_full_run_writes_nothing_into_the_working_directory(root, output):
    assert list((root / "elsewhere").iterdir()) == []


def test_full_run_leaves_the_files_of_the_design_and_nothing_half_written(output):
    names = {path.name for path in output.iterdir()}
    for step in ("0", "5", "10", "12", "best"):
        for ending in ("index", "data-00000-of-00001"):
            names.remove(f"model.ckpt-{step}.{ending}")
        names.remove(f"model.ckpt-{step}.meta")
    names -= {"run.json", ".lock", ".turns", "checkpoint", "eval"}
    names -= {"eval_results.txt", "eval_results.json", "learning_curve.png"}
    names -= {"dev_predictions.jsonl"}
    names -= {"test_results.tsv", "submit_results.tsv", "SST-2.tsv"}
    names -= {"albert_config.json", "vocab.txt"}  # copies, for predictions elsewhere
    rest = sorted(re.sub(r"_[0-9a-f]{16}\.", "_HASH.", name) for name in names)
    assert rest[0].startswith("events.out.tfevents.")
    assert rest[1:] == [
        f"sst-2_{split}_HASH.tf_record{ending}"
        for split in ("dev", "test", "train")
        for ending in ("", ".json")
    ]


def test_eval_results_keep_the_lines_of_the_original(output):
    lines = lines_of(output / "eval_results.txt")
    assert lines[0] == "===== Hyperparameters ====="
    assert "Training batch size: 4" in lines
    assert lines.count("===== Evaluation =====") == 3
    assert [line for line in lines if line.startswith("global_step")] == [
        "global_step = 5",
        "global_step = 10",
        "global_step = 12",
    ]
    for name in ("eval_accuracy", "eval_loss", "best"):
        values = [float(line.split(" = ")[1]) for line in lines if line.startswith(f"{name} = ")]
        assert len(values) == 3 and np.all(np.isfinite(values))
    first = output / "model.ckpt-5.index"
    assert f"saved {first} to {output / 'model.ckpt-best.index'}" in lines


def test_eval_results_for_programs_name_the_best_step(output):
    stored = json.loads((output / "eval_results.json").read_text(encoding="utf-8"))
    scores = {row["step"]: row["metrics"]["accuracy"] for row in stored["evaluations"]}
    assert list(scores) == [5, 10, 12]
    best = stored["best"]
    assert scores[best["step"]] == best["metrics"]["accuracy"] == max(scores.values())
    # In steps of one example: no example is lost or counted twice.
    assert all(abs(score * NUM_DEV - round(score * NUM_DEV)) < 1e-9 for score in scores.values())
    assert checkpoint_values(output / "model.ckpt-best")["global_step"] == best["step"]
    assert stored["settings"]["global_batch_size"] == 8
    assert stored["settings"]["examples_per_second"] > 0


def test_evaluation_writes_tensorboard_events(output):
    (events,) = (output / "eval").glob("events*")
    logged = {
        (event.step, value.tag)
        for event in tf.train.summary_iterator(str(events))
        for value in event.summary.value
    }
    expected = {"eval/accuracy", "eval/loss"}
    assert logged == {(step, tag) for step in (5, 10, 12) for tag in expected}


def training_scalars(output):
    """Returns {tag: {step: value}} of a run's events."""
    (events,) = output.glob("events*")
    logged = {}
    for event in tf.train.summary_iterator(str(events)):
        for value in event.summary.value:
            logged.setdefault(value.tag, {})[event.step] = value.simple_value
    return logged


def test_training_writes_tensorboard_events_at_every_step(output):
    logged = training_scalars(output)
    assert sorted(logged) == ["examples_per_second", "learning_rate", "loss", "tokens_per_second"]
    for values in logged.values():
        assert list(values) == list(range(1, 13))
    # The first update has the full rate, the last one a twelfth of it: no warm-up.
    expected = [0.001 * (1 - update / 12) for update in range(12)]
    np.testing.assert_allclose(list(logged["learning_rate"].values()), expected, rtol=1e-5)


def test_real_tokens_are_counted_over_both_replicas(output):
    logged = training_scalars(output)
    for step, speed in logged["tokens_per_second"].items():
        num_tokens = 8 * speed / logged["examples_per_second"][step]
        assert abs(num_tokens - round(num_tokens)) < 1e-3
        assert 8 * (3 + 2) <= num_tokens <= 8 * (12 + 2)  # 3 to 12 words, [CLS] and [SEP]


def test_run_ends_with_a_summary(output, full_run):
    trained, best, curve = [line[9:] for line in full_run.stderr.splitlines()[-3:]]
    assert re.match(
        r"Trained 12 steps in \d\d:\d\d, \d\d:\d\d of it in the steps: "
        r"[\d.]+k? examples/s, [\d.]+k? tokens/s\.$",
        trained,
    )
    stored = json.loads((output / "eval_results.json").read_text(encoding="utf-8"))["best"]
    metrics = "accuracy {accuracy:.4f}, loss {loss:.4f}".format(**stored["metrics"])
    assert best == f"Best step {stored['step']}: {metrics}."
    assert curve == f"Wrote {output}/learning_curve.png."


def test_test_predictions_are_complete_and_agree(output):
    probabilities = np.loadtxt(str(output / "test_results.tsv"), delimiter="\t")
    assert probabilities.shape == (NUM_TEST, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    expected = ["index\tprediction"]
    expected += [f"{index}\t{row.argmax()}" for index, row in enumerate(probabilities)]
    assert lines_of(output / "SST-2.tsv") == expected
    assert lines_of(output / "submit_results.tsv") == expected


def test_killed_run_leaves_its_last_checkpoint(stopped_runs):
    killed = stopped_runs[signal.SIGKILL]
    assert killed.returncode == -signal.SIGKILL
    assert "model.ckpt-5" in killed.checkpoints
    assert not killed.checkpoints & {"model.ckpt-8", "model.ckpt-10"}


@pytest.mark.parametrize(
    "number, status, start_step, saved_step",
    [(signal.SIGINT, 130, 5, 7), (signal.SIGTERM, 143, 7, 9)],
    ids=["ctrl-c", "sigterm"],
)
def test_stopped_run_saves_and_says_how_to_go_on(
    root, stopped_runs, number, status, start_step, saved_step
):
    stopped = stopped_runs[number]
    folder = root / "stopped"
    assert stopped.returncode == status, stopped.stderr
    assert f"Resuming from {folder}/model.ckpt-{start_step}, up to step 12." in stopped.stderr
    assert stopped.stderr.splitlines()[-1].endswith(
        f"Stopped; saved as {folder}/model.ckpt-{saved_step}. The same command resumes from there."
    )
    assert runs.foreign_lines(stopped.stderr) == []
    assert f"model.ckpt-{saved_step}" in stopped.checkpoints


def test_resumed_run_ends_bit_for_bit_like_one_never_stopped(root, output, stopped_runs):
    finished = stopped_runs["finished"]
    assert finished.returncode == 0, finished.stderr
    assert f"Resuming from {root / 'stopped'}/model.ckpt-9, up to step 12." in finished.stderr
    expected = checkpoint_values(output / "model.ckpt-12")
    actual = checkpoint_values(root / "stopped" / "model.ckpt-12")
    assert expected["batches_consumed"] == expected["global_step"] == 12
    assert {"output_weights/adam_m", "output_weights/adam_v"} < set(expected)
    assert sorted(actual) == sorted(expected)
    different = [name for name in expected if not np.array_equal(actual[name], expected[name])]
    assert different == []


def test_a_run_that_was_stopped_evaluates_what_it_would_have_evaluated_anyway(root, stopped_runs):
    stored = json.loads((root / "stopped" / "eval_results.json").read_text(encoding="utf-8"))
    assert [row["step"] for row in stored["evaluations"]] == [5, 10, 12]
    shown = "".join(run.stderr for run in stopped_runs.values())
    assert sorted(map(int, re.findall(r"Evaluating step (\d+)\.", shown))) == [5, 10, 12]


def without(folder, *patterns):
    """Removes the files that match."""
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink()


# name: (changes of the flags, switches, what the one line says). {root} is filled in.
MISTAKES = {
    "unknown flag": ({"colour": "red"}, ["do_train"], "Unknown command line flag 'colour'"),
    "misspelt flag": ({}, ["do_trian"], "'do_trian'. Did you mean: do_train ?"),
    "bad number": ({"train_step": "ten"}, ["do_train"], "--train_step=ten"),
    "bad choice": ({"optimizer": "sgd"}, ["do_train"], "--optimizer=sgd"),
    "nothing to do": ({}, [], "Give at least one of --do_train, --do_eval and --do_predict."),
    "tpu": ({"use_tpu": True}, ["do_train"], "google-research/albert"),
    "no output_dir": ({"output_dir": None}, ["do_train"], "--output_dir is required."),
    "no data_dir": ({"data_dir": None}, ["do_train"], "--data_dir is required."),
    "no task_name": ({"task_name": None}, ["do_train"], "--task_name is required."),
    "no data": (
        {"task_name": None, "data_dir": None},
        ["do_train"],
        "--train_file, or --task_name and --data_dir, is required.",
    ),
    "files of a GLUE task": (
        {"train_file": "{root}/none.csv"},
        ["do_train"],
        "--task_name=sst-2 names a task with data of its own",
    ),
    "columns without files": (
        {"text_column": "text"},
        ["do_train"],
        "--text_column is for --train_file, --validation_file, --test_file.",
    ),
    "file that is not there": (
        {"train_file": "{root}/none.csv", "task_name": None},
        ["do_train"],
        "--train_file={root}/none.csv: No such file or directory.",
    ),
    "no file to predict": (
        {"train_file": "{root}/vocab.txt", "task_name": None},
        ["do_train", "do_predict"],
        "--test_file is required by --do_predict.",
    ),
    "name that is a path": (
        {"train_file": "{root}/vocab.txt", "task_name": "a/b"},
        ["do_train"],
        "--task_name=a/b names files: use letters, digits",
    ),
    "unknown metric": (
        {"best_metric": "f2"},
        ["do_train"],
        "--best_metric=f2 must be one of accuracy, loss.",
    ),
    "no config": (
        {"albert_config_file": None},
        ["do_train"],
        "--albert_config_file is required.",
    ),
    "no vocabulary": ({"vocab_file": None}, ["do_train"], "--vocab_file is needed"),
    "missing config": (
        {"albert_config_file": "{root}/none.json"},
        ["do_train"],
        "{root}/none.json",
    ),
    "broken config": (
        {"albert_config_file": "{root}/broken.json"},
        ["do_train"],
        "{root}/broken.json",
    ),
    "missing vocabulary": ({"vocab_file": "{root}/none.txt"}, ["do_train"], "{root}/none.txt"),
    "unknown task": (
        {"task_name": "snli"},
        ["do_train"],
        "--task_name=snli is unknown; it must be one of ax, cola",
    ),
    "too long": (
        {"max_seq_length": 65},
        ["do_train"],
        "--max_seq_length=65 must be from 1 to 64, the positions of the model.",
    ),
    "vocabulary of another model": (
        {"vocab_file": "{root}/long_vocab.txt"},
        ["do_train"],
        "28 tokens, but --albert_config_file={root}/albert_config.json says vocab_size 27.",
    ),
    "too many warm-up steps": (
        {"warmup_step": 13},
        ["do_train"],
        "--warmup_step=13 must be from 0 to --train_step=12.",
    ),
    "missing data": (
        {"data_dir": "{root}/data/SST-2"},
        ["do_train"],
        "{root}/data/SST-2/SST-2/train.tsv: No such file or directory. Is --data_dir right?",
    ),
    "missing test data": (
        {"data_dir": "{root}/bad/label"},
        ["do_train", "do_predict"],
        "{root}/bad/label/SST-2/test.tsv: No such file or directory. Is --data_dir right?",
    ),
    "short row": (
        {"data_dir": "{root}/bad/short"},
        ["do_train"],
        "{root}/bad/short/SST-2/train.tsv:3: 1 columns found, 2 expected.",
    ),
    "unknown label": (
        {"data_dir": "{root}/bad/label"},
        ["do_train"],
        "{root}/bad/label/SST-2/train.tsv:2: label '7' is not one of 0, 1.",
    ),
    "empty split": (
        {"data_dir": "{root}/bad/empty"},
        ["do_train"],
        "{root}/bad/empty/SST-2/train.tsv holds no examples.",
    ),
    "not UTF-8": (
        {"data_dir": "{root}/bad/latin"},
        ["do_train"],
        "{root}/bad/latin/SST-2/train.tsv is not UTF-8 text: byte 18 (line 2) is 0xe9.",
    ),
    "cached_dir is a file": (
        {"cached_dir": "{root}/vocab.txt"},
        ["do_train"],
        "--cached_dir={root}/vocab.txt cannot be written to",
    ),
    "too many GPUs": (
        {"num_gpu_cores": 99, "device_type": "gpu"},
        ["do_train"],
        "--num_gpu_cores=99, but TensorFlow sees",
    ),
    "NCCL without GPUs": ({"all_reduce": "nccl"}, ["do_train"], "--all_reduce=nccl needs GPUs"),
    "weights for a regression": (
        {"task_name": "sts-b", "class_weights": "balanced"},
        ["do_train"],
        "--class_weights=balanced is for one label of several, but sts-b is of the type reg",
    ),
    "smoothing for a regression": (
        {"task_name": "sts-b", "label_smoothing": 0.1},
        ["do_train"],
        "--label_smoothing=0.1 is for one label of several, but sts-b is of the type regression.",
    ),
    "patience without evaluations": (
        {"early_stopping_patience": 2},
        ["do_train"],
        "--early_stopping_patience=2 needs evaluations: --do_eval, or --do_predict where a file",
    ),
    "missing init checkpoint": (
        {"init_checkpoint": "{root}/none.ckpt"},
        ["do_train"],
        "--init_checkpoint={root}/none.ckpt: there is no such checkpoint",
    ),
    "init checkpoint of another program": (
        {"init_checkpoint": "{root}/foreign.ckpt"},
        ["do_train"],
        "--init_checkpoint={root}/foreign.ckpt holds none of the model's variables",
    ),
    "init checkpoint of another size": (
        {
            "init_checkpoint": "{root}/output/model.ckpt-12",
            "albert_config_file": "{root}/wide_config.json",
        },
        ["do_train"],
        "Does --albert_config_file belong to it?",
    ),
    "init checkpoint of brightmart": (
        {"init_checkpoint": "{root}/brightmart.ckpt"},
        ["do_train"],
        "has the variable layout of brightmart's albert_zh",
    ),
    "divergence": (
        {"learning_rate": 1e30, "num_gpu_cores": 1},
        ["do_train"],
        "at --learning_rate=1e+30, was not applied: its gradient is not finite",
    ),
    "nothing to evaluate": ({}, ["do_eval"], "holds no checkpoint to evaluate"),
    "nothing to predict with": ({}, ["do_predict"], "holds no checkpoint to predict with"),
    "output_dir with a bracket": (
        {"output_dir": "{root}/run[1]"},
        ["do_train"],
        "--output_dir={root}/run[1]: TensorFlow cannot read from a path with [ or \\.",
    ),
    "output_dir is a file": (
        {"output_dir": "{root}/vocab.txt"},
        ["do_train"],
        "--output_dir={root}/vocab.txt cannot be written to: Not a directory.",
    ),
}


def mistaken_command(root, name):
    changes, switches, _ = MISTAKES[name]
    folder = root / "mistakes" / name.replace(" ", "_")
    filled = {
        flag: value.format(root=root) if isinstance(value, str) else value
        for flag, value in changes.items()
    }
    return command(root, *switches, **dict({"output_dir": folder}, **filled))


BAD_FILES = {
    "short": b"sentence\tlabel\ngood\t1\nbad\n",
    "label": b"sentence\tlabel\ngood\t7\n",
    "empty": b"sentence\tlabel\n",
    "latin": b"sentence\tlabel\ncaf\xe9\t1\n",
}


def write_bad_data(folder):
    for name, content in BAD_FILES.items():
        (folder / name / "SST-2").mkdir(parents=True)
        (folder / name / "SST-2" / "train.tsv").write_bytes(content)


def write_foreign_checkpoint(path, name="foreign"):
    with tf.Graph().as_default(), tf.Session() as session:
        variable = tf.get_variable(name, [3])
        session.run(variable.initializer)
        tf.train.Saver().save(session, str(path), write_state=False)


ALL_SETTINGS = {
    "num_train_epochs": 0.5,
    "warmup_proportion": 0.5,
    "save_checkpoints_steps": 1,
    "eval_steps": 2,
    "early_stopping_patience": 1,
    "max_train_samples": 80,
    "max_eval_samples": 5,
    "max_predict_samples": 6,
    "class_weights": "balanced",
    "label_smoothing": 0.1,
    "layerwise_lr_decay": 0.5,
    "freeze": "embeddings",
    "bias_correction": True,
}


@pytest.fixture(scope="module")
def short_runs(root, output):
    """Returns the results of mistaken commands, and of repeated and of short runs."""
    write_bad_data(root / "bad")
    write_foreign_checkpoint(root / "foreign.ckpt")
    write_foreign_checkpoint(root / "brightmart.ckpt", "bert/embeddings/word_embeddings_2")
    commands = {name: mistaken_command(root, name) for name in MISTAKES}
    commands["positional argument"] = [*command(root, "do_train"), "extra"]
    for name in ("predicted", "evaluated", "repeated", "overwritten"):
        shutil.copytree(str(output), str(root / name))
    without(root / "predicted", "*_train_*", "*_dev_*", "*.tsv", "eval_results.*")
    without(root / "evaluated", "eval_results.*", "model.ckpt-best.*")
    (root / "evaluated" / "learning_curve.png").unlink()
    (root / "evaluated" / "learning_curve.png").mkdir()
    (root / "test_data" / "SST-2").mkdir(parents=True)
    (root / "dev_data" / "SST-2").mkdir(parents=True)
    for split in ("test", "dev"):
        shutil.copy(
            str(root / "data" / "SST-2" / f"{split}.tsv"),
            str(root / f"{split}_data" / "SST-2" / f"{split}.tsv"),
        )
    commands["predict"] = command(
        root,
        "do_predict",
        data_dir=root / "test_data",
        output_dir=root / "predicted",
        num_gpu_cores=1,
        predict_batch_size=16,
    )
    commands["evaluate"] = command(
        root, "do_eval", data_dir=root / "dev_data", output_dir=root / "evaluated"
    )
    commands["repeat"] = command(root, "do_train", "do_eval", output_dir=root / "repeated")
    commands["named checkpoint"] = command(
        root,
        *("do_eval", "do_predict"),
        output_dir=root / "repeated",
        eval_checkpoint=output / "model.ckpt-5.index",
        max_eval_samples=7,
        max_predict_samples=9,
    )
    commands["overwrite"] = command(
        root,
        *("do_train", "do_eval", "do_predict", "overwrite_output_dir"),
        output_dir=root / "overwritten",
        train_step=None,
        **ALL_SETTINGS,
    )
    for task, init_checkpoint in (("sts-b", None), ("cola", output / "model.ckpt-12.index")):
        commands[task] = command(
            root,
            *("do_train", "do_eval", "do_predict"),
            task_name=task,
            output_dir=root / task,
            init_checkpoint=init_checkpoint,
            train_step=2,
            num_gpu_cores=1,
        )
    return runs.in_one_process(RUNNER, commands)


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_ends_in_one_line_and_status_1(root, short_runs, name):
    run = short_runs[name]
    assert run["status"] == 1, run["stderr"]
    (message,) = runs.foreign_lines(run["stderr"])
    assert run["stderr"].endswith(message + "\n")
    assert message.startswith("run_multigpus_classifier.py: ")
    assert MISTAKES[name][2].format(root=root) in message


@pytest.mark.parametrize("name", ["NCCL without GPUs", "init checkpoint of brightmart"])
def test_mistake_is_reported_before_any_features_are_made(short_runs, name):
    assert "features" not in short_runs[name]["stderr"]


def test_diverged_run_draws_its_curve(root, short_runs):
    path = root / "mistakes" / "divergence" / "learning_curve.png"
    assert f"Wrote {path}." in short_runs["divergence"]["stderr"]


def test_positional_argument_is_refused(short_runs):
    run = short_runs["positional argument"]
    assert run["status"] == 1
    assert run["stderr"] == (
        "run_multigpus_classifier.py: Unexpected argument 'extra'; "
        "flags are written --name=value.\n"
    )


@pytest.mark.parametrize(
    "name", ["misspelt flag", "init checkpoint of another program", "divergence"]
)
def test_mistake_looks_the_same_in_a_process_of_its_own(root, short_runs, name):
    process = start(PROGRAM, mistaken_command(root, name))
    assert process.returncode == 1
    assert process.stdout == ""
    assert runs.foreign_lines(process.stderr) == runs.foreign_lines(short_runs[name]["stderr"])


def test_stopped_run_draws_its_curve_and_its_successor_goes_on_with_it(root, stopped_runs):
    assert f"Wrote {root / 'stopped'}/learning_curve.png." in stopped_runs[signal.SIGINT].stderr
    # 8 was reached and killed, from 5 on all was done again.
    drawn = curve.read_scalars(str(root / "stopped"))["loss"]
    assert drawn[:, 0].tolist() == list(range(1, 13))
    once = curve.read_scalars(str(root / "output"))["loss"]
    np.testing.assert_array_equal(drawn, once)


def test_predicting_needs_neither_train_nor_dev_data(root, output, short_runs):
    assert short_runs["predict"]["status"] == 0, short_runs["predict"]["stderr"]
    for name in ("submit_results.tsv", "SST-2.tsv"):
        assert lines_of(root / "predicted" / name) == lines_of(output / name)
    np.testing.assert_allclose(
        np.loadtxt(str(root / "predicted" / "test_results.tsv")),
        np.loadtxt(str(output / "test_results.tsv")),
        atol=1e-5,
    )


def test_settings_of_training_reach_a_run_that_starts_afresh(root, short_runs):
    run, folder = short_runs["overwrite"], root / "overwritten"
    assert run["status"] == 0, run["stderr"]
    assert runs.foreign_lines(run["stderr"]) == []
    assert "0.5 epoch(s) of 80 features are 5 updates, 2 of them warm-up." in run["stderr"]
    assert "To resume this run later, leave out --overwrite_output_dir." in run["stderr"]
    settings = json.loads((folder / "run.json").read_text(encoding="utf-8"))["settings"]
    decided = {"num_train_epochs": None, "warmup_proportion": None}
    expected = {**ALL_SETTINGS, **decided, "train_steps": 5, "warmup_steps": 2}
    assert {name: settings[name] for name in expected} == expected
    stored = json.loads((folder / "eval_results.json").read_text(encoding="utf-8"))
    assert [row["step"] for row in stored["evaluations"]][:2] == [2, 4]
    assert len(lines_of(folder / "test_results.tsv")) == 6


def test_a_named_checkpoint_is_evaluated_and_predicts_beside_the_results_of_the_run(
    root, output, short_runs
):
    run, folder = short_runs["named checkpoint"], root / "repeated"
    assert run["status"] == 0, run["stderr"]
    for name in ("test_results.tsv", "learning_curve.png", "run.json"):
        is_equal = (folder / name).read_bytes() == (output / name).read_bytes()
        assert is_equal == (name != "run.json")  # which knows the new folder
    assert len(lines_of(folder / "predictions_model.ckpt-5" / "test_results.tsv")) == 9
    record = folder / "predictions_model.ckpt-5" / "eval_results.json"
    (row,) = json.loads(record.read_text(encoding="utf-8"))["evaluations"]
    assert row["step"] == 5 and row["metrics"]["accuracy"] * 7 == pytest.approx(
        round(row["metrics"]["accuracy"] * 7)
    )


def test_evaluating_alone_gives_what_evaluation_in_training_gave(root, output, short_runs):
    assert short_runs["evaluate"]["status"] == 0, short_runs["evaluate"]["stderr"]
    first, second = (
        json.loads((folder / "eval_results.json").read_text(encoding="utf-8"))
        for folder in (output, root / "evaluated")
    )
    assert second["best"]["step"] == first["best"]["step"]
    assert [row["step"] for row in second["evaluations"]] == [5, 10, 12]
    for was, now in zip(first["evaluations"], second["evaluations"]):
        assert now["metrics"] == pytest.approx(was["metrics"], abs=1e-5)
    assert (root / "evaluated" / "model.ckpt-best.index").exists()


def test_the_predictions_of_the_dev_set_add_up_to_its_metrics(output):
    best = json.loads((output / "eval_results.json").read_text(encoding="utf-8"))["best"]
    rows = [json.loads(line) for line in lines_of(output / "dev_predictions.jsonl")]
    assert {row["step"] for row in rows} == {best["step"]}
    is_right = [row["predicted"] == row["gold"] for row in rows]
    assert np.mean(is_right) == pytest.approx(best["metrics"]["accuracy"])
    assert np.mean([row["loss"] for row in rows]) == pytest.approx(best["metrics"]["loss"])
    for row in rows:
        assert row["predicted"] == max(row["probabilities"], key=row["probabilities"].get)


def test_the_report_shows_the_accuracy_of_the_run(output):
    best = json.loads((output / "eval_results.json").read_text(encoding="utf-8"))["best"]
    assert runs.report_on(output).count(f">{best['metrics']['accuracy']:.4f}<") >= 3


def test_curve_that_cannot_be_written_is_reported_and_does_not_fail_the_run(root, short_runs):
    last = short_runs["evaluate"]["stderr"].splitlines()[-1]
    assert " learning_curve.png could not be drawn: [Errno 21] Is a directory: " in last


def test_repeating_a_finished_run_trains_nothing_and_says_so(root, output, short_runs):
    run = short_runs["repeat"]
    assert run["status"] == 0, run["stderr"]
    assert f"{root}/repeated/model.ckpt-12 has all 12 steps: nothing to train." in run["stderr"]
    assert "Evaluating step" not in run["stderr"]
    for name in ("model.ckpt-12.index", "model.ckpt-best.index"):
        assert (root / "repeated" / name).read_bytes() == (output / name).read_bytes()
    now, was = (
        json.loads((folder / "eval_results.json").read_text(encoding="utf-8"))
        for folder in (root / "repeated", output)
    )
    assert now == was


def test_training_time_leaves_out_saving_and_evaluating(root, monkeypatch):
    class SlowEvaluator:
        record = results.EvaluationRecord(str(root), "accuracy")
        seconds = 0.0

        def evaluate_all(self, last_step=None):
            self.seconds += 10000.0

    class Clock:
        def monotonic(self):
            return time.monotonic() + evaluator.seconds

    evaluator = SlowEvaluator()
    monkeypatch.setattr(hooks, "time", Clock())
    config = FinetuneConfig(
        albert_config=modeling.AlbertConfig.from_json_file(str(root / "albert_config.json")),
        output_dir=str(root / "timed"),
        train_batch_size=4,
        train_steps=3,
        save_checkpoints_steps=1,
        device_type="cpu",
    )
    tokenizer = tokenization.FullTokenizer(str(root / "vocab.txt"))
    task = classifier_utils.GlueTask("sst-2", str(root / "data"), tokenizer, 64)
    engine = training.Engine(task, config)
    engine._evaluator = evaluator
    engine.train(evaluate=True)
    assert evaluator.seconds == 50000.0  # at the start, and after steps 0, 1, 2 and 3
    assert 0.0 < evaluator.record.setting("total_seconds") < 10000.0


@pytest.mark.parametrize("task, file", [("sts-b", "STS-B.tsv"), ("cola", "CoLA.tsv")])
def test_other_tasks_run_through(root, short_runs, task, file):
    run = short_runs[task]
    assert run["status"] == 0, run["stderr"]
    assert runs.foreign_lines(run["stderr"]) == []
    assert len(lines_of(root / task / "test_results.tsv")) == NUM_TEST
    assert len(lines_of(root / task / file)) == NUM_TEST + 1


def test_init_checkpoint_may_be_named_by_its_index(root, short_runs):
    stderr = short_runs["cola"]["stderr"]
    assert f" variables from {root}/output/model.ckpt-12." in stderr
    assert "No initial checkpoint" not in stderr


def test_made_up_data_through_sentencepiece(root):
    folder = root / "sentencepiece"
    folder.mkdir()
    write_config(
        folder / "config.json", vocab_size=tiny.write_vocabulary(folder, [*GOOD, *BAD, *OTHER])
    )
    arguments = command(
        root,
        *("do_train", "do_eval", "do_predict"),
        output_dir=folder / "output",
        albert_config_file=folder / "config.json",
        vocab_file=folder / "30k-clean.vocab",
        spm_model_file=folder / "30k-clean.model",
        train_step=3,
    )
    run = runs.in_one_process(RUNNER, {"run": arguments})["run"]
    assert run["status"] == 0, run["stderr"]
    assert runs.foreign_lines(run["stderr"]) == []
    assert f"Wrote {NUM_DEV} features." in run["stderr"]
    assert len(lines_of(folder / "output" / "test_results.tsv")) == NUM_TEST
    submission = lines_of(folder / "output" / "SST-2.tsv")
    assert submission[0] == "index\tprediction"
    assert [int(line.split("\t")[0]) for line in submission[1:]] == list(range(NUM_TEST))


def test_real_data_through_sentencepiece(root, shared_data):
    glue = shared_data / "glue_data"
    write_config(root / "real_config.json", vocab_size=30000)
    sizes = {"sts-b": ("STS-B", 1500, 1379), "sst-2": ("SST-2", 872, 1821)}  # dev, test
    commands = {
        task: command(
            root,
            *("do_train", "do_eval", "do_predict"),
            task_name=task,
            data_dir=glue,
            output_dir=root / f"real_{task}",
            cached_dir=root / "cache",
            albert_config_file=root / "real_config.json",
            vocab_file=shared_data / "spm" / "30k-clean.vocab",
            spm_model_file=shared_data / "spm" / "30k-clean.model",
            train_step=3,
            eval_batch_size=64,
            predict_batch_size=64,
        )
        for task in sizes
    }
    finished = runs.in_one_process(RUNNER, commands)
    for task, (folder, num_dev, num_test) in sizes.items():
        run, written = finished[task], root / f"real_{task}"
        assert run["status"] == 0, run["stderr"]
        assert runs.foreign_lines(run["stderr"]) == []
        assert f"Wrote {num_dev} features." in run["stderr"]
        assert len(lines_of(written / "test_results.tsv")) == num_test
        submission = lines_of(written / f"{folder}.tsv")
        assert submission[0] == "index\tprediction"
        assert [int(line.split("\t")[0]) for line in submission[1:]] == list(range(num_test))
        assert len(lines_of(written / "submit_results.tsv")) == num_test + 1
    assert list((root / "real_sts-b").glob("*.tf_record")) == []
