"""Tests of albert.cli.recipes: the published settings, and what they become."""

import pytest

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


def values(settings):
    return {flag: setting.value for flag, setting in settings.items()}


@pytest.mark.parametrize(
    "num_replicas, given, batch, steps, warmup_steps",
    [
        (1, {}, 16, 5336, 320),
        (4, {}, 4, 5336, 320),
        (4, {"train_batch_size": 8}, 8, 2668, 160),  # twice the batch
        (1, {"train_batch_size": 3}, 3, 28459, 1707),  # does not divide the published one
        (3, {}, 6, 4743, 284),  # 18 in all: 5336 * 16 / 18
    ],
)
def test_steps_are_scaled_to_see_as_many_examples(num_replicas, given, batch, steps, warmup_steps):
    settings = values(recipes.settings_for(recipes.find("cola"), given, num_replicas))
    found = [settings[name] for name in ("train_batch_size", "train_step", "warmup_step")]
    assert found == [batch, steps, warmup_steps]


@pytest.mark.parametrize("steps, warmup_steps", [(5336, 320), (100, 6), (10, 1), (1, 1)])
def test_warm_up_is_scaled_with_the_steps_that_are_given(steps, warmup_steps):
    for batch in ({}, {"train_batch_size": 64}):
        given = dict(batch, train_step=steps)
        settings = values(recipes.settings_for(recipes.find("cola"), given, 2))
        assert (settings["train_step"], settings["warmup_step"]) == (steps, warmup_steps)


@pytest.mark.parametrize(
    "num_replicas, given, num_batches, batch, steps",
    [
        (1, {"train_batch_size": 8}, 4, 8, 800),  # RTE: 32
        (2, {"train_batch_size": 4}, 4, 4, 800),
        (2, {"train_batch_size": 16}, None, 16, 800),
        (1, {"train_batch_size": 12}, None, 12, 2133),  # does not divide it: scaled
        (1, {"train_batch_size": 8, "gradient_accumulation_steps": 2}, 2, 8, 1600),
        (2, {"gradient_accumulation_steps": 2}, 2, 8, 800),
        (1, {"train_batch_size": 0}, None, 0, 25600),  # reported later
    ],
)
def test_batch_that_divides_the_published_one_is_accumulated_to_it(
    num_replicas, given, num_batches, batch, steps
):
    settings = values(recipes.settings_for(recipes.find("rte"), given, num_replicas))
    settings.setdefault("gradient_accumulation_steps", given.get("gradient_accumulation_steps"))
    names = ("gradient_accumulation_steps", "train_batch_size", "train_step")
    assert [settings[name] for name in names] == [num_batches, batch, steps]


@pytest.mark.parametrize(
    "given, expected",
    [
        ({"num_train_epochs": 3.0}, {"num_train_epochs": 3.0, "warmup_proportion": 0.06}),
        (
            {"num_train_epochs": 3.0, "warmup_step": 7},
            {"num_train_epochs": 3.0, "warmup_step": 7},
        ),
        (
            {"num_train_epochs": 3.0, "warmup_proportion": 0.2},
            {"num_train_epochs": 3.0, "warmup_proportion": 0.2},
        ),
        ({"warmup_proportion": 0.2}, {"train_step": 5336, "warmup_proportion": 0.2}),
    ],
)
def test_epochs_and_shares_that_are_given_replace_the_steps(given, expected):
    settings = recipes.settings_for(recipes.find("cola"), given, 1)
    names = {*recipes.ALTERNATIVES, *recipes.ALTERNATIVES.values()} & set(settings)
    assert {name: settings[name].value for name in names} == expected
    for name, alternative in recipes.ALTERNATIVES.items():
        if alternative in given:
            said = f"set by you; the recipe says --{name}={recipes.find('cola').settings[name]}"
            assert settings[alternative].reason == said


def test_epochs_need_no_scaling():
    settings = recipes.settings_for(recipes.find("squad2.0"), {"train_batch_size": 2}, 4)
    assert settings["num_train_epochs"] == (3.0, "published")
    assert "train_step" not in settings


def test_what_the_user_has_set_stays_whatever_it_is():
    given = {"learning_rate": 0.5, "max_seq_length": 0, "warmup_step": 7, "seed": 3}
    settings = values(recipes.settings_for(recipes.find("cola"), given, 1))
    assert [settings[flag] for flag in ("learning_rate", "max_seq_length", "warmup_step")] == [
        0.5,
        0,
        7,
    ]
    assert "seed" not in settings  # the recipe has none


def test_each_setting_says_where_it_comes_from():
    given = {"train_batch_size": 16, "max_seq_length": 128}
    settings = recipes.settings_for(recipes.find("rte"), given, 4)
    assert {flag: setting.reason for flag, setting in settings.items()} == {
        "learning_rate": "published",
        "albert_dropout_prob": "published",
        "train_step": "published: 800 at a batch of 32; scaled to one of 64",
        "warmup_step": "published: 200 at a batch of 32; scaled to one of 64",
        "max_seq_length": "set by you; the recipe says 512",
        "train_batch_size": "set by you; the recipe says 8",
    }
    settings = recipes.settings_for(recipes.find("rte"), {"train_step": 80}, 4)
    assert settings["train_step"].reason == "set by you; the recipe says 800"
    assert settings["warmup_step"].reason == "published: 200 of 800 steps; scaled to 80 steps"
    assert settings["train_batch_size"].reason == "published: 32, on all devices together"


@pytest.mark.parametrize("flag", ["train_batch_size", "train_step"])
def test_value_that_is_not_allowed_is_left_to_be_reported(flag):
    settings = recipes.settings_for(recipes.find("rte"), {flag: 0}, 2)
    assert settings[flag].value == 0


def test_published_epochs_of_squad_are_the_published_steps():
    # 87,599 and 130,319 questions in the training files.
    assert 3649 * 48 / 87599 == pytest.approx(2, abs=0.01)
    assert 8144 * 48 / 130319 == pytest.approx(3, abs=0.01)


def test_task_without_recipe_is_an_error_that_lists_those_with_one():
    with pytest.raises(
        UsageError,
        match="--recipe: no settings are published for 'ax', only for cola, mnli, ",
    ):
        recipes.find("ax")
