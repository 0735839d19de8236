"""End-to-end tests of albert.run_multigpus_race."""

import json
import shutil

import numpy as np
import pytest
import runs
import sample_race
import tiny

pytestmark = pytest.mark.slow

NUM_DEV, NUM_TEST = 36, 20  # neither a multiple of a batch
MISTAKES = {  # flags, and what the message must say
    "no data_dir": ({"data_dir": None}, "--data_dir is required."),
    "no folder": ({"data_dir": "none"}, "none: No such file or directory."),
    "RACE not there": (
        {"data_dir": "data/RACE"},
        "RACE/RACE/dev/middle is missing: unpack http://",
    ),
    "cut short": ({"data_dir": "cut"}, "cut/RACE/dev/middle/0.txt is not JSON: "),
    "both levels only": (
        {"high_only": True, "middle_only": True},
        "--high_only and --middle_only exclude each other",
    ),
    "no room": ({"max_seq_length": 40, "max_qa_length": 37}, "--max_seq_length=40 leaves no room"),
    "beyond the positions": ({"max_seq_length": 65}, "--max_seq_length=65 must be from 1 to 64"),
    "no checkpoint kept": ({"num_keep_checkpoint": 0}, "--keep_checkpoint_max=0 must be 1 or more"),
    "misspelt": ({"hihg_only": True}, "Unknown command line flag 'hihg_only'"),
}


