r"""Makes sequences to pre-train ALBERT on from text, on all cores.

The text has one sentence a line and blank lines between documents. The same
command resumes a stopped run.

    python -m albert.create_pretraining_data \
        --input_file=corpus.txt,more/*.txt.gz --output_file=data/train \
        --spm_model_file=30k-clean.model

Writes data/train-00000.tf_record and so on, and data/train.manifest.json,
which lists them and which run_multigpus_pretraining reads. Masks are drawn
while training; with --static_masks they are drawn here, and the files are like
those of google-research/albert. Without --spm_model_file and --vocab_file it
first trains a vocabulary, data/train.model and data/train.vocab.
"""

from albert.cli import quiet

if __name__ == "__main__":
    quiet.quiet_start()

import errno
import logging
import math
import os
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Optional

from absl import flags

from albert.cli import program, runner, shared_flags
from albert.cli.flag_groups import DATA, DEVICES, MODEL, RESULTS, WITHOUT_EFFECT
from albert.cli.options import check_file, check_folder_to_write
from albert.common import files, locks, parallel
from albert.common.errors import UsageError
from albert.engine.config import MAX_SEED

if TYPE_CHECKING:
    from albert.pretraining.manifest import Manifest
    from albert.pretraining.shards import Recipe

_MASK_FLAGS = (
    "masked_lm_prob",
    "ngram",
    "max_predictions_per_seq",
    "favor_shorter_ngram",
    "do_whole_word_mask",
    "dupe_factor",
)

_log = logging.getLogger("albert.create_pretraining_data")  # also where it runs as __main__


def define_flags() -> None:
    """Defines the flags of this command; those of the original have its names and defaults."""
    _define_text()
    _define_sequences()
    _define_masks()
    flags.DEFINE_integer(
        "num_processes",
        None,
        "Processes that work at once; the result does not depend on it (default: one per core).",
        lower_bound=1,
        module_name=DEVICES,
    )
    flags.DEFINE_string(
        "output_file",
        None,
        "What the paths of the files to write begin with, such as data/train.",
        module_name=RESULTS,
    )
    shared_flags.define_verbosity()
    flags.DEFINE_enum(
        "input_file_mode",
        "r",
        ["r", "rb"],
        "How the original opens text.",
        module_name=WITHOUT_EFFECT,
    )
    flags.DEFINE_bool(
        "do_permutation", False, "True is refused: not supported.", module_name=WITHOUT_EFFECT
    )


def _define_text() -> None:
    flags.DEFINE_string(
        "input_file",
        None,
        "Files of text in UTF-8, plain or gzip: paths and patterns, separated by commas.",
        module_name=DATA,
    )
    flags.DEFINE_integer(
        "shard_size",
        16000000,
        "Characters of text of an output file; larger documents are cut.",
        lower_bound=1,
        module_name=DATA,
    )
    for name, meaning in (
        ("vocab_file", "Vocabulary for WordPiece."),
        ("spm_model_file", "SentencePiece model; without it --vocab_file is read as WordPiece's."),
    ):
        flags.DEFINE_string(name, None, meaning, module_name=MODEL)
    flags.DEFINE_integer(
        "vocab_size",
        30000,
        "Pieces of the vocabulary that is trained where neither of the two is given.",
        lower_bound=1,
        module_name=MODEL,
    )
    flags.DEFINE_bool(
        "do_lower_case", True, "Lower-case the text (uncased models).", module_name=MODEL
    )


def _define_sequences() -> None:
    flags.DEFINE_integer(
        "max_seq_length",
        512,
        "Longest sequence in tokens.",
        lower_bound=5,
        upper_bound=2**16,
        module_name=DATA,
    )
    flags.DEFINE_float(
        "short_seq_prob",
        0.1,
        "Share of the sequences that are to be shorter.",
        lower_bound=0.0,
        upper_bound=1.0,
        module_name=DATA,
    )
    flags.DEFINE_bool(
        "random_next_sentence",
        False,
        "Label 1 is for a second segment of another document, not for two in the wrong order.",
        module_name=DATA,
    )
    flags.DEFINE_integer(
        "random_seed",
        12345,
        "Decides all that is drawn.",
        lower_bound=0,
        module_name=DATA,
    )


def _define_masks() -> None:
    flags.DEFINE_bool(
        "static_masks",
        False,
        "Draw masks here, in the layout of google-research/albert; the next flags are for that.",
        module_name=DATA,
    )
    flags.DEFINE_integer(
        "dupe_factor",
        40,
        "Times that the text is gone through, with other sequences and masks.",
        lower_bound=1,
        module_name=DATA,
    )
    flags.DEFINE_float(
        "masked_lm_prob",
        0.15,
        "Share of the tokens to predict.",
        lower_bound=0.0,
        upper_bound=1.0,
        module_name=DATA,
    )
    for name, default, most, meaning in (
        ("max_predictions_per_seq", 20, 2**16, "Most tokens to predict of a sequence."),
        ("ngram", 3, 100, "Most words that are masked together."),
    ):
        flags.DEFINE_integer(
            name, default, meaning, lower_bound=1, upper_bound=most, module_name=DATA
        )
    for name, meaning in (
        ("favor_shorter_ngram", "Mask fewer words together more often than more."),
        ("do_whole_word_mask", "Mask whole words; False: pieces of words."),
    ):
        flags.DEFINE_bool(name, True, meaning, module_name=DATA)


