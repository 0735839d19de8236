"""End-to-end tests of albert.run_multigpus_squad."""

import json
import shutil

import numpy as np
import pytest
import runs
import sample_squad
import tiny

from albert import evaluate_squad
from albert.squad import files as squad_files

pytestmark = pytest.mark.slow

VERSIONS = ("1.1", "2.0")
MISTAKES = {  # flags, and what the message must say
    "no predict_file": ({"predict_file": None}, "--predict_file is required by --do_predict."),
    "cut short": ({"predict_file": "cut.json"}, "cut.json is not JSON: "),
    "missing": ({"predict_file": "none.json"}, "none.json: No such file or directory."),
    "of version 2.0": ({"predict_file": "dev-2.0.json"}, "--squad_version=2.0 is for such files"),
    "stride of 0": ({"doc_stride": 0}, "--doc_stride=0: 0 is not a positive integer"),
    "version unknown": ({"squad_version": "3.0"}, "--squad_version=3.0"),
}


def command(root, *switches, **changes):
    """Returns the arguments of a run; a flag changed to None is left out."""
    values = {
        "albert_config_file": root / "albert_config.json",
        "vocab_file": root / "vocab.txt",
        "train_file": root / "train-1.1.json",
        "predict_file": root / "dev-1.1.json",
        "output_dir": root / "output",
        "max_seq_length": 24,
        "doc_stride": 8,
        "train_batch_size": 8,
        "predict_batch_size": 7,
        "num_train_epochs": 1.5,
        "learning_rate": 0.001,
        "save_checkpoints_steps": 4,
        "num_gpu_cores": 2,
        "device_type": "cpu",
    }
    values.update(changes)
    return runs.arguments(values, *switches)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Returns a folder with data, vocabulary and configuration."""
    folder = tmp_path_factory.mktemp("squad runs")
    for version in ("1.1", "2.0"):
        sample_squad.write_squad(folder / f"train-{version}.json", 20, "train", version)
        sample_squad.write_squad(folder / f"dev-{version}.json", 9, "dev", version)
    sample_squad.write_squad(folder / "test.json", 9, "dev", "1.1", has_answers=False)
    text = (folder / "dev-1.1.json").read_text(encoding="utf-8")
    (folder / "cut.json").write_text(text[:200], encoding="utf-8")
    (folder / "vocab.txt").write_text("\n".join(sample_squad.VOCABULARY) + "\n", encoding="utf-8")
    config = tiny.config(vocab_size=len(sample_squad.VOCABULARY), initializer_range=0.2)
    (folder / "albert_config.json").write_text(config.to_json_string(), encoding="utf-8")
    return folder


def files_of(root, version):
    """Returns the flags of a version's data and folder."""
    return {
        "squad_version": version,
        "train_file": root / f"train-{version}.json",
        "predict_file": root / f"dev-{version}.json",
        "output_dir": root / f"output {version}",
    }


@pytest.fixture(scope="module")
def trained(root):
    """Returns the runs that train, score every checkpoint and predict, by version."""
    return runs.in_one_process(
        "run_multigpus_squad",
        {
            version: command(root, "do_train", "do_predict", **files_of(root, version))
            for version in VERSIONS
        },
    )


@pytest.fixture(scope="module")
def later_runs(root, trained):
    """Returns runs on copies of what was trained, and mistakes."""
    for version in VERSIONS:
        for name in (f"alone {version}", f"unscored {version}"):
            shutil.copytree(str(root / f"output {version}"), str(root / name))
    alone = {
        f"alone {version}": dict(
            files_of(root, version),
            num_gpu_cores=1,
            train_file=None,
            output_dir=root / f"alone {version}",
        )
        for version in VERSIONS
    }
    for changes in alone.values():
        for name in ("predictions.json", "nbest_predictions.json", "eval_results.json"):
            (changes["output_dir"] / name).unlink()
    changes = {
        **alone,
        "unscored": {"predict_file": root / "test.json", "output_dir": root / "unscored 1.1"},
        **{name: flags for name, (flags, _) in MISTAKES.items()},
    }
    commands = {
        name: command(
            root, "do_predict", **{key: in_root(root, value) for key, value in flags.items()}
        )
        for name, flags in changes.items()
    }
    commands["nothing to do"] = command(root)
    training = {
        "NCCL without GPUs": {"output_dir": root / "refused", "all_reduce": "nccl"},
        "another task": dict(files_of(root, "2.0"), output_dir=root / "unscored 1.1"),
        "window too short": {"output_dir": root / "short", "max_seq_length": 8},
        "large batch": {"output_dir": root / "large", "train_batch_size": 64},
    }
    for name, flags in training.items():
        more = {"cached_dir": root / name, "num_train_epochs": 1.0}
        commands[name] = command(root, "do_train", **more, **flags)
    return runs.in_one_process("run_multigpus_squad", commands)


def in_root(root, value):
    """Returns the value with a file's name, as MISTAKES has them, as a path."""
    return root / value if str(value).endswith(".json") else value


@pytest.mark.parametrize("version", VERSIONS)
def test_run_is_silent_but_for_our_log(trained, version):
    assert trained[version]["status"] == 0, trained[version]["stderr"]
    assert runs.foreign_lines(trained[version]["stderr"]) == []


def test_epochs_count_windows_of_all_replicas(trained):
    # 60 windows, 1.5 epochs, 8 on each of two replicas.
    assert (
        "1.5 epoch(s) of 60 features are 6 updates, 0 of them warm-up." in trained["1.1"]["stderr"]
    )
    assert "Step 6: f1 " in trained["1.1"]["stderr"]


