"""End-to-end tests of the pre-training runner, in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import runs
import sample_sequences
import tensorflow.compat.v1 as tf
import tiny
import workers

from albert.tokenization import FullTokenizer

pytestmark = pytest.mark.slow

METRICS = {
    "masked_lm_loss",
    "masked_lm_accuracy",
    "perplexity",
    "sentence_order_loss",
    "sentence_order_accuracy",
    "loss",
}
MISTAKES = {  # flags, and what the message must say
    "no data": ({"input_file": None}, "--input_file is required with --do_train."),
    "no dev data": ({"eval_file": None}, "--eval_file is required with --do_eval."),
    "missing": ({"input_file": "none*"}, "--input_file: no file matches none*."),
    "too short": ({"max_seq_length": 20}, "--input_file has sequences of up to 30 tokens, more"),
    "too long": ({"max_seq_length": 65}, "--max_seq_length=65 must be from 1 to 64"),
    "warm-up": ({"num_warmup_steps": 30}, "--num_warmup_steps=30 must be from 0 to --num_train_s"),
    "epochs": ({"num_train_epochs": 2}, "--num_train_steps=20 and --num_train_epochs=2.0 exclude"),
    "no decay": ({"poly_power": 0}, "--poly_power=0.0 must be above 0."),
    "negative": ({"start_warmup_step": -1}, "--start_warmup_step=-1 must be from 0"),
    "fine-tuning": ({"do_predict": "true"}, "Unknown command line flag 'do_predict'"),
    "share": ({"masked_lm_prob": 1.5}, "masked_lm_prob"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Returns a folder with sequences, vocabulary and configuration."""
    folder = tmp_path_factory.mktemp("pretraining runs")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{n}" for n in range(45))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    tokenizer = FullTokenizer(str(folder / "vocab.txt"))
    sample_sequences.write_sequences(folder / "train", tokenizer, (7, 9, 14))
    sample_sequences.write_sequences(folder / "dev", tokenizer, (20, 5), seed=1)
    config = tiny.config(initializer_range=0.2, hidden_dropout_prob=0.1)
    (folder / "config.json").write_text(config.to_json_string(), encoding="utf-8")
    two_groups = tiny.config(num_hidden_groups=2)
    (folder / "two_groups.json").write_text(two_groups.to_json_string(), encoding="utf-8")
    return folder


def command(root, **changes):
    """Returns the arguments of a run; a flag changed to None is left out."""
    values = {
        "albert_config_file": root / "config.json",
        "vocab_file": root / "vocab.txt",
        "input_file": root / "train*",
        "eval_file": root / "dev*",
        "output_dir": root / "output",
        "max_seq_length": 32,
        "train_batch_size": 4,
        "num_train_steps": 20,
        "num_warmup_steps": 4,
        "save_checkpoints_steps": 5,
        "num_gpu_cores": 2,
        "device_type": "cpu",
        **changes,
    }
    return runs.arguments(values, "do_train", "do_eval")


@pytest.fixture(scope="module")
def finished(root):
    """Returns the runs of this module that need no process of their own."""
    start = {"init_checkpoint": root / "output" / "model.ckpt-best", "num_train_steps": 5}
    commands = {
        name: command(root, **dict({"output_dir": root / "refused"}, **changes))
        for name, (changes, _) in MISTAKES.items()
    }
    commands["run"] = command(root)
    commands["again"] = command(root)
    commands["continued"] = command(root, output_dir=root / "continued", **start)
    groups = {"albert_config_file": root / "two_groups.json", "init_from_group0": "true"}
    commands["groups"] = command(root, output_dir=root / "groups", **start, **groups)
    return runs.in_one_process("run_multigpus_pretraining", commands)


def variables(folder, name="model.ckpt-20"):
    reader = tf.train.load_checkpoint(os.path.join(str(folder), name))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def test_run_prints_only_our_log(finished):
    assert finished["run"]["status"] == 0, finished["run"]["stderr"]
    assert runs.foreign_lines(finished["run"]["stderr"]) == []


def test_the_global_batch_is_compared_with_the_published_one(finished):
    assert (
        "The global batch is 8 sequences; the default learning rate and steps are published for "
        "4096 (--gradient_accumulation_steps=512)."
    ) in finished["run"]["stderr"]


