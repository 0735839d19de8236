"""Where words start: a table over the vocabulary, by the rules of google-research/albert."""

import string
from typing import Any

import numpy as np

from albert import tokenization

# Of ASCII punctuation, the original leaves these out: a piece with one of them starts a word.
_NO_PUNCTUATION = set("'<=>")
_PUNCTUATION = set(string.punctuation) - _NO_PUNCTUATION
_INSIDE_WORDS = _PUNCTUATION | set(string.ascii_lowercase)


def starts_table(tokenizer: tokenization.FullTokenizer) -> Any:
    """Returns for each id whether its token starts a word: bool [vocab_size].

    - A WordPiece token starts one unless it begins with "##".
    - A SentencePiece token starts one if it begins with the word mark or "<", is one punctuation
      mark, or has a character other than a letter from a to z and punctuation.
    - [CLS] and [SEP] count as words.
    """
    starts = _starts_sentencepiece if tokenizer.sp_model is not None else _starts_wordpiece
    table = np.zeros(tokenizer.vocab_size, bool)
    for token, index in tokenizer.vocab.items():
        table[index] = starts(token)
    table[[tokenizer.cls_id, tokenizer.sep_id]] = True
    return table


def _starts_wordpiece(token: str) -> bool:
    return not token.startswith("##")


def _starts_sentencepiece(token: str) -> bool:
    if token.startswith((tokenization.SPIECE_UNDERLINE, "<")) or token in _PUNCTUATION:
        return True
    return not _INSIDE_WORDS.issuperset(token.lower())