def snapshot(folder):
    """Returns {path: content} of all files below a folder."""
    return {path: path.read_bytes() for path in folder.glob("**/*") if path.is_file()}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Returns a folder with data, vocabulary and configuration."""
    folder = tmp_path_factory.mktemp("race runs")
    for data_dir in ("data", "cut", "unlabelled"):
        sample_race.write_split(folder / data_dir, "train", 200, "train")
        sample_race.write_split(folder / data_dir, "dev", NUM_DEV, "dev")
        sample_race.write_split(folder / data_dir, "test", NUM_TEST, "test")
    (folder / "cut/RACE/dev/middle/0.txt").write_text('{"id": "mid', encoding="utf-8")
    for path in (folder / "unlabelled/RACE/test").glob("*/*.txt"):
        content = json.loads(path.read_text(encoding="utf-8"))
        del content["answers"]
        path.write_text(json.dumps(content), encoding="utf-8")
    vocab_size = tiny.write_vocabulary(folder, sample_race.WORDS)
    config = tiny.config(vocab_size=vocab_size, initializer_range=0.2)
    (folder / "albert_config.json").write_text(config.to_json_string(), encoding="utf-8")
    return folder


def command(root, *switches, **changes):
    """Returns the arguments of a run; a flag changed to None is left out."""
    values = {
        "albert_config_file": root / "albert_config.json",
        "spm_model_file": root / "30k-clean.model",
        "data_dir": root / "data",
        "output_dir": root / "output",
        "max_seq_length": 64,
        "max_qa_length": 24,
        "train_batch_size": 8,
        "eval_batch_size": 5,
        "predict_batch_size": 7,
        "train_step": 6,
        "warmup_step": 1,
        "learning_rate": 0.001,
        "save_checkpoints_steps": 2,
        "num_gpu_cores": 2,
        "device_type": "cpu",
    }
    return runs.arguments(dict(values, **changes), *switches)


@pytest.fixture(scope="module")
def trained(root):
    """Returns the run that trains on two replicas, evaluates every checkpoint and predicts."""
    before = snapshot(root / "data")
    switches = ("do_train", "do_eval", "do_predict")
    options = {
        "dropout_prob": 0,  # to be compared with one device
        "num_keep_checkpoint": 1,
        "eval_feature_file": "x",
        "predict_file": "y",
    }
    run = runs.in_one_process("run_multigpus_race", {"run": command(root, *switches, **options)})[
        "run"
    ]
    return dict(run, data_is_as_before=snapshot(root / "data") == before)


@pytest.fixture(scope="module")
def later_runs(root, trained):
    """Returns runs on copies of what was trained, and mistakes."""
    for name in ("alone", "unlabelled output", "high"):
        shutil.copytree(str(root / "output"), str(root / name))
        (root / name / "eval_results.json").unlink()
        for results in ("test_results.tsv", "test_metrics.json"):
            (root / name / results).unlink()
    both = ("do_eval", "do_predict")
    commands = {
        "alone": command(root, *both, num_gpu_cores=1, output_dir=root / "alone"),
        "unlabelled": command(
            root,
            "do_predict",
            data_dir=root / "unlabelled",
            output_dir=root / "unlabelled output",
        ),
        "high": command(root, *both, "high_only", output_dir=root / "high"),
        "trained alone": command(
            root,
            "do_train",
            "do_eval",
            num_gpu_cores=1,
            train_batch_size=16,
            dropout_prob=0,
            output_dir=root / "trained alone",
        ),
        "nothing to do": command(root),
    }
    for name, (flags, _) in MISTAKES.items():
        flags = dict(flags)
        if flags.get("data_dir"):
            flags["data_dir"] = root / flags["data_dir"]
        commands[name] = command(root, "do_eval", **flags)
    return runs.in_one_process("run_multigpus_race", commands)


def results_of(folder):
    return json.loads((folder / "eval_results.json").read_text(encoding="utf-8"))


def test_run_prints_only_our_log(trained):
    assert trained["status"] == 0, trained["stderr"]
    assert runs.foreign_lines(trained["stderr"]) == []
    assert "Without effect here: --eval_feature_file, --predict_file." in trained["stderr"]


def test_batches_count_questions_of_all_replicas(trained):
    assert "200 examples, batch 8 on each of 2 replica(s), 16 in all." in trained["stderr"]


def test_no_file_is_written_into_the_data_folder(trained):
    assert trained["data_is_as_before"]


def test_every_checkpoint_is_evaluated_on_each_level_and_on_both_together(root, trained):
    results = results_of(root / "output")
    assert [row["step"] for row in results["evaluations"]] == [2, 4, 6]
    for row in results["evaluations"]:
        values = row["metrics"]
        # 5 of the 9 passages are middle school's.
        mean = (5 * values["accuracy_middle"] + 4 * values["accuracy_high"]) / 9
        assert values["accuracy"] == pytest.approx(mean)
    best = max(row["metrics"]["accuracy"] for row in results["evaluations"])
    assert results["best"]["metrics"]["accuracy"] == best


def test_chosen_options_are_compared_with_the_right_ones(root, trained):
    best = results_of(root / "output")["best"]
    lines = (root / "output" / "dev_predictions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["step"] for row in rows} == {best["step"]}
    is_right = [row["predicted"] == row["gold"] for row in rows]
    assert np.mean(is_right) == pytest.approx(best["metrics"]["accuracy"])
    assert np.mean([row["loss"] for row in rows]) == pytest.approx(best["metrics"]["loss"])
    for row in rows:
        assert len(row["options"]) == 4 and row["text"] and row["question"]
        assert row["loss"] == pytest.approx(-np.log(row["probabilities"][row["gold"]]), rel=1e-4)


def test_the_report_shows_the_accuracy_of_the_run(root, trained):
    best = results_of(root / "output")["best"]["metrics"]
    assert runs.report_on(root / "output").count(f">{best['accuracy']:.4f}<") >= 3


def test_num_keep_checkpoint_is_keep_checkpoint_max(root, trained):
    kept = [path.name for path in (root / "output").glob("model.ckpt-*.index")]
    assert sorted(kept) == ["model.ckpt-6.index", "model.ckpt-best.index"]


def test_test_predictions_are_complete_and_agree(root, trained):
    output = root / "output"
    probabilities = np.loadtxt(str(output / "test_results.tsv"))
    assert probabilities.shape == (NUM_TEST, 4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    lines = (output / "submit_results.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "index\tprediction" and lines[1].startswith("middle0.txt-0\t")
    letters = [line.split("\t")[1] for line in lines[1:]]
    assert letters == ["ABCD"[number] for number in probabilities.argmax(axis=1)]
    answers = []
    for name in ("middle/0", "middle/2", "middle/4", "high/1", "high/3"):
        path = root / "data" / "RACE" / "test" / f"{name}.txt"
        answers += json.loads(path.read_text(encoding="utf-8"))["answers"]
    metrics = json.loads((output / "test_metrics.json").read_text(encoding="utf-8"))
    assert metrics["accuracy"] == np.mean([a == b for a, b in zip(letters, answers)])
    assert f"Test set: accuracy {metrics['accuracy']:.4f}, " in trained["stderr"]


def test_one_device_scores_and_predicts_what_two_do(root, later_runs):
    run = later_runs["alone"]
    assert run["status"] == 0, run["stderr"]
    two, one = root / "output", root / "alone"
    best = results_of(two)["best"]
    (again,) = [row for row in results_of(one)["evaluations"] if row["step"] == best["step"]]
    for name, value in best["metrics"].items():
        assert again["metrics"][name] == pytest.approx(value, abs=1e-6)
    np.testing.assert_allclose(
        *(np.loadtxt(str(folder / "test_results.tsv")) for folder in (one, two)), atol=1e-6
    )


def test_one_device_trains_like_two(root, later_runs):
    assert later_runs["trained alone"]["status"] == 0, later_runs["trained alone"]["stderr"]
    one, two = (results_of(root / name)["evaluations"] for name in ("trained alone", "output"))
    assert [row["metrics"]["accuracy"] for row in one] == [
        row["metrics"]["accuracy"] for row in two
    ]
    assert one[-1]["metrics"]["loss"] == pytest.approx(two[-1]["metrics"]["loss"], abs=1e-4)


def test_test_set_without_answers_is_predicted_but_not_scored(root, later_runs):
    run = later_runs["unlabelled"]
    assert run["status"] == 0, run["stderr"]
    assert "Test set:" not in run["stderr"]
    folder = root / "unlabelled output" / "predictions_unlabelled"
    assert not (folder / "test_metrics.json").exists()
    assert (folder / "test_results.tsv").read_bytes() == (
        root / "output" / "test_results.tsv"
    ).read_bytes()


def test_high_only_evaluates_and_predicts_that_level(root, later_runs):
    assert later_runs["high"]["status"] == 0, later_runs["high"]["stderr"]
    folder = root / "high" / "predictions_data-high"
    best, whole = results_of(folder)["best"], results_of(root / "output")
    assert best["step"] == whole["best"]["step"]
    (same,) = [row for row in whole["evaluations"] if row["step"] == best["step"]]
    assert set(best["metrics"]) == {"accuracy", "accuracy_high", "loss"}
    assert best["metrics"]["accuracy"] == same["metrics"]["accuracy_high"]
    assert len((folder / "test_results.tsv").read_text().splitlines()) == 8


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_ends_in_one_line_and_status_1(later_runs, name):
    run = later_runs[name]
    assert run["status"] == 1, run["stderr"]
    (message,) = runs.foreign_lines(run["stderr"])
    assert message.startswith("run_multigpus_race.py: ") and MISTAKES[name][1] in message


def test_nothing_to_do_is_a_mistake(later_runs):
    assert "Give at least one of --do_train," in later_runs["nothing to do"]["stderr"]
