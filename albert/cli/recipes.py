"""The published fine-tuning settings, as data, and what they become on the devices at hand.

Sources: table 14 of the ALBERT paper (arXiv 1909.11942), whose numbers are for version 1 of the
models; for the results, the README of google-research/albert.
"""

from typing import Any, Dict, Mapping, NamedTuple

from albert.common.errors import UsageError

# {flag: the one that may be given in its place}
ALTERNATIVES = {"train_step": "num_train_epochs", "warmup_step": "warmup_proportion"}


class Recipe(NamedTuple):
    """The published settings of a task.

    Attributes:
        batch_size: of all devices together; `settings` counts steps of such batches.
        settings: {flag: value}.
        starts_from_mnli: whether the published results start from a model fine-tuned on MNLI.
    """

    batch_size: int
    settings: Dict[str, Any]
    starts_from_mnli: bool = False


class Setting(NamedTuple):
    """A value for a flag, and in a few words where it comes from."""

    value: Any
    reason: str


def _steps(
    rate: float,
    batch_size: int,
    dropout: float,
    steps: int,
    warmup_steps: int,
    starts_from_mnli: bool = False,
) -> Recipe:
    settings = {
        "learning_rate": rate,
        "albert_dropout_prob": dropout,
        "train_step": steps,
        "warmup_step": warmup_steps,
        "max_seq_length": 512,
    }
    return Recipe(batch_size, settings, starts_from_mnli)


def _epochs(rate: float, batch_size: int, epochs: float, max_seq_length: int) -> Recipe:
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


def find(name: str) -> Recipe:
    """Returns the Recipe of a task; raises UsageError if it has none."""
    if name not in RECIPES:
        raise UsageError(
            f"--recipe: no settings are published for {name!r}, only for "
            f"{', '.join(sorted(RECIPES))}."
        )
    return RECIPES[name]


def settings_for(recipe: Recipe, given: Mapping[str, Any], num_replicas: int) -> Dict[str, Setting]:
    """Returns {flag: Setting} for everything that a recipe sets.

    A value that the user has given stays. Where the user's batch on all devices divides the
    published one, an update takes several of them. Where it differs otherwise, step counts are
    scaled so that training sees as many examples; where the user gives the number of steps, or of
    epochs, the warm-up keeps its share of it.

    Args:
        given: {flag: value} of all flags that the user has set.
    """
    reason = f"published: {recipe.batch_size}, on all devices together"
    num_batches = given.get("gradient_accumulation_steps", 1)
    default_batch = -(-recipe.batch_size // max(num_replicas * num_batches, 1))  # rounded up
    settings = {flag: Setting(value, "published") for flag, value in recipe.settings.items()}
    settings["train_batch_size"] = Setting(default_batch, reason)
    batch_size = given.get("train_batch_size", default_batch) * num_replicas
    is_chosen = "train_batch_size" in given and "gradient_accumulation_steps" not in given
    if is_chosen and 0 < batch_size < recipe.batch_size and recipe.batch_size % batch_size == 0:
        num_batches = recipe.batch_size // batch_size
        settings["gradient_accumulation_steps"] = Setting(num_batches, reason)
    batch_size *= num_batches
    if "train_step" in recipe.settings:
        settings.update(_scaled_steps(recipe, batch_size, given.get("train_step")))
        _use_alternatives(settings, recipe, given)
    for flag, setting in settings.items():
        if flag in given:
            settings[flag] = Setting(given[flag], f"set by you; the recipe says {setting.value}")
    return settings


def _scaled_steps(recipe: Recipe, batch_size: int, given_steps: Any) -> Dict[str, Setting]:
    """Returns the Settings that count steps, for a global batch and the user's train_step or None.

    A batch or a number of steps that is not positive is reported later, by FinetuneConfig.
    """
    steps, warmup_steps = recipe.settings["train_step"], recipe.settings["warmup_step"]
    scale = recipe.batch_size / max(batch_size, 1)
    reason = "published"
    if scale != 1:
        reason = f"published: {{}} at a batch of {recipe.batch_size}; scaled to one of {batch_size}"
    train_step = Setting(_scaled(steps, scale), reason.format(steps))
    if given_steps is not None:
        scale = given_steps / steps
        reason = f"published: {{}} of {steps} steps; scaled to {given_steps} steps"
    warmup_step = Setting(_scaled(warmup_steps, scale), reason.format(warmup_steps))
    return {"train_step": train_step, "warmup_step": warmup_step}


def _use_alternatives(
    settings: Dict[str, Setting], recipe: Recipe, given: Mapping[str, Any]
) -> None:
    """Replaces the recipe's numbers of steps where the user has given epochs or a share of them."""
    for flag, alternative in ALTERNATIVES.items():
        if alternative in given:
            settings[alternative] = Setting(f"--{flag}={settings.pop(flag).value}", "published")
    if "num_train_epochs" in given and not {"warmup_step", "warmup_proportion"} & set(given):
        steps, warmup_steps = recipe.settings["train_step"], recipe.settings["warmup_step"]
        reason = f"published: {warmup_steps} of {steps} steps"
        settings["warmup_proportion"] = Setting(round(warmup_steps / steps, 4), reason)
        del settings["warmup_step"]


def _scaled(steps: int, scale: float) -> int:
    return max(round(steps * scale), 1)
