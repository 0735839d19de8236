"""Text to token ids: clean-up, SentencePiece or WordPiece, and packing `[CLS] a [SEP] b [SEP]`.

Callers use `FullTokenizer.encode` or `encode_batch` for text and `build_sequence` to pack the
result. SentencePiece models serve the English checkpoints, WordPiece the Chinese ones.
"""

import collections
import unicodedata
from typing import List, NamedTuple, Optional

from albert.common import files
from albert.common.errors import UsageError

SPIECE_UNDERLINE = "\u2581"  # SentencePiece's mark of the beginning of a word

# How `sample=True` draws: among the 64 best segmentations, flattened by the exponent 0.1.
_SAMPLE_NBEST = 64
_SAMPLE_ALPHA = 0.1

_CJK_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class SpecialTokens(NamedTuple):
    """The names under which a vocabulary holds the tokens that do not stand for text."""

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
    """Text to tokens and ids, by SentencePiece if `spm_model_file` is given, else by WordPiece.

    With a SentencePiece model `vocab_file` is not read: the model holds its own vocabulary.

    Attributes:
        vocab: OrderedDict, token -> id.
        sp_model: the SentencePieceProcessor, None with WordPiece.
        pad_id, unk_id, cls_id, sep_id: ids of the special tokens.
        mask_id: likewise, None where the vocabulary has no [MASK] (fine-tuning needs none).
        vocab_size: the number of ids, i.e. of rows of the embedding table.

    Raises:
        UsageError: neither file is given, or the file is missing, malformed or lacks a special
            token.
    """

    def __init__(
        self,
        vocab_file: Optional[str],
        do_lower_case: bool = True,
        spm_model_file: Optional[str] = None,
    ):
        self.do_lower_case = do_lower_case
        self.sp_model = None
        self._file = spm_model_file or vocab_file
        if spm_model_file:
            self.sp_model = _load_sp_model(spm_model_file)
            self.vocab = _sp_vocab(self.sp_model)
            specials, source = SENTENCEPIECE_SPECIALS, f"--spm_model_file={spm_model_file}"
        elif vocab_file:
            self.vocab = load_vocab(vocab_file)
            specials, source = WORDPIECE_SPECIALS, f"--vocab_file={vocab_file}"
        else:
            raise UsageError("--spm_model_file or --vocab_file is needed; neither was given.")
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

    def fingerprint(self):
        """Returns what decides the ids of a text, as a dict for JSON."""
        return {"vocabulary": files.sha256(self._file), "do_lower_case": self.do_lower_case}

    def tokenize(self, text):
        """Returns the tokens of the text: list of str."""
        if self.sp_model is not None:
            return encode_pieces(self.sp_model, self._preprocess(text))
        words = self.basic_tokenizer.tokenize(text)
        return [token for word in words for token in self.wordpiece_tokenizer.tokenize(word)]

    def encode(self, text):
        """Returns the ids of the text: list of int, never the id of pad, [CLS], [SEP] or [MASK].

        Text that spells a special token is text: it comes out in pieces or as <unk>.
        """
        if self.sp_model is not None:
            return self._substitute(self.sp_model.EncodeAsIds(self._preprocess(text)))
        # Safe as it is: the basic tokenizer cuts brackets off, so no word is called "[CLS]".
        return [self.vocab[token] for token in self.tokenize(text)]

    def encode_batch(self, texts):
        """Returns `[encode(text) for text in texts]`, with SentencePiece several times faster."""
        if self.sp_model is None:
            return [self.encode(text) for text in texts]
        encoded = self.sp_model.Encode([self._preprocess(text) for text in texts], out_type=int)
        return [self._substitute(ids) for ids in encoded]

    def convert_tokens_to_ids(self, tokens):
        """Returns the ids of the tokens: list of int, unk_id for one outside the vocabulary.

        Takes "[CLS]" for the special token: for sequences that a caller builds, not for text.
        """
        return [self.vocab.get(token, self.unk_id) for token in tokens]

    def convert_ids_to_tokens(self, ids):
        """Returns the tokens with these ids: list of str. Raises KeyError for an unknown id."""
        return [self.inv_vocab[index] for index in ids]

    def _preprocess(self, text):
        return preprocess_text(text, lower=self.do_lower_case)

    def _find_substitutes(self):
        """Returns {piece id: ids to put in its place}, for the few pieces that need it.

        The comma repair depends on the piece alone, so it is done here once a piece and not once
        an occurrence. Special tokens are in the table for models that declare them as symbols to
        be found in text; the official models declare them as control symbols, which text cannot
        produce.
        """
        substitutes = {
            index: self.sp_model.PieceToId(_split_final_comma(self.sp_model, piece))
            for piece, index in self.vocab.items()
            if _ends_in_digit_and_comma(piece)
        }
        for index in (self.pad_id, self.cls_id, self.sep_id, self.mask_id):
            if index is not None:
                substitutes[index] = [self.unk_id]
        return substitutes

    def _substitute(self, ids):
        substitutes = self._substitutes
        if substitutes.keys().isdisjoint(ids):  # most texts; C speed
            return ids
        return [new_id for index in ids for new_id in substitutes.get(index, (index,))]


