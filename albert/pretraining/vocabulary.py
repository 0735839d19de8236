"""Trains a SentencePiece model on text, with the settings of ALBERT's own vocabulary."""

import contextlib
import ctypes
import io
import logging
import multiprocessing
import os
import re
import signal
from concurrent.futures import process
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Sequence

from albert import tokenization
from albert.common import files, parallel
from albert.common.errors import UsageError
from albert.pretraining import documents, manifest

_log = logging.getLogger(__name__)

# Those of the model that google-research/albert has released.
_SETTINGS: Dict[str, Any] = {
    "model_type": "unigram",
    "pad_id": 0,
    "pad_piece": tokenization.SENTENCEPIECE_SPECIALS.pad,
    "unk_id": 1,
    "unk_piece": tokenization.SENTENCEPIECE_SPECIALS.unk,
    "bos_id": -1,
    "eos_id": -1,
    "control_symbols": list(tokenization.SENTENCEPIECE_SPECIALS[2:]),
    "user_defined_symbols": list('()"-.–£€'),
    "character_coverage": 0.99995,
    "input_sentence_size": 10000000,
    "shuffle_input_sentence": True,
}
# How sums round depends on it, and so may the model: not on the number of cores.
_NUM_THREADS = 16
# Bytes; SentencePiece would drop longer sentences. It splits them at white space anyway.
_LONGEST_SENTENCE = 1 << 26

_PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>

_TOO_LARGE = re.compile(r"size (?:is )?too high.*<= (\d+)", re.S)
_TOO_SMALL = re.compile(r"smaller than required_chars. \d+ vs (\d+)")


class VocabularySettings(NamedTuple):
    """What decides a vocabulary, besides the text; each field is named as its flag."""

    vocab_size: int
    do_lower_case: bool
    random_seed: int


def ensure(prefix: str, paths: Sequence[str], settings: VocabularySettings) -> Dict[str, Any]:
    """Returns the record of the vocabulary in `P.model` and `P.vocab`, as Manifest has it.

    It is trained unless an earlier run has done so with the same settings, on the same files.

    Raises:
        UsageError: the text cannot be read, or does not suit the settings; or there is a `P.model`
            that no manifest tells of.
    """
    model_path, vocabulary_path = f"{prefix}.model", f"{prefix}.vocab"
    previous = manifest.read_previous(prefix)
    known = previous.vocabulary if previous else None
    if known is None and os.path.exists(model_path):
        raise UsageError(
            f"{model_path} is there already, and this program has not made it. Name it with "
            "<spm_model_file>, or choose another <output_file>.",
            spm_model_file=None,
            output_file=None,
        )
    inputs = [documents.input_file(path)._asdict() for path in paths]
    made_of = dict(settings._asdict(), inputs=inputs)
    if known and os.path.exists(model_path):
        if known == dict(made_of, sha256=files.sha256(model_path)):
            _log.info("%s was there already.", model_path)
            return known
    _log.info("Training a vocabulary of %d pieces.", settings.vocab_size)
    with files.replacing(model_path) as temporary:
        train(documents.Corpus(paths).lines(), settings, temporary)
        record = dict(made_of, sha256=files.sha256(temporary))
        if record != known:
            # Before the model is there, so that no manifest of another one stands beside it.
            manifest.write(_first_manifest(prefix, record))
        files.write_text(vocabulary_path, listing(temporary))
    return record


def _first_manifest(prefix: str, record: Dict[str, Any]) -> manifest.Manifest:
    """Returns a manifest of the vocabulary alone."""
    return manifest.Manifest(
        path=manifest.path_of(prefix),
        layout=manifest.SEQUENCES,
        is_complete=False,
        max_seq_length=0,
        vocab_size=record["vocab_size"],
        tokenizer={},
        settings={},
        vocabulary=record,
        inputs=[],
        shards=(),
    )


def train(lines: Iterable[str], settings: VocabularySettings, path: str) -> None:
    """Writes the model of a text. Another process trains it, which Ctrl-C ends at once.

    Args:
        lines: sentences; empty ones are passed over.
        path: of the model.

    Raises:
        UsageError: the text is too short for `vocab_size`, or `vocab_size` for its characters; or
            what `lines` raises.
    """
    try:
        # Two, because with one this process would do it.
        list(parallel.ordered_stream(lambda _: _train(lines, settings, path), [None], 2))
    except process.BrokenProcessPool as error:
        raise UsageError(
            "<vocab_size>: the process that trains the vocabulary ended: the text has no words, "
            "or there is too little memory.",
            vocab_size=settings.vocab_size,
        ) from error


def _train(lines: Iterable[str], settings: VocabularySettings, path: str) -> None:
    import sentencepiece  # see tokenization: it must not be loaded before TensorFlow 1.15

    if multiprocessing.current_process().name != "MainProcess":
        _end_with_parent()
    sentences = _Sentences(lines, settings.do_lower_case)
    model = io.BytesIO()
    sentencepiece.set_random_generator_seed(settings.random_seed % 2**32)
    try:
        with _silent_stderr():
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(sentences),
                model_writer=model,
                vocab_size=settings.vocab_size,
                num_threads=_NUM_THREADS,
                max_sentence_length=_LONGEST_SENTENCE,
                **_SETTINGS,
            )
    except RuntimeError as error:
        if not sentences.errors:
            raise _refused(str(error), sentences.count, settings.vocab_size) from error
    if sentences.errors:
        raise sentences.errors[0]
    with open(path, "wb") as writer:
        writer.write(model.getvalue())


def _end_with_parent() -> None:
    """Lets Linux end this process with its parent, which no thread can do while C++ code trains."""
    with contextlib.suppress(AttributeError):  # macOS has no such call
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drops what C++ code writes to stderr; what of it matters is in its exceptions, too."""
    stderr = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


class _Sentences:
    """The sentences to train on, as the tokenizer cleans them.

    SentencePiece takes them from C++, where an exception would get lost: it ends them, and is kept.
    """

    def __init__(self, lines: Iterable[str], do_lower_case: bool) -> None:
        self.errors: List[Exception] = []
        self.count = 0
        self._lines = lines
        self._do_lower_case = do_lower_case

    def __iter__(self) -> Iterator[str]:
        try:
            for line in self._lines:
                text = tokenization.preprocess_text(line, lower=self._do_lower_case)
                if text:
                    self.count += 1
                    yield text
        except (UsageError, OSError) as error:
            self.errors.append(error)


def _refused(message: str, num_sentences: int, vocab_size: int) -> UsageError:
    if not num_sentences:
        return UsageError("<input_file>: there is no text in it.", input_file=None)
    for pattern, reason in (
        (_TOO_LARGE, "is too large for this text: {} is the largest possible."),
        (_TOO_SMALL, "is too small for the characters of this text: it must be {} or more."),
    ):
        found = pattern.search(message)
        if found:
            text = f"<vocab_size> {reason.format(found.group(1))}"
            return UsageError(text, vocab_size=vocab_size)
    return UsageError(f"<vocab_size>: SentencePiece fails: {message}.", vocab_size=vocab_size)


def listing(model_path: str) -> str:
    """Returns the vocabulary of a model as SentencePiece lists it: piece, tab, score a line."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=model_path)
    size = processor.GetPieceSize()
    rows = zip(processor.IdToPiece(list(range(size))), processor.GetScore(list(range(size))))
    return "".join(f"{piece}\t{score:g}\n" for piece, score in rows)
