"""The published fine-tuning settings and what they reached, as data.

Sources: table 14 of the ALBERT paper (arXiv 1909.11942), whose numbers are for version 1; for the
results, the README of google-research/albert.
"""

from typing import Any, Dict, NamedTuple

from albert.common.errors import UsageError


class Recipe(NamedTuple):
    """Settings of a task.

    Attributes:
        batch_size: of all devices together; `settings` counts steps of such batches.
        settings: {flag: value}.
        starts_from_mnli: whether the published results start from a model fine-tuned on MNLI.
    """

    batch_size: int
    settings: Dict[str, Any]
    starts_from_mnli: bool = False


def _steps(rate, batch_size, dropout, steps, warmup_steps, starts_from_mnli=False):
    settings = {
        "learning_rate": rate,
        "albert_dropout_prob": dropout,
        "train_step": steps,
        "warmup_step": warmup_steps,
        "max_seq_length": 512,
    }
    return Recipe(batch_size, settings, starts_from_mnli)


def _epochs(rate, batch_size, epochs, max_seq_length):
    # The published 3649 and 8144 steps are 2 and 3 epochs of the questions.
    settings = {
        "learning_rate": rate,
        "num_train_epochs": epochs,
        "warmup_proportion": 0.1,
        "max_seq_length": max_seq_length,
    }
    return Recipe(batch_size, settings)


RECIPES = {
    "cola": _steps(1e-5, 16, 0.0, 5336, 320),
    "sts-b": _steps(2e-5, 16, 0.0, 3598, 214, starts_from_mnli=True),
    "sst-2": _steps(1e-5, 32, 0.0, 20935, 1256),
    "mnli": _steps(3e-5, 128, 0.0, 10000, 1000),
    "qnli": _steps(1e-5, 32, 0.0, 33112, 1986),
    "qqp": _steps(5e-5, 128, 0.1, 14000, 1000),
    "rte": _steps(3e-5, 32, 0.1, 800, 200, starts_from_mnli=True),
    "mrpc": _steps(2e-5, 32, 0.0, 800, 200, starts_from_mnli=True),
    "wnli": _steps(2e-5, 16, 0.1, 2000, 250),
    "squad1.1": _epochs(5e-5, 48, 2.0, 384),
    "squad2.0": _epochs(3e-5, 48, 3.0, 512),
    # Rate and dropout are those of version 2; version 1 took 2e-5 and 0.1.
    "race": _steps(1e-5, 32, 0.0, 12000, 1000),
}

_COUNTS_OF_STEPS = ("train_step", "warmup_step")


def find(name):
    """Returns the Recipe of a task; raises UsageError where there is none."""
    if name not in RECIPES:
        raise UsageError(
            f"--recipe: nothing is published for {name!r}; there are {', '.join(sorted(RECIPES))}."
        )
    return RECIPES[name]


def settings_for(recipe, num_replicas, train_batch_size=None, train_steps=None):
    """Returns {flag: value} that make the published run on that many replicas.

    Counts of steps are scaled so that as many examples are seen as in the published run, or the
    warm-up to its share of the steps that are given.

    Args:
        num_replicas: int.
        train_batch_size: int, of one replica, if that is given.
        train_steps: int, if that is given.
    """
    if train_batch_size is None:
        train_batch_size = -(-recipe.batch_size // num_replicas)  # up, to a whole number
    scale = recipe.batch_size / (train_batch_size * num_replicas)
    if train_steps is not None and "train_step" in recipe.settings:
        scale = train_steps / recipe.settings["train_step"]
    scaled = {
        name: max(round(recipe.settings[name] * scale), 1)
        for name in _COUNTS_OF_STEPS
        if name in recipe.settings
    }
    return dict(recipe.settings, train_batch_size=train_batch_size, **scaled)
