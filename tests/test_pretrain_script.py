"""End-to-end tests of scripts/pretrain.sh: from text to a model, and on to a fine-tuned one.

The working directory is another folder than the project's, and all paths have spaces.
"""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import runs
import sample_pretraining
import tensorflow.compat.v1 as tf
import test_scripts

from albert import predict
from albert.common.errors import UsageError
from albert.tokenization import FullTokenizer

pytestmark = pytest.mark.slow

SETTINGS = {
    "INPUT_TEXT": "text/*.txt",
    "HELD_OUT": "10",
    "VOCAB_SIZE": "120",
    "SIZE": "tiny",
    "NUM_LAYERS": "2",
    "HIDDEN_SIZE": "24",
    "MAX_SEQ_LENGTH": "32",
    "NUM_GPUS": "2",
    "TRAIN_BATCH_SIZE": "4",
    "GLOBAL_BATCH_SIZE": "16",
    "NUM_TRAIN_STEPS": "60",
    "SAVE_CHECKPOINTS_STEPS": "10",
    "CURRENT_PWD": "home with spaces",
}
NUM_DOCUMENTS = 60
MISTAKES = {  # settings, and how the line ends that the script prints
    "no text": ({"INPUT_TEXT": ""}, "INPUT_TEXT is empty: name files of text, such as INPUT_TEXT="),
    "no file": ({"INPUT_TEXT": "none*"}, "INPUT_TEXT: no file matches none*."),
    "one document": ({"INPUT_TEXT": "one.txt"}, "INPUT_TEXT holds 1 document(s), and none can be"),
    "all held out": ({"HELD_OUT": "1"}, "HELD_OUT=1 must be 2 or more."),
    "no number": ({"NUM_GPUS": "two"}, "NUM_GPUS=two must be a whole number, 1 or more."),
    "batch": (
        {"GLOBAL_BATCH_SIZE": "12"},
        "GLOBAL_BATCH_SIZE=12 must be a multiple of 8, TRAIN_BATCH_SIZE times NUM_GPUS.",
    ),
    "size": ({"SIZE": "huge", "EVAL_TEXT": "one.txt"}, "SIZE=huge must be one of tiny, base,"),
    "bare start": (
        {"INIT_CHECKPOINT": "text/x"},
        "text, the folder of INIT_CHECKPOINT, has no voc",
    ),
    "comma": ({"OUTPUT_DIR": "/a,b"}, "OUTPUT_DIR=/a,b must not have a comma."),
}


