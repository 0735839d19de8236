"""Tests of the published settings and of --recipe."""

import pytest
import runs

from albert.cli import recipes
from albert.common.errors import UsageError
from albert.glue.table import GLUE_ROWS


def test_published_settings_of_mnli():
    recipe = recipes.find("mnli")
    assert recipe.batch_size == 128
    assert recipe.settings == {
        "learning_rate": 3e-5,
        "albert_dropout_prob": 0.0,
        "train_step": 10000,
        "warmup_step": 1000,
        "max_seq_length": 512,
    }


def test_every_task_with_training_data_has_a_recipe():
    trained = {name for name, row in GLUE_ROWS.items() if "train" in row.splits}
    assert set(recipes.RECIPES) == trained | {"squad1.1", "squad2.0", "race"}


def test_small_tasks_start_from_mnli():
    names = {name for name, recipe in recipes.RECIPES.items() if recipe.starts_from_mnli}
    assert names == {"rte", "mrpc", "sts-b"}


@pytest.mark.parametrize(
    "num_replicas, given, batch, steps, warmup_steps",
    [
        (1, None, 16, 5336, 320),
        (4, None, 4, 5336, 320),
        (4, 8, 8, 2668, 160),  # twice the batch
        (1, 4, 4, 21344, 1280),
        (3, None, 6, 4743, 284),  # 18 in all: 5336 * 16 / 18
    ],
)
def test_steps_are_scaled_to_see_as_many_examples(num_replicas, given, batch, steps, warmup_steps):
    flags = recipes.settings_for(recipes.find("cola"), num_replicas, given)
    found = [flags[name] for name in ("train_batch_size", "train_step", "warmup_step")]
    assert found == [batch, steps, warmup_steps]


@pytest.mark.parametrize("steps, warmup_steps", [(5336, 320), (100, 6), (10, 1), (1, 1)])
def test_warm_up_keeps_its_share_of_the_steps_that_are_given(steps, warmup_steps):
    for batch in (None, 64):
        flags = recipes.settings_for(recipes.find("cola"), 2, batch, steps)
        assert (flags["train_step"], flags["warmup_step"]) == (steps, warmup_steps)


def test_epochs_need_no_scaling():
    flags = recipes.settings_for(recipes.find("squad2.0"), 4, 2)
    assert flags["num_train_epochs"] == 3.0
    assert "train_step" not in flags


def test_published_epochs_of_squad_are_the_published_steps():
    # 87,599 and 130,319 questions in the training files.
    assert 3649 * 48 / 87599 == pytest.approx(2, abs=0.01)
    assert 8144 * 48 / 130319 == pytest.approx(3, abs=0.01)


def test_task_without_recipe_is_told_which_there_are():
    with pytest.raises(
        UsageError, match="--recipe: nothing is published for 'ax'; there are cola,"
    ):
        recipes.find("ax")


def stderr_of(runner, *arguments):
    """Returns what a runner logs before it finds that the configuration is not there."""
    commands = {"run": ["--do_train", "--recipe", "--output_dir=x", *arguments]}
    commands["run"].append("--albert_config_file=none.json")
    result = runs.in_one_process(runner, commands)["run"]
    assert result["status"] == 1 and "none.json" in result["stderr"]
    return [line.split(" ", 1)[-1] for line in result["stderr"].splitlines()[:-1]]


def test_classifier_fills_in_what_is_not_given_and_says_so():
    lines = stderr_of(
        "run_multigpus_classifier", "--task_name=RTE", "--num_gpu_cores=4", "--max_seq_length=128",
        "--train_batch_size=16",
    )  # fmt: skip
    assert lines == [
        "Recipe of rte: --learning_rate=3e-05.",
        "Recipe of rte: --albert_dropout_prob=0.1.",
        "Recipe of rte: --train_step=400.",
        "Recipe of rte: --warmup_step=100.",
        "Recipe of rte: --max_seq_length=128 is yours.",
        "Recipe of rte: --train_batch_size=16 is yours.",
        "The published batch is 32, here it is 64: 800 steps, 200 of them warm-up, are scaled to "
        "see as many examples.",
        "The published results start from a model of MNLI: "
        "--init_checkpoint=<its output_dir>/model.ckpt-best --discard_classifier_weights.",
    ]


def test_fewer_steps_have_a_shorter_warm_up():
    lines = stderr_of("run_multigpus_classifier", "--task_name=RTE", "--train_step=80")
    assert lines[2:4] == [
        "Recipe of rte: --train_step=80 is yours.",
        "Recipe of rte: --warmup_step=20.",
    ]
    assert "Of 800 published steps 200 are warm-up: that share of yours is." in lines


def test_squad_and_race_have_recipes_too():
    lines = stderr_of("run_multigpus_squad", "--squad_version=2.0", "--num_gpu_cores=8",
                      "--train_file=x")  # fmt: skip
    assert "Recipe of squad2.0: --num_train_epochs=3.0." in lines
    assert "Recipe of squad2.0: --train_batch_size=6." in lines
    lines = stderr_of("run_multigpus_race", "--num_gpu_cores=2", "--data_dir=x")
    assert "Recipe of race: --train_batch_size=16." in lines
    assert "Recipe of race: --train_step=12000." in lines