class BasicTokenizer:
    """Cuts text into words: white space, and every punctuation mark and CJK ideograph alone."""

    def __init__(self, do_lower_case=True):
        self.do_lower_case = do_lower_case

    def tokenize(self, text):
        """Returns the words of the text, lower-cased and without accents if so set: list of str."""
        text = text.translate(_CLEAN_AND_SPACE_IDEOGRAPHS)
        if not self.do_lower_case:
            return text.translate(_SPACE_PUNCTUATION).split()
        # Decomposition can yield punctuation (the Greek question mark is a semicolon), hence first.
        decomposed = unicodedata.normalize("NFD", text.lower())
        return decomposed.translate(_STRIP_ACCENTS_AND_SPACE_PUNCTUATION).split()


class WordpieceTokenizer:
    """Cuts words into the longest known pieces, from left to right."""

    def __init__(self, vocab, unk_token="[UNK]", max_input_chars_per_word=200):
        self.vocab = vocab
        self.unk_token = unk_token
        self.max_input_chars_per_word = max_input_chars_per_word

    def tokenize(self, text):
        """Returns the pieces of white-space separated words: list of str.

        A piece that continues a word starts with "##". A word that cannot be put together from
        known pieces, or is too long, becomes one unk_token.
        """
        return [piece for word in text.split() for piece in self._cut(word)]

    def _cut(self, word):
        if len(word) > self.max_input_chars_per_word:
            return [self.unk_token]
        pieces = []
        start = 0
        while start < len(word):
            piece = self._longest_piece(word, start)
            if piece is None:
                return [self.unk_token]
            start += len(piece) - (2 if pieces else 0)  # "##" is not in the word
            pieces.append(piece)
        return pieces

    def _longest_piece(self, word, start):
        prefix = "##" if start else ""
        for end in range(len(word), start, -1):
            piece = prefix + word[start:end]
            if piece in self.vocab:
                return piece
        return None


def build_sequence(tokenizer, ids_a, ids_b, max_seq_length):
    """Returns the PackedSequence `[CLS] a [SEP]`, or `[CLS] a [SEP] b [SEP]` with segments 0 and 1.

    `ids_b` of None or without ids means a single sequence, as in the original. Too long a pair is
    cut from the end of the longer sequence, one token at a time, of b when they are equal.

    Raises:
        UsageError: max_seq_length has no room for the special tokens.
    """
    num_specials = 3 if ids_b else 2
    room = max_seq_length - num_specials
    if room < 0:
        raise UsageError(
            f"--max_seq_length={max_seq_length} is too small: at least {num_specials} is needed"
            " for [CLS] and [SEP]."
        )
    num_a, num_b = _truncated_lengths(len(ids_a), len(ids_b or ()), room)
    first = [tokenizer.cls_id, *ids_a[:num_a], tokenizer.sep_id]
    second = [*ids_b[:num_b], tokenizer.sep_id] if ids_b else []
    return PackedSequence(first + second, [0] * len(first) + [1] * len(second))