def test_every_checkpoint_is_evaluated_and_the_lowest_loss_is_best(root, finished):
    record = json.loads((root / "output" / "eval_results.json").read_text())
    evaluations = record["evaluations"]
    assert [each["step"] for each in evaluations] == [5, 10, 15, 20]
    assert all(set(each["metrics"]) == METRICS for each in evaluations)
    best = min(evaluations, key=lambda each: each["metrics"]["masked_lm_loss"])
    assert record["best"]["step"] == best["step"]
    saved = variables(root / "output", "model.ckpt-best")
    assert saved["global_step"] == best["step"]
    assert {"cls/predictions/output_bias", "cls/seq_relationship/output_weights"} <= saved.keys()


def test_predictions_of_held_out_sequences_are_written(root, finished):
    text = (root / "output" / "dev_predictions.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    best = json.loads((root / "output" / "eval_results.json").read_text())["best"]["metrics"]
    assert len(rows) == 25
    accuracy = np.mean([row["gold"] == row["predicted"] for row in rows])
    assert accuracy == pytest.approx(best["sentence_order_accuracy"])
    num_correct, num_masked = (
        sum(row[name] for row in rows) for name in ("num_correct", "num_masked")
    )
    assert num_correct / num_masked == pytest.approx(best["masked_lm_accuracy"])


def test_a_complete_run_is_not_trained_again(finished):
    assert "has all 20 steps: nothing to train." in finished["again"]["stderr"]


def test_pretraining_goes_on_from_a_checkpoint_with_its_heads(root, finished):
    assert finished["continued"]["status"] == 0, finished["continued"]["stderr"]
    assert "Not in it" not in finished["continued"]["stderr"]
    first = variables(root / "continued", "model.ckpt-0")
    best = variables(root / "output", "model.ckpt-best")
    for name in ("cls/predictions/transform/dense/kernel", "bert/pooler/dense/kernel"):
        np.testing.assert_array_equal(first[name], best[name])


def test_other_groups_of_layers_start_as_the_first(root, finished):
    assert finished["groups"]["status"] == 0, finished["groups"]["stderr"]
    first = variables(root / "groups", "model.ckpt-0")
    best = variables(root / "output", "model.ckpt-best")
    name = "bert/encoder/transformer/group_{}/inner_group_0/ffn_1/intermediate/dense/kernel"
    for group in (0, 1):
        np.testing.assert_array_equal(first[name.format(group)], best[name.format(0)])


@pytest.mark.parametrize("name", sorted(MISTAKES))
def test_a_mistake_ends_in_one_line_and_leaves_no_folder(root, finished, name):
    assert finished[name]["status"] == 1
    assert MISTAKES[name][1] in finished[name]["stderr"].splitlines()[-1]
    assert not any("Traceback" in line for line in finished[name]["stderr"].splitlines())
    assert not (root / "refused").exists()


def start(root, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "albert.run_multigpus_pretraining", *arguments],
        cwd=str(runs.REPOSITORY),
        env=runs.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 0, stderr


def test_a_killed_run_ends_with_the_same_bits(root, finished):
    changes = {
        "output_dir": root / "killed",
        "save_checkpoints_steps": 1,
        "keep_checkpoint_max": 99,
    }
    process = start(root, *command(root, **changes))
    deadline = time.monotonic() + 120
    while not (root / "killed" / "model.ckpt-7.index").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    finish(start(root, *command(root, **changes)))
    found, expected = variables(root / "killed"), variables(root / "output")
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_two_workers_of_two_replicas_train_like_four_replicas(root, tmp_path):
    settings = {"train_batch_size": 2, "learning_rate": 0.01}
    finish(start(root, *command(root, output_dir=tmp_path / "four", num_gpu_cores=4, **settings)))
    cluster = {"strategy_type": "multi_worker", "worker_hosts": ",".join(workers.free_hosts(2))}
    processes = [
        start(
            root,
            *command(root, output_dir=tmp_path / "two", task_index=rank, **cluster, **settings),
        )
        for rank in range(2)
    ]
    for process in processes:
        finish(process)
    found, expected = variables(tmp_path / "two"), variables(tmp_path / "four")
    weights = [n for n in expected if n.startswith(("bert/", "cls/")) and "adam" not in n]
    norm = np.sqrt(sum(np.sum(expected[name] ** 2) for name in weights))
    differences = [found[name] - expected[name] for name in weights]
    assert np.sqrt(sum(np.sum(d**2) for d in differences)) / norm < 1e-4
    assert max(np.abs(d).max() for d in differences) < 0.05 * 0.01 * 20
    moved = variables(tmp_path / "two", "model.ckpt-0")
    assert max(np.abs(found[name] - moved[name]).max() for name in weights) > 0.02
