r"""Pre-trains ALBERT on masked tokens and the order of sentences, on many GPUs.

Evaluates every checkpoint on held-out text and keeps the best one. The same
command resumes a stopped run.

    python -m albert.run_multigpus_pretraining --do_train --do_eval \
        --input_file='data/train*' --eval_file='data/dev*' \
        --output_dir=albert_output/pretraining \
        --albert_config_file=config.json --spm_model_file=data/train.model

albert.create_pretraining_data makes the files from text. Tokens are masked
while training, anew in every epoch. With --init_checkpoint a released model
learns the language of another field.
"""

from albert.cli import quiet

if __name__ == "__main__":
    quiet.quiet_start()

import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING

from absl import flags

from albert.cli import runner, shared_flags
from albert.cli.flag_groups import DATA, MODEL, TRAINING
from albert.cli.options import config_of, read_options, setting_values
from albert.common.errors import UsageError
from albert.engine.config import FinetuneConfig

if TYPE_CHECKING:
    from albert.engine.task import Task
    from albert.modeling import AlbertConfig

_SCHEDULE = shared_flags.Schedule("num_train_steps", 125000, "num_warmup_steps", 3125)
_PUBLISHED_BATCH_SIZE = 4096

_log = logging.getLogger("albert")  # __name__ may be __main__


def define_flags() -> None:
    """Defines the flags of this runner, with the original's names and defaults."""
    for name, what in (("input", "to train on"), ("eval", "to evaluate on")):
        flags.DEFINE_string(
            f"{name}_file",
            None,
            f"Sequences {what}: files, separated by commas, with * and the like.",
            module_name=DATA,
        )
    flags.DEFINE_integer(
        "max_seq_length",
        512,
        "Most tokens of a sequence; the files must have been made for no more.",
        lower_bound=3,
        module_name=DATA,
    )
    shared_flags.define(has_dev_set=True, has_test_set=False, schedule=_SCHEDULE)
    flags.FLAGS.set_default("learning_rate", 0.00176)
    flags.FLAGS.set_default("optimizer", "lamb")
    flags.DEFINE_bool(
        "init_from_group0",
        False,
        "Load group 0 of the layers of --init_checkpoint into the groups that it does not have.",
        module_name=MODEL,
    )
    flags.DEFINE_integer(
        "start_warmup_step", 0, "The update that warm-up counts from.", module_name=TRAINING
    )
    flags.DEFINE_float(
        "poly_power", 1.0, "Power of the learning rate's decay; 1: linear.", module_name=TRAINING
    )
    shared_flags.define_albert_dropout(None)
    _define_masks()


def _define_masks() -> None:
    flags.DEFINE_float(
        "masked_lm_prob",
        0.15,
        "Share of the tokens to predict.",
        lower_bound=0.0,
        upper_bound=1.0,
        module_name=TRAINING,
    )
    flags.DEFINE_integer(
        "max_predictions_per_seq",
        None,
        "Most tokens to predict in a sequence (default: no limit but --masked_lm_prob; the "
        "original's default, 20, is 4 % of 512 tokens).",
        lower_bound=1,
        module_name=TRAINING,
    )
    flags.DEFINE_integer(
        "ngram",
        3,
        "Most words that are masked together.",
        lower_bound=1,
        upper_bound=100,
        module_name=TRAINING,
    )
    flags.DEFINE_bool(
        "favor_shorter_ngram",
        True,
        "Mask n words with a probability in proportion to 1 / n; False: to n.",
        module_name=TRAINING,
    )
    flags.DEFINE_bool(
        "do_whole_word_mask",
        True,
        "Mask whole words; False: each token for itself.",
        module_name=TRAINING,
    )


def task_of(options: SimpleNamespace, albert_config: "AlbertConfig") -> "Task":
    """Returns the PretrainingTask that the options describe."""
    from albert.cli.finetune import tokenizer_of
    from albert.pretraining.inputs import open_inputs
    from albert.pretraining.masking import MaskSettings
    from albert.pretraining.task import PretrainingSettings, PretrainingTask

    tokenizer = tokenizer_of(options, albert_config)
    needed = {"train": ("input_file", options.do_train), "dev": ("eval_file", options.do_eval)}
    inputs = {
        split: open_inputs(getattr(options, setting), setting)
        for split, (setting, is_needed) in needed.items()
        if is_needed
    }
    masks = MaskSettings(**setting_values(MaskSettings._fields, options))
    settings = PretrainingSettings(options.max_seq_length, masks, options.seed)
    return PretrainingTask(inputs, tokenizer, settings)


def main() -> None:
    """Does what --do_train and --do_eval ask for."""
    options = read_options(None)
    for switch, setting in (("do_train", "input_file"), ("do_eval", "eval_file")):
        if getattr(options, switch) and not getattr(options, setting):
            raise UsageError(f"--{setting} is required with --{switch}.")
    if options.do_train:
        _log_batch_size(config_of(options))
    # TensorFlow takes seconds to import: mistakes on the command line have been found by now.
    from albert.cli import finetune

    finetune.run(task_of, options)


def _log_batch_size(config: FinetuneConfig) -> None:
    """Logs whether the global batch is the one that rate and steps are published for."""
    published, actual = _PUBLISHED_BATCH_SIZE, config.global_batch_size
    if actual == published:
        _log.info("The global batch is the published one, %d sequences.", actual)
        return
    rest = ""
    batch_size = config.train_batch_size * config.num_replicas
    if published % batch_size == 0:
        rest = f" (--gradient_accumulation_steps={published // batch_size})"
    _log.info(
        "The global batch is %d sequences; the default learning rate and steps are published for "
        "%d%s.",
        actual,
        published,
        rest,
    )


def run() -> None:
    """Runs the command line."""
    define_flags()
    runner.run(main, __doc__)


if __name__ == "__main__":
    run()
