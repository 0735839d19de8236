"""Fixtures of the tests of pre-training."""

import pytest

from albert.tokenization import FullTokenizer


@pytest.fixture(scope="session")
def tokenizer_of_fifty(tmp_path_factory):
    """Returns a WordPiece tokenizer of 50 tokens, as many as the tiny model has."""
    path = tmp_path_factory.mktemp("fifty") / "vocab.txt"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{n}" for n in range(45))]
    path.write_text("\n".join(words) + "\n", encoding="utf-8")
    return FullTokenizer(str(path))
