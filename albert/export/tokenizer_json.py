"""Writes tokenizer.json, from which Hugging Face tokenizers makes our ids without our code.

It says what albert.tokenization does, but for two things:

- A comma after a digit is a piece of its own for both. Here that is because pieces that end in
  both are never chosen, where `encode_pieces` splits them once they have been: inside a word it
  also leaves the mark of a word's start, which released models were trained with.
- Of a pair that is cut to an odd number of tokens, and whose texts are both longer than half of it,
  the second keeps one token more, and here the first.
"""

import base64
import re
import sys
from typing import Any, Callable, Dict, List

from albert.text import characters
from albert.tokenization import (
    SENTENCEPIECE_SPECIALS,
    SPIECE_UNDERLINE,
    WORDPIECE_SPECIALS,
    FullTokenizer,
    SpecialTokens,
    ends_in_digit_and_comma,
)

# The score of pieces that text must not become: below that of any way to spell them.
_NEVER = -1e5


def specials_of(tokenizer: FullTokenizer) -> SpecialTokens:
    """Returns the names of the special tokens of a vocabulary."""
    return WORDPIECE_SPECIALS if tokenizer.sp_model is None else SENTENCEPIECE_SPECIALS


def of(tokenizer: FullTokenizer) -> Dict[str, Any]:
    """Returns what tokenizer.json holds, for the release of tokenizers for Python 3.7 and later."""
    specials = specials_of(tokenizer)
    parts = _wordpiece(tokenizer) if tokenizer.sp_model is None else _sentencepiece(tokenizer)
    names = [name for name in specials if name in tokenizer.vocab]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": tokenizer.vocab[name],
                "content": name,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for name in sorted(names, key=lambda name: tokenizer.vocab[name])
        ],
        **parts,
        "post_processor": _packing(tokenizer, specials),
    }


def _packing(tokenizer, specials):
    """Returns what packs `[CLS] a [SEP]` and `[CLS] a [SEP] b [SEP]`."""

    def special(name, segment):
        return {"SpecialToken": {"id": name, "type_id": segment}}

    first = [special(specials.cls, 0), {"Sequence": {"id": "A", "type_id": 0}}]
    first.append(special(specials.sep, 0))
    second = [{"Sequence": {"id": "B", "type_id": 1}}, special(specials.sep, 1)]
    ids = {specials.cls: tokenizer.cls_id, specials.sep: tokenizer.sep_id}
    return {
        "type": "TemplateProcessing",
        "single": first,
        "pair": first + second,
        "special_tokens": {
            name: {"id": name, "ids": [number], "tokens": [name]} for name, number in ids.items()
        },
    }


def _wordpiece(tokenizer):
    return {
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,  # if it lower-cases
            "lowercase": tokenizer.do_lower_case,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": WORDPIECE_SPECIALS.unk,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": tokenizer.wordpiece_tokenizer.max_input_chars_per_word,
            "vocab": dict(tokenizer.vocab),
        },
    }


def _sentencepiece(tokenizer):
    model = _model_of(tokenizer)
    # Both spellings of "a word mark in front of the text": one is of old releases, one of new.
    marks = {"type": "Metaspace", "replacement": SPIECE_UNDERLINE, "add_prefix_space": True}
    marks["prepend_scheme"] = "always"
    return {
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(tokenizer, model)},
        "pre_tokenizer": {
            "type": "Sequence",
            # Splits at spaces first, so that they are not part of what a token stands for.
            "pretokenizers": [
                {"type": "WhitespaceSplit"},
                marks,
                _breaking(_unspoken(model)),
            ],
        },
        "decoder": marks,
        "model": {
            "type": "Unigram",
            "unk_id": tokenizer.unk_id,
            "vocab": _scored_pieces(model),
        },
    }


def _normalizers(tokenizer: FullTokenizer, model: Any) -> List[Dict[str, Any]]:
    """Returns what `preprocess_text` does to a text, and then SentencePiece."""
    spaces = _every(str.isspace)
    dropped = _every(lambda character: characters.DROP_COMBINING[ord(character)] == "")
    steps = [_replaced(f"[{spaces}]+", " "), _STRIP]
    steps += [{"type": "NFKD"}, _replaced(f"[{dropped}]", "")]
    if tokenizer.do_lower_case:
        steps.append({"type": "Lowercase"})
    table = model.normalizer_spec.precompiled_charsmap
    if table:
        text = base64.b64encode(table).decode("ascii")
        steps.append({"type": "Precompiled", "precompiled_charsmap": text})
    return [*steps, _replaced(" {2,}", " "), _STRIP]


_STRIP = {"type": "Strip", "strip_left": True, "strip_right": True}


def _unspoken(model: Any) -> List[str]:
    """Returns the pieces that stand for no text, such as <pad>."""
    return [row.piece for row in model.pieces if row.type in (row.CONTROL, row.UNKNOWN)]


def _breaking(names):
    """Returns what breaks these names after their first character, so that text cannot be them."""
    pattern = "|".join(f"{re.escape(name[0])}(?={re.escape(name[1:])})" for name in names)
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "MergedWithPrevious",
        "invert": False,
    }


def _replaced(pattern, content):
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


def _every(is_wanted: Callable[[str], bool]) -> str:
    """Returns the characters for which a function is true, as ranges of a regular expression."""
    points = [p for p in range(sys.maxunicode + 1) if not 0xD800 <= p < 0xE000]
    wanted = [point for point in points if is_wanted(chr(point))]
    ranges: List[List[int]] = []
    for point in wanted:
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return "".join(f"\\x{{{first:X}}}-\\x{{{last:X}}}" for first, last in ranges)


def _model_of(tokenizer):
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(tokenizer.sp_model.serialized_model_proto())
    return model


def _scored_pieces(model: Any) -> List[List[Any]]:
    """Returns [piece, score] for each id."""
    return [[row.piece, _NEVER if _is_never_chosen(row) else row.score] for row in model.pieces]


def _is_never_chosen(row):
    return row.type == row.UNUSED or ends_in_digit_and_comma(row.piece)
