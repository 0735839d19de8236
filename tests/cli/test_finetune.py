"""Tests of albert.cli.finetune: which value each flag has in a run, and where the log says so."""

import pytest
import runs
import tiny

CLASSIFIER = "run_multigpus_classifier"


def run_without_vocabulary(folder, runner, commands):
    """Returns {name: lines} of what commands log and report, until the vocabulary is missing.

    That is after the FinetuneConfig has been made.
    """
    (folder / "albert_config.json").write_text(tiny.config().to_json_string(), encoding="utf-8")
    shared = [f"--albert_config_file={folder}/albert_config.json", "--vocab_file=none.txt"]
    shared += ["--do_train", "--output_dir=x", "--data_dir=x"]
    commands = {name: [*shared, *arguments] for name, arguments in commands.items()}
    found = {}
    for name, done in runs.in_one_process(runner, commands).items():
        assert done["status"] == 1, done["stderr"]
        found[name] = [line.split(" ", 1)[1] for line in done["stderr"].splitlines()]
    return found


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """Returns {name: lines} of commands that ran one after the other in one process."""
    rte = ["--task_name=RTE", "--recipe"]
    commands = {
        "without recipe": ["--task_name=RTE", "--train_step=50"],
        "recipe": [*rte, "--num_gpu_cores=4", "--max_seq_length=128", "--train_batch_size=16"],
        "without recipe, later": ["--task_name=RTE", "--train_step=50"],
        "few steps": [*rte, "--train_step=80"],
        "epochs": [*rte, "--num_train_epochs=2", "--train_batch_size=64"],
        "one device": [*rte, "--strategy_type=one", "--num_gpu_cores=4"],
        "from MNLI": [*rte, "--discard_classifier_weights"],
        "no steps": [*rte, "--train_step=0"],
        "no batch": [*rte, "--train_batch_size=0"],
        "no devices": [*rte, "--num_gpu_cores=0"],
        "no task": ["--recipe"],
    }
    return run_without_vocabulary(tmp_path_factory.mktemp("recipes"), CLASSIFIER, commands)


VOCABULARY_IS_MISSING = "--vocab_file=none.txt: No such file or directory."


def test_recipe_fills_in_what_is_not_given_and_says_why(logged):
    assert logged["recipe"] == [
        "Recipe of rte: --learning_rate=3e-05 (published).",
        "Recipe of rte: --albert_dropout_prob=0.1 (published).",
        "Recipe of rte: --train_step=400 (published: 800 at a batch of 32; scaled to one of 64).",
        "Recipe of rte: --warmup_step=100 (published: 200 at a batch of 32; scaled to one of 64).",
        "Recipe of rte: --max_seq_length=128 (set by you; the recipe says 512).",
        "Recipe of rte: --train_batch_size=16 (set by you; the recipe says 8).",
        "The published results start from a model fine-tuned on MNLI: "
        "--init_checkpoint=<its output_dir>/model.ckpt-best --discard_classifier_weights.",
        VOCABULARY_IS_MISSING,
    ]


def test_recipe_does_not_outlive_its_command(logged):
    """Else its warm-up of 100 steps would not fit into the 50 steps of the next command."""
    assert logged["without recipe"] == [VOCABULARY_IS_MISSING]
    assert logged["without recipe, later"] == logged["without recipe"]


def test_fewer_steps_have_a_shorter_warm_up(logged):
    assert logged["few steps"][2:4] == [
        "Recipe of rte: --train_step=80 (set by you; the recipe says 800).",
        "Recipe of rte: --warmup_step=20 (published: 200 of 800 steps; scaled to 80 steps).",
    ]
    assert logged["few steps"][-1] == VOCABULARY_IS_MISSING


def test_epochs_replace_the_steps_of_the_recipe(logged):
    steps = [line for line in logged["epochs"] if "epochs" in line or "warmup" in line]
    assert steps == [
        "Recipe of rte: --num_train_epochs=2.0 (set by you; the recipe says --train_step=400).",
        "Recipe of rte: --warmup_proportion=0.25 (published: 200 of 800 steps).",
    ]
    assert logged["epochs"][-1] == VOCABULARY_IS_MISSING


def test_batch_of_the_recipe_is_for_the_devices_that_train(logged):
    line = "Recipe of rte: --train_batch_size=32 (published: 32, on all devices together)."
    assert line in logged["one device"]


def test_run_that_starts_from_mnli_is_not_told_to(logged):
    assert not any("MNLI" in line for line in logged["from MNLI"])


@pytest.mark.parametrize(
    "name, message",
    [
        ("no steps", "--train_step=0 must be 1 or more."),
        ("no batch", "--train_batch_size=0 must be 1 or more."),
        ("no devices", "--num_gpu_cores=0 must be 1 or more."),
        ("no task", "--task_name is required."),
    ],
)
def test_value_that_is_not_allowed_is_reported_under_a_recipe_too(logged, name, message):
    assert logged[name][-1] == message


def test_race_has_a_recipe_too(tmp_path):
    commands = {"race": ["--recipe", "--num_gpu_cores=2"]}
    lines = run_without_vocabulary(tmp_path, "run_multigpus_race", commands)["race"]
    assert (
        "Recipe of race: --train_batch_size=16 (published: 32, on all devices together)." in lines
    )
    assert "Recipe of race: --train_step=12000 (published)." in lines


def test_both_versions_of_squad_have_recipes_too(tmp_path):
    commands = {
        version: ["--recipe", f"--squad_version={version}", "--num_gpu_cores=8", "--train_file=x"]
        for version in ("1.1", "2.0")
    }
    logged = run_without_vocabulary(tmp_path, "run_multigpus_squad", commands)
    assert "Recipe of squad1.1: --num_train_epochs=2.0 (published)." in logged["1.1"]
    assert "Recipe of squad2.0: --num_train_epochs=3.0 (published)." in logged["2.0"]
    assert (
        "Recipe of squad2.0: --train_batch_size=6 (published: 48, on all devices together)."
        in logged["2.0"]
    )