def read_options() -> SimpleNamespace:
    """Returns the value of every flag, and `paths` of the files to read.

    Raises:
        UsageError: a flag is missing or refused, or a file cannot be used.
    """
    options = SimpleNamespace(**flags.FLAGS.flag_values_dict())
    for name in ("input_file", "output_file"):
        if not getattr(options, name):
            raise UsageError(f"--{name} is required.")
    if options.do_permutation:
        raise UsageError("--do_permutation=True is not supported.")
    if options.random_seed > MAX_SEED:
        raise UsageError(f"--random_seed={options.random_seed} must be {MAX_SEED} or less.")
    for name in ("short_seq_prob", "masked_lm_prob"):
        if math.isnan(getattr(options, name)):  # bounds let NaN through
            raise UsageError(f"--{name}=nan is no number.")
    _check_output(options.output_file)
    options.paths = files.matching(options.input_file, "input_file")
    for name in ("vocab_file", "spm_model_file"):
        check_file(name, getattr(options, name))
    given = {name for name in flags.FLAGS if flags.FLAGS[name].present}
    idle = [f"--{name}" for name in _MASK_FLAGS if name in given]
    if idle and not options.static_masks:
        _log.warning(
            "Without effect, as there is no --static_masks: %s. Masks are drawn while training, by "
            "run_multigpus_pretraining, which has such flags.",
            ", ".join(idle),
        )
    if "vocab_size" in given and (options.vocab_file or options.spm_model_file):
        _log.warning("--vocab_size is without effect, as the vocabulary is given.")
    return options


def _check_output(output_file: str) -> None:
    if "," in output_file:
        raise UsageError(
            "<output_file> has a comma: give one path that all names begin with.",
            output_file=output_file,
        )
    if os.path.isdir(output_file) or not os.path.basename(output_file):
        raise UsageError(
            "<output_file> is a folder: add what the names of the files are to begin with.",
            output_file=output_file,
        )
    check_folder_to_write("output_file", output_file, is_file=True)


def _recipe(options: SimpleNamespace, spm_model_file: Optional[str]) -> "Recipe":
    from albert import tokenization
    from albert.pretraining import masking, segments, shards

    tokenizer = tokenization.FullTokenizer(
        options.vocab_file, options.do_lower_case, spm_model_file
    )
    masking.Vocabulary.of(tokenizer)  # an error now, and not while training
    pairs = segments.PairSettings(
        options.max_seq_length,
        options.short_seq_prob,
        options.random_next_sentence,
        options.random_seed,
    )
    if not options.static_masks:
        return shards.Recipe(tokenizer, pairs, None)
    masks = masking.MaskSettings(
        options.masked_lm_prob,
        options.ngram,
        options.max_predictions_per_seq,
        options.favor_shorter_ngram,
        options.do_whole_word_mask,
    )
    return shards.Recipe(tokenizer, pairs, shards.StaticMasks(options.dupe_factor, masks))


def _create(options: SimpleNamespace) -> "Manifest":
    from albert.pretraining import creation, vocabulary

    spm_model_file, trained = options.spm_model_file, None
    if not spm_model_file and not options.vocab_file:
        trained = vocabulary.ensure(
            options.output_file,
            options.paths,
            vocabulary.VocabularySettings(
                options.vocab_size, options.do_lower_case, options.random_seed
            ),
        )
        spm_model_file = f"{options.output_file}.model"
    data_set = creation.DataSet(
        options.output_file,
        options.paths,
        _recipe(options, spm_model_file),
        options.shard_size,
        trained,
    )
    return creation.create(data_set, options.num_processes or parallel.num_cores())


def main() -> None:
    """Makes the data set that the flags describe, and logs what is in it."""
    options = read_options()
    quiet.has_started()
    from albert.pretraining import manifest

    started = time.monotonic()
    path = manifest.path_of(options.output_file)
    # A pattern may match what an earlier run has written.
    options.paths = [
        each for each in options.paths if not manifest.is_part_of(each, options.output_file)
    ]
    if not options.paths:
        raise UsageError(
            "<input_file> names only what this command writes.", input_file=options.input_file
        )
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    try:
        with locks.turn(path, options.output_file + manifest.LOCK_ENDING):
            made = _create(options)
    except OSError as error:  # a disk that fails, or a quota
        line = None if error.errno == errno.ENOSPC else program.explain_os_error(error)
        if line is None:
            raise
        raise UsageError(line) from error
    _log.info(
        "%s: %d documents, %d sentences (%d dropped), %d sequences, %d tokens, in %.1f s.",
        path,
        made.total("num_documents"),
        made.total("num_sentences"),
        made.total("num_dropped_sentences"),
        made.total("num_sequences"),
        made.total("num_tokens"),
        time.monotonic() - started,
    )


def run() -> None:
    """Runs the command line."""
    define_flags()
    runner.run(
        main, __doc__, output_flag="output_file", resumes_from="the last file that was finished"
    )


if __name__ == "__main__":
    run()