def _truncated_lengths(num_a, num_b, room):
    """Returns how much of a and b is kept, in closed form for dropping from the longer in turn.

    a keeps its half of the room, rounded up since b loses on a tie, and what b leaves unused.
    """
    kept_a = min(num_a, max(room - num_b, (room + 1) // 2))
    return kept_a, min(num_b, room - kept_a)


def preprocess_text(inputs, remove_space=True, lower=False):
    """Returns the text as SentencePiece expects it: NFKD without combining characters.

    White space is stripped and collapsed if `remove_space`, letters are lower-cased if `lower`.
    """
    outputs = " ".join(inputs.split()) if remove_space else inputs
    if not outputs.isascii():  # decomposition leaves ASCII alone
        outputs = unicodedata.normalize("NFKD", outputs).translate(_DROP_COMBINING)
    return outputs.lower() if lower else outputs


def encode_pieces(sp_model, text, sample=False):
    """Returns the pieces of preprocessed text: list of str, a comma after a digit on its own.

    With `sample` the segmentation is drawn at random from the likeliest ones.
    """
    if sample:
        pieces = sp_model.SampleEncodeAsPieces(text, _SAMPLE_NBEST, _SAMPLE_ALPHA)
    else:
        pieces = sp_model.EncodeAsPieces(text)
    repaired = []
    for piece in pieces:
        if _ends_in_digit_and_comma(piece):
            repaired.extend(_split_final_comma(sp_model, piece))
        else:
            repaired.append(piece)
    return repaired


def encode_ids(sp_model, text, sample=False):
    """Returns the ids of `encode_pieces`: list of int."""
    return sp_model.PieceToId(encode_pieces(sp_model, text, sample))


def _ends_in_digit_and_comma(piece):
    return piece[-1:] == "," and piece[-2:-1].isdigit()


def _split_final_comma(sp_model, piece):
    """Returns the pieces of `piece` without its comma, then the comma.

    SentencePiece puts a word mark before whatever it encodes, and it stays even if `piece` stood
    inside a word. That is kept: the released models and their results were made with it.
    """
    return sp_model.EncodeAsPieces(piece[:-1].replace(SPIECE_UNDERLINE, "")) + [","]


def load_vocab(vocab_file):
    """Returns the WordPiece vocabulary: OrderedDict, token -> number of its line from 0.

    A line holds a token, or a token, a tab and a score. Of equal tokens the last one counts.

    Raises:
        UsageError: the file cannot be read or is not UTF-8.
    """
    vocab = collections.OrderedDict()
    try:
        # Ids are line numbers, so nothing but "\n" may end a line: U+2028 and U+0085 are tokens.
        with open(vocab_file, encoding="utf-8-sig", newline="\n") as reader:
            for index, line in enumerate(reader):
                vocab[line.rstrip("\n").split("\t")[0].strip(" \r")] = index
    except OSError as error:
        raise UsageError(f"--vocab_file={vocab_file}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"--vocab_file={vocab_file} is not UTF-8 text: {error.reason}; it holds one token a"
            " line."
        ) from error
    return vocab


def _load_sp_model(spm_model_file):
    """Returns the SentencePieceProcessor. Raises UsageError if the file is missing or no model."""
    # Not at the top: sentencepiece and TensorFlow 1.15 both carry protobuf and can crash when
    # sentencepiece is loaded first, so importing this module must not decide the order.
    import sentencepiece

    try:
        with open(spm_model_file, "rb") as reader:
            serialized = reader.read()
    except OSError as error:
        raise UsageError(f"--spm_model_file={spm_model_file}: {error.strerror}.") from error
    sp_model = sentencepiece.SentencePieceProcessor()
    try:
        sp_model.LoadFromSerializedProto(serialized)
    except RuntimeError as error:
        raise UsageError(
            f"--spm_model_file={spm_model_file} is not a SentencePiece model"
            f" ({len(serialized)} bytes read)."
        ) from error
    return sp_model


def _sp_vocab(sp_model):
    pieces = sp_model.IdToPiece(list(range(sp_model.GetPieceSize())))
    return collections.OrderedDict((piece, index) for index, piece in enumerate(pieces))


def _check_specials(vocab, specials, source):
    """Raises UsageError if the vocabulary lacks a special token that fine-tuning needs."""
    required = (specials.pad, specials.unk, specials.cls, specials.sep)
    missing = [token for token in required if token not in vocab]
    if missing:
        raise UsageError(
            f"{source} lacks {', '.join(missing)}: a WordPiece --vocab_file needs"
            " [PAD], [UNK], [CLS] and [SEP], a SentencePiece --spm_model_file <pad>, <unk>, [CLS]"
            " and [SEP]."
        )


class _CharacterTable(dict):
    """A table for str.translate that asks `replace(character)` once for every character it meets.

    Text then passes through in C, whatever `replace` costs. `replace` returns a str, "" to drop.
    """

    def __init__(self, replace):
        super().__init__()
        self._replace = replace

    def __missing__(self, code_point):
        replacement = self._replace(chr(code_point))
        self[code_point] = replacement
        return replacement


def _drop_combining(character):
    # Half a surrogate pair, which JSON can smuggle into a str, has no UTF-8 for SentencePiece.
    if unicodedata.category(character) == "Cs":
        return "\ufffd"
    return "" if unicodedata.combining(character) else character


def _clean_and_space_ideographs(character):
    # Tab and line ends are control characters too, but they separate words.
    if character in "\t\n\r":
        return " "
    if character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cf"):
        return ""
    if any(first <= ord(character) <= last for first, last in _CJK_IDEOGRAPHS):
        return f" {character} "
    return character


def _space_punctuation(character):
    # In ASCII also symbols such as $, + and ^ count as punctuation.
    is_ascii_symbol = "!" <= character <= "~" and not character.isalnum()
    if is_ascii_symbol or unicodedata.category(character).startswith("P"):
        return f" {character} "
    return character


def _strip_accents_and_space_punctuation(character):
    return "" if unicodedata.category(character) == "Mn" else _space_punctuation(character)


_DROP_COMBINING = _CharacterTable(_drop_combining)
_CLEAN_AND_SPACE_IDEOGRAPHS = _CharacterTable(_clean_and_space_ideographs)
_SPACE_PUNCTUATION = _CharacterTable(_space_punctuation)
_STRIP_ACCENTS_AND_SPACE_PUNCTUATION = _CharacterTable(_strip_accents_and_space_punctuation)
