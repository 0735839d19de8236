"""From the options of a runner to its run: options -> (Task, FinetuneConfig) -> engine.

Runners import this module when their flags have been checked, because it imports TensorFlow.
"""

import logging
import os
import sys
from types import SimpleNamespace
from typing import Callable, Dict

from albert import modeling, tokenization
from albert.cli import quiet
from albert.cli.options import CONFIG, SPM_MODEL, VOCABULARY, config_of, recorded_values
from albert.common.errors import UsageError
from albert.conversion import brightmart, hugging_face, names
from albert.engine import training
from albert.engine.config import FinetuneConfig
from albert.engine.hooks import NotFinite
from albert.engine.task import Task

_log = logging.getLogger(__name__)


def tokenizer_of(
    options: SimpleNamespace, albert_config: modeling.AlbertConfig
) -> tokenization.FullTokenizer:
    """Returns the tokenizer that the options describe.

    Raises:
        UsageError: its vocabulary, or --max_seq_length, does not fit the model.
    """
    tokenizer = tokenization.FullTokenizer(
        options.vocab_file, options.do_lower_case, options.spm_model_file
    )
    if not 0 < options.max_seq_length <= albert_config.max_position_embeddings:
        raise UsageError(
            f"--max_seq_length={options.max_seq_length} must be from 1 to "
            f"{albert_config.max_position_embeddings}, the positions of the model."
        )
    if tokenizer.vocab_size != albert_config.vocab_size:
        raise UsageError(
            f"The vocabulary has {tokenizer.vocab_size} tokens, but --albert_config_file="
            f"{options.albert_config_file} says vocab_size {albert_config.vocab_size}."
        )
    return tokenizer


def _model_files(options: SimpleNamespace) -> Dict[str, str]:
    """Returns {name in output_dir: path} of the model's configuration and vocabulary."""
    vocabulary = (
        {SPM_MODEL: options.spm_model_file}
        if options.spm_model_file
        else {VOCABULARY: options.vocab_file}
    )
    return {CONFIG: options.albert_config_file, **vocabulary}


def _convert_start(options: SimpleNamespace) -> None:
    """Converts a checkpoint of another program that the options name, and names the result."""
    start, folder = options.init_checkpoint, options.cached_dir or options.output_dir
    if start and names.is_model(start):
        options.init_checkpoint = hugging_face.as_checkpoint(
            start, os.path.join(folder, "hugging_face")
        )
    elif start and brightmart.is_checkpoint(start):
        options.init_checkpoint, options.albert_config_file = brightmart.as_checkpoint(
            start, options.albert_config_file, os.path.join(folder, "albert_zh")
        )


def run(
    task_of: Callable[[SimpleNamespace, modeling.AlbertConfig], Task], options: SimpleNamespace
) -> None:
    """Does what --do_train, --do_eval and --do_predict ask for.

    A runner without --do_eval scores what it predicts, where that has answers.

    Args:
        task_of: returns the task that the options describe, for a model.
        options: from options.read_options.
    """
    quiet.has_started()
    _convert_start(options)
    albert_config = modeling.AlbertConfig.from_json_file(options.albert_config_file)
    dropout = getattr(options, "albert_dropout_prob", None)
    if dropout is not None:
        albert_config.hidden_dropout_prob = albert_config.attention_probs_dropout_prob = dropout
    config = config_of(options, albert_config)
    task = task_of(options, albert_config)
    predicts = getattr(options, "do_predict", False)
    is_scored = getattr(options, "do_eval", predicts and bool(task.dev_splits))
    _run_engine(task, config, options, is_scored, predicts)


def _run_engine(
    task: Task, config: FinetuneConfig, options: SimpleNamespace, is_scored: bool, predicts: bool
) -> None:
    """Trains as the options say, evaluates every checkpoint if `is_scored`, and predicts.

    Raises:
        NotFinite: a gradient was NaN or infinite.
        SystemExit: a signal stopped the training; a checkpoint was saved.
    """
    engine = training.Engine(task, config, recorded_values(options), _model_files(options))
    try:
        if options.do_train:
            if options.overwrite_output_dir:
                _log.warning("To resume this run later, leave out --overwrite_output_dir.")
            engine.train(is_scored, predicts, options.overwrite_output_dir)
    except training.Interrupted as stopped:
        engine.summarize()
        _log.warning("%s", stopped)
        sys.exit(stopped.exit_status)
    except NotFinite:
        engine.summarize()
        raise
    if not config.is_chief:
        _log.info("The rest is the chief's.")
        return
    if is_scored:
        engine.evaluate()
    if predicts:
        engine.predict()
    if options.do_train or (is_scored and not options.eval_checkpoint):
        engine.summarize()