def documents(seed):
    """Returns documents of some sentences, all with other words."""
    generator = random.Random(seed)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    words = ["".join(generator.choices(syllables, k=3)) for _ in range(150)]

    def sentence():
        who, what = generator.sample(words, 2)
        return f"{who.title()} sings {generator.choice('23456789')} {what}."

    return [[sentence() for _ in range(generator.randint(3, 9))] for _ in range(NUM_DOCUMENTS)]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Returns (the project's folder, the working directory), which has text in text/."""
    folder = tmp_path_factory.mktemp("pretraining script")
    project, working_dir = folder / "a checkout with spaces", folder / "working directory"
    (working_dir / "text").mkdir(parents=True)
    runs.copy_project(project)
    for name, seed in (("text/first", 0), ("more", 1)):
        text = sample_pretraining.text_of(documents(seed))
        (working_dir / f"{name}.txt").write_text(text, encoding="utf-8")
    (working_dir / "one.txt").write_text("One document.\nOf two sentences.\n", encoding="utf-8")
    return project, working_dir


def start(scene, *flags, script="pretrain.sh", **changes):
    """Starts a script in a process group of its own and returns the process."""
    project, working_dir = scene
    settings = SETTINGS if script == "pretrain.sh" else {"CURRENT_PWD": SETTINGS["CURRENT_PWD"]}
    return subprocess.Popen(
        ["bash", str(project / "scripts" / script), "--device_type=cpu", *flags],
        cwd=str(working_dir),
        env=runs.environment(**dict(settings, **changes)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        universal_newlines=True,
    )


def finish(process):
    done = test_scripts.finish(process)
    assert done.returncode == 0, done.stderr
    assert runs.foreign_lines(done.stderr) == [] and done.stdout == ""
    return done.stderr


@pytest.fixture(scope="module")
def model_dir(scene):
    """Returns the folder of the model that is pre-trained."""
    return scene[1] / "home with spaces" / "pretrained_model" / "albert_own_v1"


@pytest.fixture(scope="module")
def logs(scene, model_dir):
    """Returns {run: its log}: Ctrl-C after the first checkpoint, the same command, and again."""
    process = start(scene)
    while not list(model_dir.glob("model.ckpt-[1-9]*.index")) and process.poll() is None:
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    stopped = test_scripts.finish(process)
    assert stopped.returncode == 130, stopped.stderr
    return {"stopped": stopped.stderr, "resumed": finish(start(scene))}


def json_of(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_same_command_resumes_after_ctrl_c(logs):
    assert "Training a vocabulary of 120 pieces." in logs["stopped"]
    assert "The same command resumes" in logs["stopped"].splitlines()[-1]
    assert "1 of 1 shards were there already." in logs["resumed"]
    assert "up to step 60." in logs["resumed"]


def test_documents_are_held_out_and_evaluated_on(logs, model_dir):
    assert f"6 of {NUM_DOCUMENTS} documents are held out." in logs["resumed"]
    data_sets = [json_of(model_dir / "data" / f"{name}.manifest.json") for name in ("train", "dev")]
    assert [each["num_documents"] for each in data_sets] == [54, 6]
    evaluations = json_of(model_dir / "eval_results.json")["evaluations"]
    assert evaluations[-1]["step"] == 60
    losses = [each["metrics"]["masked_lm_loss"] for each in evaluations]
    assert losses[-1] < losses[0]
    rows = (model_dir / "dev_predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) == data_sets[1]["num_sequences"]


def test_batches_are_accumulated_up_to_the_global_one(logs):
    assert "batch 4 x 2 on each of 2 replica(s), 16 in all." in logs["resumed"]
    assert "60 updates, 1 of them warm-up." in logs["resumed"]


def test_the_folder_has_all_that_a_released_model_has(logs, model_dir):
    released = {"albert_config.json", "30k-clean.model", "30k-clean.vocab"}
    assert released | {"model.ckpt-best.index"} <= {path.name for path in model_dir.iterdir()}
    tokenizer = FullTokenizer(None, spm_model_file=str(model_dir / "30k-clean.model"))
    config = json_of(model_dir / "albert_config.json")
    assert config["vocab_size"] == tokenizer.vocab_size == 120
    assert (config["num_hidden_layers"], config["hidden_size"]) == (2, 24)
    listed = (model_dir / "30k-clean.vocab").read_text(encoding="utf-8")
    assert listed == (model_dir / "data" / "train.vocab").read_text(encoding="utf-8")


def test_a_fine_tuning_script_starts_from_the_model_and_its_vocabulary(scene, logs, model_dir):
    home = scene[1] / "home with spaces"
    test_scripts.write_cola(home / "glue_data" / "CoLA")
    settings = {"ALBERT_DIR": "own", "VERSION": "1", "TSP": "2", "WPSP": "1", "MSL": "32"}
    log = finish(start(scene, script="run_albert_glue.sh", **settings))
    assert f"Loaded 25 variables from {model_dir}/model.ckpt-best." in log
    assert "newly initialized: output_weights, output_bias." in log
    output_dir = home / "albert_output" / "CoLA_own_v1"
    vocabulary = (output_dir / "spiece.model").read_bytes()
    assert vocabulary == (model_dir / "30k-clean.model").read_bytes()
    (result,) = predict.load(str(output_dir)).predict(["Anra sings 2 hymns."])
    assert result["label"] in ("0", "1")


def test_pretraining_goes_on_from_a_model_with_the_files_beside_it(scene, logs, model_dir):
    settings = {"INIT_CHECKPOINT": str(model_dir), "INPUT_TEXT": "more.txt", "EVAL_TEXT": "one.txt"}
    log = finish(start(scene, OUTPUT_DIR="a field", NUM_TRAIN_EPOCHS="0.5", **settings))
    assert re.search(rf"Loaded \d+ variables from {model_dir}/model.ckpt-best.", log)
    assert "Not in it" not in log and "Training a vocabulary" not in log
    output_dir = scene[1] / "a field"
    for name in ("cls/predictions/transform/dense/kernel", "bert/pooler/dense/kernel"):
        first = tf.train.load_variable(str(output_dir / "model.ckpt-0"), name)
        best = tf.train.load_variable(str(model_dir / "model.ckpt-best"), name)
        np.testing.assert_array_equal(first, best)
    for name in ("30k-clean.model", "30k-clean.vocab"):
        assert (output_dir / name).read_bytes() == (model_dir / name).read_bytes()
    assert json_of(output_dir / "albert_config.json") == json_of(model_dir / "albert_config.json")


def test_more_text_keeps_the_vocabulary_of_what_was_trained(scene, logs, model_dir):
    before = (model_dir / "30k-clean.model").read_bytes()
    log = finish(start(scene, INPUT_TEXT="text/*.txt,more.txt", NUM_TRAIN_STEPS="63"))
    assert "Training a vocabulary" not in log
    assert "12 of 120 documents are held out." in log and "up to step 63." in log
    assert (model_dir / "30k-clean.model").read_bytes() == before


# --- What other commands make of the model


def test_predicting_and_serving_ask_for_fine_tuning(logs, model_dir):
    with pytest.raises(UsageError, match=r"has no task yet: fine-tune it, with --init_checkpoint="):
        predict.load(str(model_dir))


def run_export(model_dir, form, output):
    command = [sys.executable, "-m", "albert.export", f"--model_dir={model_dir}"]
    command += [f"--format={form}", f"--output={output}"]
    return subprocess.run(command, cwd=str(runs.REPOSITORY), capture_output=True, text=True)


def test_the_export_is_one_for_pretraining_or_asks_for_fine_tuning(logs, model_dir, tmp_path):
    done = run_export(model_dir, "hugging_face", tmp_path / "model")
    assert (done.returncode, done.stderr) == (0, "")
    assert json_of(tmp_path / "model" / "config.json")["architectures"] == ["AlbertForPreTraining"]
    refused = run_export(model_dir, "saved_model", tmp_path / "other")
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert "has no task yet: fine-tune it, with --init_checkpoint=" in line


def test_the_report_shows_the_curves_and_no_predictions(logs, model_dir):
    page = runs.report_on(model_dir)
    assert "masked_lm_loss" in page and "sentence_order_accuracy" in page
    assert "dev_predictions.jsonl" not in page and ">Predictions" not in page


# --- Mistakes


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_in_one_line(scene, name):
    changes, message = MISTAKES[name]
    done = test_scripts.finish(start(scene, **dict({"OUTPUT_DIR": "refused"}, **changes)))
    assert (done.returncode, done.stdout) == (1, "")
    *log, line = done.stderr.splitlines()
    assert line.startswith(f"pretrain.sh: {message}")
    assert runs.foreign_lines("\n".join(log)) == []


def test_a_flag_of_another_runner_is_refused_before_anything_is_made(scene):
    project, working_dir = scene
    (project / "docs").mkdir(exist_ok=True)
    reference = (runs.REPOSITORY / "docs" / "flags.md").read_text(encoding="utf-8")
    (project / "docs" / "flags.md").write_text(reference, encoding="utf-8")
    done = test_scripts.finish(start(scene, "--task_name=RTE", OUTPUT_DIR="nothing"))
    line = "pretrain.sh: unknown option --task_name=RTE; --help lists those there are.\n"
    assert (done.returncode, done.stderr) == (1, line)
    assert not (working_dir / "nothing").exists()