@pytest.mark.parametrize("version", VERSIONS)
def test_best_checkpoint_has_the_score_of_the_predictions_written(root, trained, version):
    output = root / f"output {version}"
    results = json.loads((output / "eval_results.json").read_text(encoding="utf-8"))
    assert [row["step"] for row in results["evaluations"]][0] == 4
    dev_file, written = str(root / f"dev-{version}.json"), [str(output / "predictions.json")]
    written += [str(output / "null_odds.json")] if version == "2.0" else []
    scores = evaluate_squad.evaluate(dev_file, *written)
    expected = results["best"]["metrics"]
    assert {name: scores[name] for name in expected} == expected
    data = squad_files.read_squad(dev_file)
    predictions = json.loads((output / "predictions.json").read_text(encoding="utf-8"))
    assert sorted(predictions) == sorted(question.id for question in data.questions())


@pytest.mark.parametrize("version", VERSIONS)
def test_answers_to_the_dev_questions_are_compared_with_the_right_ones(root, trained, version):
    output = root / f"output {version}"
    best = json.loads((output / "eval_results.json").read_text(encoding="utf-8"))["best"]
    lines = (output / "dev_predictions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    data = squad_files.read_squad(str(root / f"dev-{version}.json"))
    assert [row["id"] for row in rows] == [question.id for question in data.questions()]
    assert [row["index"] for row in rows] == list(range(len(rows)))
    assert {row["step"] for row in rows} == {best["step"]}
    metrics = best["metrics"]
    for name, metric in (("exact", "exact_match" if version == "1.1" else "exact"), ("f1", "f1")):
        assert 100 * np.mean([row[name] for row in rows]) == pytest.approx(metrics[metric])
    predictions = json.loads((output / "predictions.json").read_text(encoding="utf-8"))
    assert {row["id"]: row["predicted"] for row in rows} == predictions
    for row in rows:
        if row["start"] is not None:
            assert row["text"].startswith(row["predicted"], row["start"])
        if version == "2.0":
            is_answered = row["null_odds"] <= metrics["best_f1_thresh"]
            assert bool(row["predicted"]) == is_answered


@pytest.mark.parametrize("version", VERSIONS)
def test_the_report_shows_the_scores_of_the_run(root, trained, version):
    output = root / f"output {version}"
    best = json.loads((output / "eval_results.json").read_text(encoding="utf-8"))["best"]
    text = runs.report_on(output)
    for name in ("exact_match", "f1") if version == "1.1" else ("exact", "f1", "NoAns_f1"):
        assert f">{best['metrics'][name]:.2f}<" in text


@pytest.mark.parametrize("version", VERSIONS)
def test_one_device_predicts_what_two_predict(root, later_runs, version):
    run = later_runs[f"alone {version}"]
    assert run["status"] == 0, run["stderr"]
    two, one = root / f"output {version}", root / f"alone {version}"
    assert (one / "predictions.json").read_bytes() == (two / "predictions.json").read_bytes()
    n_best_one, n_best_two = (
        json.loads((folder / "nbest_predictions.json").read_text(encoding="utf-8"))
        for folder in (one, two)
    )
    for name, answers in n_best_one.items():
        assert [answer["text"] for answer in answers] == [
            answer["text"] for answer in n_best_two[name]
        ]
        np.testing.assert_allclose(
            [answer["score"] for answer in answers],
            [answer["score"] for answer in n_best_two[name]],
            atol=1e-5,
        )


def test_file_without_answers_is_predicted_but_not_scored(root, later_runs):
    run = later_runs["unscored"]
    assert run["status"] == 0, run["stderr"]
    assert "test.json has no answers: nothing is scored." in run["stderr"]
    predictions = (root / "unscored 1.1" / "predictions_test" / "predictions.json").read_text(
        "utf-8"
    )
    assert len(json.loads(predictions)) == 27
    own, trained = root / "unscored 1.1" / "predictions.json", root / "output 1.1"
    assert own.read_bytes() == (trained / "predictions.json").read_bytes()


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_ends_in_one_line_and_status_1(later_runs, name):
    run = later_runs[name]
    assert run["status"] == 1, run["stderr"]
    (message,) = runs.foreign_lines(run["stderr"])
    assert message.startswith("run_multigpus_squad.py: ") and MISTAKES[name][1] in message


@pytest.mark.parametrize(
    "name, message",
    [
        ("NCCL without GPUs", "--all_reduce=nccl needs GPUs"),
        ("another task", "--task_name was 'squad1.1' and is 'squad2.0'"),
    ],
)
def test_run_is_refused_before_features_are_made_to_count_epochs(root, later_runs, name, message):
    run = later_runs[name]
    assert run["status"] == 1 and message in run["stderr"]
    assert not (root / name).exists()


def test_question_that_leaves_no_room_for_its_context_ends_in_one_line(later_runs):
    run = later_runs["window too short"]
    assert run["status"] == 1, run["stderr"]
    (message,) = runs.foreign_lines(run["stderr"])
    assert message.startswith("run_multigpus_squad.py: --max_seq_length=8 leaves no room")


def test_batch_of_more_than_all_examples_is_warned_of_in_one_line(later_runs):
    # 60 windows; 64 on each of two replicas.
    run = later_runs["large batch"]
    assert run["status"] == 0, run["stderr"]
    assert run["stderr"].count("A batch of 128 is more than all 60 examples") == 1


def test_nothing_to_do_is_a_mistake(later_runs):
    assert (
        "Give at least one of --do_train and --do_predict." in later_runs["nothing to do"]["stderr"]
    )
