"""Text to token ids: clean-up, SentencePiece or WordPiece, and packing `[CLS] a [SEP] b [SEP]`.

Use `FullTokenizer.encode` or `encode_batch` on text, and `build_sequence` to pack the result. The
English checkpoints use SentencePiece models, the Chinese ones WordPiece.
"""

import collections
import hashlib
import io
import logging
import reprlib
import unicodedata
import warnings
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from albert.common import files
from albert.common.errors import UsageError
from albert.text import characters

_log = logging.getLogger(__name__)

SPIECE_UNDERLINE = "\u2581"  # with which SentencePiece marks the start of a word

# `sample=True` draws from the 64 best segmentations, with probabilities to the power of 0.1.
_SAMPLE_NBEST = 64
_SAMPLE_ALPHA = 0.1

# The SentencePiece model of the English checkpoints: its size in bytes, and its SHA-256.
OFFICIAL_SIZE = 760289
OFFICIAL_SHA256 = "fefb02b667a6c5c2fe27602d28e5fb3428f66ab89c7d6f388e7c8d44a02d0336"


class SpecialTokens(NamedTuple):
    """The names, in a vocabulary, of the tokens that do not represent text."""

    pad: str
    unk: str
    cls: str
    sep: str
    mask: str


SENTENCEPIECE_SPECIALS = SpecialTokens("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
WORDPIECE_SPECIALS = SpecialTokens("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class PackedSequence(NamedTuple):
    """One unpadded example: two lists of equal length."""

    input_ids: List[int]
    segment_ids: List[int]


class FullTokenizer:
    """Converts text to tokens and ids: SentencePiece if `spm_model_file` is given, else WordPiece.

    A SentencePiece model holds its vocabulary. A `vocab_file` beside it is not used; one that lists
    other tokens is warned of.

    Attributes:
        file: path of the vocabulary, that of the SentencePiece model if there is one.
        vocab: OrderedDict, token -> id.
        sp_model: the SentencePieceProcessor, None with WordPiece.
        pad_id, unk_id, cls_id, sep_id: ids of the special tokens.
        mask_id: likewise; None if the vocabulary has no [MASK] (fine-tuning does not need it).
        vocab_size: number of ids, and so of rows in the embedding table.

    Raises:
        UsageError: no file is given, or it is missing, malformed or lacks a special token.
    """

    def __init__(
        self,
        vocab_file: Optional[str],
        do_lower_case: bool = True,
        spm_model_file: Optional[str] = None,
    ):
        self.do_lower_case = do_lower_case
        self.sp_model: Any = None
        self.file = spm_model_file or vocab_file or ""
        if spm_model_file:
            self.sp_model = _load_sp_model(spm_model_file)
            self.vocab = _sp_vocab(self.sp_model)
            specials, source = SENTENCEPIECE_SPECIALS, {"spm_model_file": spm_model_file}
            if vocab_file:
                _compare(vocab_file, self.vocab, spm_model_file)
        elif vocab_file:
            self.vocab = load_vocab(vocab_file)
            specials, source = WORDPIECE_SPECIALS, {"vocab_file": vocab_file}
        else:
            raise UsageError(
                "<spm_model_file> or <vocab_file> is needed; neither was given.",
                spm_model_file=None,
                vocab_file=None,
            )
        _check_specials(self.vocab, specials, source)
        self.inv_vocab = {index: token for token, index in self.vocab.items()}
        self.pad_id = self.vocab[specials.pad]
        self.unk_id = self.vocab[specials.unk]
        self.cls_id = self.vocab[specials.cls]
        self.sep_id = self.vocab[specials.sep]
        self.mask_id = self.vocab.get(specials.mask)
        self.vocab_size = max(self.inv_vocab) + 1
        if self.sp_model is not None:
            self._substitutes = self._find_substitutes()
        else:
            self.basic_tokenizer = BasicTokenizer(do_lower_case)
            self.wordpiece_tokenizer = WordpieceTokenizer(self.vocab, specials.unk)

    def fingerprint(self) -> Dict[str, Any]:
        """Returns everything that the ids of a text depend on, as JSON values."""
        return {"vocabulary": files.sha256(self.file), "do_lower_case": self.do_lower_case}

    def tokenize(self, text: str) -> List[str]:
        """Returns the tokens of the text."""
        if self.sp_model is not None:
            return encode_pieces(self.sp_model, self._preprocess(text))
        words = self.basic_tokenizer.tokenize(text)
        return [token for word in words for token in self.wordpiece_tokenizer.tokenize(word)]

    def encode(self, text: str) -> List[int]:
        """Returns the ids of the text, never the id of pad, [CLS], [SEP] or [MASK].

        Text that spells a special token is treated as text: it becomes pieces or <unk>.
        """
        if self.sp_model is not None:
            return self._substitute(self.sp_model.EncodeAsIds(self._preprocess(text)))
        # No substitution needed: the basic tokenizer splits off brackets, so no word is "[CLS]".
        return [self.vocab[token] for token in self.tokenize(text)]

    def encode_batch(self, texts: Sequence[str], num_threads: int = -1) -> List[List[int]]:
        """Returns `[encode(text) for text in texts]`; with SentencePiece, several times faster.

        Args:
            num_threads: of SentencePiece; -1 for one per core.
        """
        if self.sp_model is None:
            return [self.encode(text) for text in texts]
        preprocessed = [self._preprocess(text) for text in texts]
        encoded = self.sp_model.Encode(preprocessed, out_type=int, num_threads=num_threads)
        return [self._substitute(ids) for ids in encoded]

    def convert_tokens_to_ids(self, tokens: Sequence[str]) -> List[int]:
        """Returns the ids of the tokens, and unk_id for tokens outside the vocabulary.

        "[CLS]" means the special token here, so this is not for tokens of arbitrary text.
        """
        return [self.vocab.get(token, self.unk_id) for token in tokens]

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> List[str]:
        """Returns the tokens with these ids; raises KeyError for an unknown id."""
        return [self.inv_vocab[index] for index in ids]

    def _preprocess(self, text):
        return preprocess_text(text, lower=self.do_lower_case)

    def _find_substitutes(self):
        """Returns {piece id: ids that replace it} for the pieces that `encode` must replace:

        - Pieces that end in a digit and a comma. Their replacement depends only on the piece, so
          it is computed here once rather than for each occurrence.
        - Special tokens. Text cannot produce them with the official models, where they are control
          symbols, but it can with models that declare them as user-defined symbols.
        """
        substitutes = {
            index: self.sp_model.PieceToId(_split_final_comma(self.sp_model, piece))
            for piece, index in self.vocab.items()
            if ends_in_digit_and_comma(piece)
        }
        for index in (self.pad_id, self.cls_id, self.sep_id, self.mask_id):
            if index is not None:
                substitutes[index] = [self.unk_id]
        return substitutes

    def _substitute(self, ids):
        substitutes = self._substitutes
        if substitutes.keys().isdisjoint(ids):  # true for most texts, and fast
            return ids
        return [new_id for index in ids for new_id in substitutes.get(index, (index,))]


class BasicTokenizer:
    """Splits text into words; each punctuation mark and CJK ideograph is a word of its own."""

    def __init__(self, do_lower_case: bool = True) -> None:
        self.do_lower_case = do_lower_case

    def tokenize(self, text: str) -> List[str]:
        """Returns the words of the text, lower-cased and without accents if `do_lower_case`."""
        text = text.translate(characters.CLEAN_AND_SPACE_IDEOGRAPHS)
        if not self.do_lower_case:
            return text.translate(characters.SPACE_PUNCTUATION).split()
        # Decompose first: it can yield punctuation (the Greek question mark becomes a semicolon).
        decomposed = unicodedata.normalize("NFD", text.lower())
        return decomposed.translate(characters.STRIP_ACCENTS_AND_SPACE_PUNCTUATION).split()


class WordpieceTokenizer:
    """Splits words into the longest known pieces, from left to right."""

    def __init__(
        self,
        vocab: Dict[str, int],
        unk_token: str = "[UNK]",
        max_input_chars_per_word: int = 200,
    ) -> None:
        self.vocab = vocab
        self.unk_token = unk_token
        self.max_input_chars_per_word = max_input_chars_per_word

    def tokenize(self, text: str) -> List[str]:
        """Returns the pieces of whitespace-separated words.

        A piece that continues a word starts with "##". A word that is too long, or that cannot be
        spelled with known pieces, becomes one unk_token.
        """
        return [piece for word in text.split() for piece in self._split(word)]

    def _split(self, word):
        if len(word) > self.max_input_chars_per_word:
            return [self.unk_token]
        pieces: List[str] = []
        start = 0
        while start < len(word):
            piece = self._longest_piece(word, start)
            if piece is None:
                return [self.unk_token]
            start += len(piece) - (2 if pieces else 0)  # "##" is not part of the word
            pieces.append(piece)
        return pieces

    def _longest_piece(self, word, start):
        prefix = "##" if start else ""
        for end in range(len(word), start, -1):
            piece = prefix + word[start:end]
            if piece in self.vocab:
                return piece
        return None


def build_sequence(
    tokenizer: FullTokenizer,
    ids_a: Sequence[int],
    ids_b: Optional[Sequence[int]],
    max_seq_length: int,
) -> PackedSequence:
    """Returns the PackedSequence `[CLS] a [SEP]`, or `[CLS] a [SEP] b [SEP]` with segments 0 and 1.

    If `ids_b` is None or empty there is only one sequence, as in the original. A pair that is too
    long loses tokens one at a time from the end of the longer sequence, or of b if both are equal.

    Raises:
        UsageError: max_seq_length leaves no room for the special tokens.
    """
    num_specials = 3 if ids_b else 2
    room = max_seq_length - num_specials
    if room < 0:
        raise UsageError(
            f"<max_seq_length> is too small: at least {num_specials} is needed for [CLS] and"
            " [SEP].",
            max_seq_length=max_seq_length,
        )
    num_a, num_b = truncated_lengths(len(ids_a), len(ids_b or ()), room)
    first = [tokenizer.cls_id, *ids_a[:num_a], tokenizer.sep_id]
    second = [*ids_b[:num_b], tokenizer.sep_id] if ids_b else []
    return PackedSequence(first + second, [0] * len(first) + [1] * len(second))


def truncated_lengths(num_a: int, num_b: int, room: int) -> Tuple[int, int]:
    """Returns how many tokens of a and b remain after dropping one at a time from the longer.

    a gets half of the room (rounded up, since b loses ties), plus whatever b leaves unused.
    """
    kept_a = min(num_a, max(room - num_b, (room + 1) // 2))
    return kept_a, min(num_b, room - kept_a)


def preprocess_text(inputs: str, remove_space: bool = True, lower: bool = False) -> str:
    """Returns the text as SentencePiece expects it: in NFKD, without combining characters.

    `remove_space` strips and collapses whitespace; `lower` lower-cases letters.
    """
    outputs = " ".join(inputs.split()) if remove_space else inputs
    if not outputs.isascii():  # decomposition does not change ASCII
        outputs = unicodedata.normalize("NFKD", outputs).translate(characters.DROP_COMBINING)
    return outputs.lower() if lower else outputs


def encode_pieces(sp_model: Any, text: str, sample: bool = False) -> List[str]:
    """Returns the pieces of preprocessed text; a comma after a digit is a piece of its own.

    With `sample`, the segmentation is drawn at random from the most likely ones.
    """
    if sample:
        pieces = sp_model.SampleEncodeAsPieces(text, _SAMPLE_NBEST, _SAMPLE_ALPHA)
    else:
        pieces = sp_model.EncodeAsPieces(text)
    repaired = []
    for piece in pieces:
        if ends_in_digit_and_comma(piece):
            repaired.extend(_split_final_comma(sp_model, piece))
        else:
            repaired.append(piece)
    return repaired


def encode_ids(sp_model: Any, text: str, sample: bool = False) -> List[int]:
    """Returns the ids of `encode_pieces`."""
    return sp_model.PieceToId(encode_pieces(sp_model, text, sample))


def ends_in_digit_and_comma(piece: str) -> bool:
    """Returns whether a piece is one that `encode_pieces` splits."""
    return piece[-1:] == "," and piece[-2:-1].isdigit()


def _split_final_comma(sp_model, piece):
    """Returns the pieces of `piece` without its comma, followed by the comma.

    SentencePiece adds a word mark in front, even if `piece` came from inside a word. It is not
    removed, because the released models were trained and evaluated with it.
    """
    return sp_model.EncodeAsPieces(piece[:-1].replace(SPIECE_UNDERLINE, "")) + [","]


def load_vocab(vocab_file: str) -> Dict[str, int]:
    """Returns the WordPiece vocabulary, an OrderedDict: token -> line number, from 0.

    A line holds a token, or a token, a tab and a score. The last of repeated tokens counts.

    Raises:
        UsageError: the file cannot be read or is not UTF-8.
    """
    try:
        with open(vocab_file, "rb") as reader:
            content = reader.read()
    except OSError as error:
        raise UsageError(f"<vocab_file>: {error.strerror}.", vocab_file=vocab_file) from error
    text = files.utf8_text(content, "<vocab_file>", vocab_file=vocab_file)
    vocab = collections.OrderedDict()
    # Ids are line numbers, so only "\n" may end a line: U+2028 and U+0085 can be tokens.
    for index, line in enumerate(io.StringIO(text, newline="\n")):
        vocab[line.rstrip("\n").split("\t")[0].strip(" \r")] = index
    return vocab


def _compare(vocab_file, vocab, spm_model_file):
    """Warns in one line if a vocabulary file does not list the tokens of a SentencePiece model."""
    unused = f"The vocabulary in {spm_model_file} is used instead"
    try:
        listed = load_vocab(vocab_file)
    except UsageError as error:
        _log.warning("%s: %s", unused, error.text(lambda _: ""))
        return
    others = [token for token, index in listed.items() if vocab.get(token) != index]
    if others or len(listed) != len(vocab):
        _log.warning(
            "%s of that in %s, which is another one: it has %d tokens, not %d, and %d differ%s.",
            unused,
            vocab_file,
            len(listed),
            len(vocab),
            len(others),
            f", such as {reprlib.repr(others[0])}" if others else "",
        )


def _load_sp_model(spm_model_file):
    """Returns the SentencePieceProcessor; UsageError if the file is missing or not a model."""
    # Not imported at the top: sentencepiece and TensorFlow 1.15 both bundle protobuf and can crash
    # if sentencepiece is loaded first, so importing this module must not load it.
    import sentencepiece

    try:
        with open(spm_model_file, "rb") as reader:
            serialized = reader.read()
    except OSError as error:
        raise UsageError(
            f"<spm_model_file>: {error.strerror}.", spm_model_file=spm_model_file
        ) from error
    _check_sp_model(serialized, spm_model_file)
    sp_model = sentencepiece.SentencePieceProcessor()
    try:
        sp_model.LoadFromSerializedProto(serialized)
    except RuntimeError as error:
        raise _no_sp_model(serialized, spm_model_file) from error
    return sp_model


def _check_sp_model(serialized, spm_model_file):
    """Raises UsageError for damage that SentencePiece does not notice or that crashes it."""
    from google.protobuf import message
    from sentencepiece import sentencepiece_model_pb2

    digest = hashlib.sha256(serialized).hexdigest()
    if len(serialized) == OFFICIAL_SIZE and digest != OFFICIAL_SHA256:
        raise UsageError(
            "<spm_model_file> is damaged: it is as large as ALBERT's, but its SHA-256 is not "
            f"{OFFICIAL_SHA256}.",
            spm_model_file=spm_model_file,
        )
    model = sentencepiece_model_pb2.ModelProto()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage that is refused below
            model.ParseFromString(serialized)
        # Depending on the version of protobuf, what is not UTF-8 is an error or remains bytes.
        are_texts = [isinstance(row.piece, str) and "\0" not in row.piece for row in model.pieces]
    except (message.DecodeError, UnicodeDecodeError) as error:
        raise _no_sp_model(serialized, spm_model_file) from error
    if not all(are_texts):
        raise UsageError(
            f"<spm_model_file> is damaged: its piece {are_texts.index(False)} is not UTF-8 text.",
            spm_model_file=spm_model_file,
        )


def _no_sp_model(serialized, spm_model_file):
    return UsageError(
        f"<spm_model_file> is not a SentencePiece model ({len(serialized)} bytes read).",
        spm_model_file=spm_model_file,
    )


def _sp_vocab(sp_model):
    pieces = sp_model.IdToPiece(list(range(sp_model.GetPieceSize())))
    return collections.OrderedDict((piece, index) for index, piece in enumerate(pieces))


def _check_specials(vocab, specials, source):
    """Raises UsageError if the vocabulary lacks a special token that fine-tuning needs."""
    required = (specials.pad, specials.unk, specials.cls, specials.sep)
    missing = [token for token in required if token not in vocab]
    if missing:
        (setting,) = source
        raise UsageError(
            f"<{setting}> lacks {', '.join(missing)}: it must have {', '.join(required)}.", **source
        )
