"""Tests of albert.tokenization."""

import functools
import hashlib
import io
import json
import pathlib
import subprocess
import sys

import pytest
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from albert import tokenization
from albert.common.errors import UsageError

SPECIAL_TEXTS = ["[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "<pad>", "<unk>"]

WORDPIECE_TOKENS = [
    *["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],  # 0-4
    *["un", "##aff", "##able", "the", "."],  # 5-9
    *["你", "好", "cafe", "[", "]"],  # 10-14
    *["cls", "pad", "##s", "sep", "CLS"],  # 15-19
]

# Any text, with many of the fragments that get special treatment.
texts = st.lists(
    st.text(max_size=6)
    | st.sampled_from(SPECIAL_TEXTS)
    | st.sampled_from(["2015,", "1,000,", "²,", "▁", " ", "hello ", "\ud83d", "你好", "e\u0301"]),
    max_size=8,
).map("".join)

light = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class StubSpModel:
    """Replaces a SentencePieceProcessor by a table from text to pieces."""

    def __init__(self, pieces):
        self._pieces = pieces

    def EncodeAsPieces(self, text):
        return list(self._pieces[text])

    def PieceToId(self, pieces):
        return [100 + len(piece) for piece in pieces]


class StubTokenizer:
    cls_id = 2
    sep_id = 3


@functools.lru_cache(maxsize=None)
def load_tokenizer(spm_model_file, do_lower_case):
    return tokenization.FullTokenizer(None, do_lower_case, spm_model_file)


@pytest.fixture
def english(shared_data):
    """Returns the tokenizer of the official English checkpoints."""
    return load_tokenizer(str(shared_data / "spm" / "30k-clean.model"), True)


@pytest.fixture
def english_cased(shared_data):
    return load_tokenizer(str(shared_data / "spm" / "30k-clean.model"), False)


@pytest.fixture
def oracle(shared_data):
    """Returns the lines of tokenization.jsonl: the output of the original on 312 texts."""
    with open(shared_data / "oracle" / "tokenization.jsonl", encoding="utf-8") as reader:
        return [json.loads(line) for line in reader]


def train_spm(path, **special_symbols):
    """Writes a SentencePiece model of about 50 pieces."""
    sentences = ["hello world, it was 2015, or 12, or 1,000,"] * 20
    sentences += ["the quick brown fox jumps over the lazy dog"] * 20
    model = io.BytesIO()
    tiny.train_sentencepiece(sentences, model_writer=model, **special_symbols)
    path.write_bytes(model.getvalue())
    return str(path)


@pytest.fixture(scope="module")
def control_symbols_tokenizer(tmp_path_factory):
    """Returns a tokenizer whose special tokens are control symbols, as in the official models."""
    path = tmp_path_factory.mktemp("spm") / "control.model"
    spm_model_file = train_spm(path, control_symbols=["[CLS]", "[SEP]", "[MASK]"])
    return tokenization.FullTokenizer(None, True, spm_model_file)


@pytest.fixture(scope="module")
def user_symbols_tokenizer(tmp_path_factory):
    """Returns a tokenizer whose SentencePiece model finds "[CLS]" in text."""
    path = tmp_path_factory.mktemp("spm") / "user.model"
    spm_model_file = train_spm(path, user_defined_symbols=["[CLS]", "[SEP]", "[MASK]"])
    return tokenization.FullTokenizer(None, False, spm_model_file)


def write_vocab(path, tokens):
    path.write_bytes("".join(f"{token}\n" for token in tokens).encode("utf-8"))
    return str(path)


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory):
    path = tmp_path_factory.mktemp("wordpiece") / "vocab.txt"
    return tokenization.FullTokenizer(write_vocab(path, WORDPIECE_TOKENS))


@pytest.fixture(scope="module")
def wordpiece_cased(tmp_path_factory):
    path = tmp_path_factory.mktemp("wordpiece") / "vocab.txt"
    return tokenization.FullTokenizer(write_vocab(path, WORDPIECE_TOKENS), do_lower_case=False)


def usage_error_of(*args, **kwargs):
    """Returns the one-line message with which FullTokenizer refuses these arguments."""
    with pytest.raises(UsageError) as caught:
        tokenization.FullTokenizer(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


# The oracle


def test_preprocessing_agrees_with_the_original(oracle):
    ours = [tokenization.preprocess_text(line["text"], lower=True) for line in oracle]
    assert ours == [line["preprocessed"] for line in oracle]


def test_encode_agrees_with_the_original(english, oracle):
    assert [english.encode(line["text"]) for line in oracle] == [line["ids"] for line in oracle]


def test_encode_batch_agrees_with_the_original(english, oracle):
    ours = english.encode_batch([line["text"] for line in oracle])
    assert ours == [line["ids"] for line in oracle]


def test_encode_ids_agrees_with_the_original(english, oracle):
    ours = [tokenization.encode_ids(english.sp_model, line["preprocessed"]) for line in oracle]
    assert ours == [line["ids"] for line in oracle]


def test_tokens_and_their_ids_agree_with_the_original(english, oracle):
    ours = [english.convert_tokens_to_ids(english.tokenize(line["text"])) for line in oracle]
    assert ours == [line["ids"] for line in oracle]


# Text for SentencePiece


def test_white_space_is_stripped_and_collapsed():
    assert tokenization.preprocess_text(" a\t\n b\u00a0\u3000c ") == "a b c"


def test_white_space_stays_when_asked():
    assert tokenization.preprocess_text(" a  b ", remove_space=False) == " a  b "


def test_accents_are_dropped_and_compatibility_characters_decomposed():
    assert tokenization.preprocess_text("Café ﬁne … e\u0301") == "Cafe fine ... e"


def test_case_is_kept_unless_asked():
    assert tokenization.preprocess_text("İstanbul") == "Istanbul"
    assert tokenization.preprocess_text("İstanbul", lower=True) == "istanbul"


def test_a_lone_surrogate_becomes_the_replacement_character():
    assert tokenization.preprocess_text("a\ud83db") == "a\ufffdb"


@pytest.mark.parametrize("text", ["''quoted``", "1⁄2", "ß", "ς"])
def test_quotes_and_characters_without_decomposition_stay(text):
    assert tokenization.preprocess_text(text) == text


# Pieces and the comma


def test_comma_after_a_digit_is_a_piece_of_its_own():
    sp_model = StubSpModel({"in 2015, so": ["▁in", "▁2015,", "▁so"], "2015": ["▁2015"]})
    pieces = tokenization.encode_pieces(sp_model, "in 2015, so")
    assert pieces == ["▁in", "▁2015", ",", "▁so"]


def test_repaired_piece_inside_a_word_keeps_its_word_mark():
    sp_model = StubSpModel({"b12,": ["▁b", "12,"], "12": ["▁1", "2"]})
    assert tokenization.encode_pieces(sp_model, "b12,") == ["▁b", "▁1", "2", ","]


@pytest.mark.parametrize("piece", [",", "▁,", "▁a,", "2,0", "▁2"])
def test_other_pieces_do_not_change(piece):
    assert tokenization.encode_pieces(StubSpModel({"text": [piece]}), "text") == [piece]


def test_encode_ids_are_the_ids_of_the_pieces():
    sp_model = StubSpModel({"b12,": ["▁b", "12,"], "12": ["▁1", "2"]})
    assert tokenization.encode_ids(sp_model, "b12,") == [102, 102, 101, 101]


def test_sampled_pieces_spell_the_text(control_symbols_tokenizer):
    sp_model = control_symbols_tokenizer.sp_model
    samples = {
        tuple(tokenization.encode_pieces(sp_model, "hello world", sample=True)) for _ in range(50)
    }
    assert len(samples) > 1
    assert {"".join(pieces) for pieces in samples} == {"▁hello▁world"}


# FullTokenizer on SentencePiece


def test_official_special_ids_are_known(english):
    ids = (english.pad_id, english.unk_id, english.cls_id, english.sep_id, english.mask_id)
    assert ids == (0, 1, 2, 3, 4)


def test_official_vocabulary_has_30000_tokens(english):
    assert english.vocab_size == len(english.vocab) == 30000


def test_special_token_strings_convert_to_their_ids(english):
    tokens = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "not a piece"]
    assert english.convert_tokens_to_ids(tokens) == [0, 1, 2, 3, 4, 1]


def test_ids_convert_to_tokens(english):
    assert english.convert_ids_to_tokens([2, 14, 15, 3]) == ["[CLS]", "▁the", ",", "[SEP]"]


def test_special_tokens_in_cased_text_are_text(english_cased):
    # Ids read off the official vocabulary: "▁[" 636, "]" 500; "CLS" and "SEP" are not in it.
    ids = english_cased.encode("[CLS] hello [SEP]")
    assert ids == [636, 1, 500, 10975, 636, 1, 500]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Returns the paths of a SentencePiece model of words and of its vocabulary file."""
    folder = tmp_path_factory.mktemp("trained")
    tiny.write_vocabulary(folder, ["hello", "world"])
    return str(folder / "30k-clean.model"), str(folder / "30k-clean.vocab")


def test_vocab_file_of_the_sentencepiece_model_is_not_remarked_on(trained, caplog):
    model, vocab_file = trained
    assert tokenization.FullTokenizer(vocab_file, spm_model_file=model).vocab["[CLS]"] == 2
    assert not caplog.records


@pytest.mark.parametrize(
    "changes, remark",
    [
        ({"[SEP]": "[sep]"}, "13 tokens, not 13, and 1 differ, such as '[sep]'."),
        ({"[CLS]\t0\n": ""}, "12 tokens, not 13, and 10 differ, such as '[SEP]'."),
        ({"<pad>": "\udce9"}, "vocab.txt is not UTF-8 text: byte 0 (line 1) is 0xe9."),
        (None, "vocab.txt: No such file or directory."),
    ],
)
def test_vocab_file_of_another_sentencepiece_model_is_warned_of_and_not_used(
    trained, tmp_path, caplog, changes, remark
):
    model, vocab_file = trained
    path = tmp_path / "vocab.txt"
    if changes is not None:
        text = pathlib.Path(vocab_file).read_text(encoding="utf-8")
        assert len(text.splitlines()) == 13
        ((old, new),) = changes.items()
        path.write_bytes(text.replace(old, new).encode("utf-8", "surrogateescape"))
    tokenizer = tokenization.FullTokenizer(str(path), spm_model_file=model)
    assert tokenizer.vocab_size == 13
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith(f"The vocabulary in {model} is used instead")
    assert remark in message and str(path) in message and "\n" not in message


def test_special_token_that_the_model_finds_in_text_becomes_unknown(user_symbols_tokenizer):
    found = user_symbols_tokenizer.sp_model.EncodeAsIds("[CLS]")
    assert user_symbols_tokenizer.cls_id == 2 and 2 in found  # otherwise this test proves nothing
    cleaned = [1 if index == 2 else index for index in found]
    assert user_symbols_tokenizer.encode("[CLS]") == cleaned
    assert user_symbols_tokenizer.encode_batch(["[CLS]"]) == [cleaned]


def test_empty_batch_and_empty_text_give_nothing(control_symbols_tokenizer):
    assert control_symbols_tokenizer.encode_batch([]) == []
    assert control_symbols_tokenizer.encode_batch(["", " \n"]) == [[], []]


@light
@given(st.lists(texts, max_size=4))
def test_encoding_a_batch_agrees_with_encoding_one_by_one(
    control_symbols_tokenizer, user_symbols_tokenizer, batch
):
    for tokenizer in (control_symbols_tokenizer, user_symbols_tokenizer):
        assert tokenizer.encode_batch(batch) == [tokenizer.encode(text) for text in batch]


@light
@given(texts)
def test_encode_agrees_with_the_repaired_pieces(english, english_cased, text):
    for tokenizer in (english, english_cased):
        assert tokenizer.encode(text) == tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))


@light
@given(texts)
def test_text_never_gives_special_ids(control_symbols_tokenizer, user_symbols_tokenizer, text):
    for tokenizer in (control_symbols_tokenizer, user_symbols_tokenizer):
        assert not {0, 2, 3, 4} & set(tokenizer.encode(text))


@light
@given(texts)
def test_text_never_gives_special_ids_of_the_official_model(english, english_cased, text):
    for tokenizer in (english, english_cased):
        assert not {0, 2, 3, 4} & set(tokenizer.encode(text))


# FullTokenizer on WordPiece


def test_wordpiece_encodes_words_and_ideographs(wordpiece):
    assert wordpiece.tokenize("The unaffables你好.") == [
        *["the", "un", "##aff", "##able", "##s", "你", "好", "."]
    ]
    assert wordpiece.encode("The unaffables你好.") == [8, 5, 6, 7, 17, 10, 11, 9]


def test_wordpiece_special_ids_are_looked_up_by_name(tmp_path):
    tokens = ["[MASK]", "a", "[SEP]", "[UNK]", "[PAD]", "[CLS]"]
    tokenizer = tokenization.FullTokenizer(write_vocab(tmp_path / "vocab.txt", tokens))
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id) == (4, 3, 5)
    assert (tokenizer.sep_id, tokenizer.mask_id, tokenizer.vocab_size) == (2, 0, 6)


def test_wordpiece_vocabulary_may_lack_the_mask(tmp_path):
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer = tokenization.FullTokenizer(write_vocab(tmp_path / "vocab.txt", tokens))
    assert tokenizer.mask_id is None


def test_wordpiece_special_tokens_in_text_are_text(wordpiece_cased):
    assert wordpiece_cased.encode("[CLS] pad[SEP]") == [13, 19, 14, 16, 13, 1, 14]


def test_wordpiece_special_token_strings_convert_to_their_ids(wordpiece):
    assert wordpiece.convert_tokens_to_ids(["[CLS]", "你", "[SEP]", "absent"]) == [2, 10, 3, 1]


def test_wordpiece_keeps_case_when_asked(wordpiece_cased):
    assert wordpiece_cased.encode("the The") == [8, 1]


def test_ids_count_lines_even_after_a_repeated_token(tmp_path):
    tokens = ["[PAD]", "a", "[UNK]", "a", "[CLS]", "[SEP]"]
    tokenizer = tokenization.FullTokenizer(write_vocab(tmp_path / "vocab.txt", tokens))
    assert tokenizer.encode("a") == [3]
    assert (tokenizer.sep_id, tokenizer.vocab_size) == (5, 6)


@light
@given(st.lists(texts, max_size=4))
def test_encoding_a_wordpiece_batch_agrees_with_encoding_one_by_one(wordpiece, batch):
    assert wordpiece.encode_batch(batch) == [wordpiece.encode(text) for text in batch]


@light
@given(texts)
def test_text_never_gives_special_ids_of_wordpiece(wordpiece, wordpiece_cased, text):
    for tokenizer in (wordpiece, wordpiece_cased):
        assert not {0, 2, 3, 4} & set(tokenizer.encode(text))


# BasicTokenizer and WordpieceTokenizer


@pytest.mark.parametrize(
    "text, words",
    [
        ("  Hello,\tWORLD!\n", ["hello", ",", "world", "!"]),
        ("Café Ünïted", ["cafe", "united"]),
        ("ah博推zz", ["ah", "博", "推", "zz"]),
        ("a$b^c`d~e", ["a", "$", "b", "^", "c", "`", "d", "~", "e"]),
        ("“don’t”—go。", ["“", "don", "’", "t", "”", "—", "go", "。"]),
        ("a\x00b\ufffdc\u200bd\x7fe", ["abcde"]),
        ("a\u00a0b\u3000c\rd\u2028e", ["a", "b", "c", "d", "e"]),
        ("what\u037e", ["what", ";"]),  # the Greek question mark decomposes to a semicolon
        ("2€ ©", ["2€", "©"]),  # symbols outside ASCII are not punctuation
        ("", []),
    ],
)
def test_basic_tokenizer_splits_and_lower_cases_words(text, words):
    assert tokenization.BasicTokenizer().tokenize(text) == words


def test_basic_tokenizer_keeps_case_and_accents_when_asked():
    words = tokenization.BasicTokenizer(do_lower_case=False).tokenize("Café, DÉJÀ博")
    assert words == ["Café", ",", "DÉJÀ", "博"]


@pytest.mark.parametrize("ideograph", ["\u3400", "\uf900", "\U00020000", "\U0002f800"])
def test_basic_tokenizer_spaces_rare_ideographs_but_not_kana_or_hangul(ideograph):
    words = tokenization.BasicTokenizer(do_lower_case=False).tokenize(f"かな{ideograph}한국")
    assert words == ["かな", ideograph, "한국"]


@pytest.mark.parametrize(
    "text, pieces",
    [
        ("unaffable the", ["un", "##aff", "##able", "the"]),
        ("unaffablex the", ["[UNK]", "the"]),
        ("aff", ["[UNK]"]),  # known only as a continuation
        ("", []),
    ],
)
def test_wordpiece_takes_the_longest_known_piece(text, pieces):
    tokenizer = tokenization.WordpieceTokenizer({"un", "u", "##aff", "##a", "##able", "the"})
    assert tokenizer.tokenize(text) == pieces


def test_a_word_that_is_too_long_is_unknown():
    tokenizer = tokenization.WordpieceTokenizer({"a", "##a"}, "<unk>", max_input_chars_per_word=3)
    assert tokenizer.tokenize("aaa aaaa") == ["a", "##a", "##a", "<unk>"]


# Vocabulary files


def test_vocabulary_lines_may_carry_scores(tmp_path):
    path = write_vocab(tmp_path / "vocab.txt", ["<pad>\t0", "▁the\t-3.07", "a b\t-4"])
    assert list(tokenization.load_vocab(path).items()) == [("<pad>", 0), ("▁the", 1), ("a b", 2)]


def test_vocabulary_lines_end_only_at_line_feeds(tmp_path):
    path = write_vocab(tmp_path / "vocab.txt", ["a", "\u2028", "\u0085", "b\rb", "\x0c", "c"])
    vocab = tokenization.load_vocab(path)
    assert (vocab["\u2028"], vocab["\u0085"], vocab["c"]) == (1, 2, 5)


def test_vocabulary_may_have_windows_line_ends_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"\xef\xbb\xbf[PAD]\r\nthe\r\n")
    assert dict(tokenization.load_vocab(str(path))) == {"[PAD]": 0, "the": 1}


def test_official_vocabulary_file_agrees_with_the_model(shared_data, english):
    vocab = tokenization.load_vocab(str(shared_data / "spm" / "30k-clean.vocab"))
    assert vocab == english.vocab


# User errors


def test_no_file_at_all_is_refused():
    assert "spm_model_file" in usage_error_of(None) and "vocab_file" in usage_error_of("")


def test_missing_vocab_file_is_refused(tmp_path):
    path = str(tmp_path / "absent.txt")
    assert f"vocab_file={path}: No such file" in usage_error_of(path)


def test_missing_spm_model_file_is_refused(tmp_path):
    path = str(tmp_path / "absent.model")
    message = usage_error_of(None, spm_model_file=path)
    assert f"spm_model_file={path}: No such file" in message


def test_folder_instead_of_a_file_is_refused(tmp_path):
    assert "directory" in usage_error_of(str(tmp_path))
    assert "directory" in usage_error_of(None, spm_model_file=str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"no model", b"\x00" * 64, b"\n\x00"])
def test_file_that_is_not_a_sentencepiece_model_is_refused(tmp_path, content):
    path = tmp_path / "bad.model"
    path.write_bytes(content)
    message = usage_error_of(None, spm_model_file=str(path))
    assert f"spm_model_file={path} is not a SentencePiece model" in message


def test_truncated_sentencepiece_model_is_refused(shared_data, tmp_path):
    path = tmp_path / "short.model"
    path.write_bytes((shared_data / "spm" / "30k-clean.model").read_bytes()[:300000])
    assert "is not a SentencePiece model" in usage_error_of(None, spm_model_file=str(path))


@pytest.mark.parametrize("piece", [b"\x00]", b"\xff]"])
def test_sentencepiece_model_with_a_piece_that_is_not_text_is_refused(tmp_path, piece):
    path = tmp_path / "bad.model"
    train_spm(path, user_defined_symbols=["[CLS]", "[SEP]", "[MASK]", "[]"])
    damaged = path.read_bytes().replace(b"[]", piece)
    assert len(damaged) == path.stat().st_size
    path.write_bytes(damaged)
    # SentencePiece 0.2.0 aborts the process at the first, and gives a UnicodeDecodeError later for
    # the second.
    message = usage_error_of(None, spm_model_file=str(path))
    assert f"spm_model_file={path} is damaged: its piece 5 is not UTF-8 text." in message


def test_official_sentencepiece_model_with_any_flipped_byte_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "official.model"
    train_spm(path, control_symbols=["[CLS]", "[SEP]", "[MASK]"])
    official = path.read_bytes()
    digest = hashlib.sha256(official).hexdigest()
    monkeypatch.setattr(tokenization, "OFFICIAL_SIZE", len(official))
    monkeypatch.setattr(tokenization, "OFFICIAL_SHA256", digest)
    tokenization.FullTokenizer(None, spm_model_file=str(path))
    place = official.index(b"[CLS]") + 5 + 4  # in the score of [CLS]
    path.write_bytes(official[:place] + bytes([official[place] ^ 1]) + official[place + 1 :])
    message = usage_error_of(None, spm_model_file=str(path))
    assert f"{path} is damaged: it is as large as ALBERT's, but its SHA-256 is not" in message


def test_sentencepiece_model_without_the_special_tokens_is_refused(tmp_path):
    path = train_spm(tmp_path / "plain.model")
    message = usage_error_of(None, spm_model_file=path)
    assert f"spm_model_file={path} lacks [CLS], [SEP]:" in message


@pytest.mark.parametrize("token", ["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
def test_wordpiece_vocabulary_without_a_special_token_is_refused(tmp_path, token):
    path = write_vocab(tmp_path / "vocab.txt", [t for t in WORDPIECE_TOKENS if t != token])
    assert f"vocab_file={path} lacks {token}:" in usage_error_of(path)


def test_vocabulary_that_is_not_utf8_is_refused(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes("[PAD]\ncafé\n".encode("latin-1"))
    message = usage_error_of(str(path))
    assert f"vocab_file={path} is not UTF-8 text: byte 9 (line 2) is 0xe9." in message
    assert "It looks like Latin-1" in message
    path.write_bytes("[PAD]\ncafé\n".encode("utf-16"))
    assert "It looks like UTF-16" in usage_error_of(str(path))


def test_max_seq_length_that_is_too_small_is_refused():
    with pytest.raises(UsageError, match="max_seq_length=2 "):
        tokenization.build_sequence(StubTokenizer, [10], [20], max_seq_length=2)


# Packed sequences


def test_single_sequence_is_packed():
    packed = tokenization.build_sequence(StubTokenizer, [10, 11], None, 8)
    assert packed == ([2, 10, 11, 3], [0, 0, 0, 0])


def test_pair_is_packed():
    packed = tokenization.build_sequence(StubTokenizer, [10, 11], [20], 8)
    assert (packed.input_ids, packed.segment_ids) == ([2, 10, 11, 3, 20, 3], [0, 0, 0, 0, 1, 1])


def test_empty_second_text_means_a_single_sequence():
    assert tokenization.build_sequence(StubTokenizer, [10], [], 8) == ([2, 10, 3], [0, 0, 0])


def test_long_single_sequence_loses_its_end():
    packed = tokenization.build_sequence(StubTokenizer, [10, 11, 12], None, 4)
    assert packed.input_ids == [2, 10, 11, 3]


def test_longer_of_a_pair_is_cut():
    packed = tokenization.build_sequence(StubTokenizer, [10, 11, 12, 13], [20, 21], 8)
    assert packed.input_ids == [2, 10, 11, 12, 3, 20, 21, 3]


def test_second_of_an_equal_pair_is_cut_first():
    packed = tokenization.build_sequence(StubTokenizer, [10, 11], [20, 21], 6)
    assert packed.input_ids == [2, 10, 11, 3, 20, 3]


@light
@given(st.integers(0, 30), st.integers(1, 30), st.integers(3, 40))
def test_pair_is_cut_as_if_one_token_at_a_time(num_a, num_b, max_seq_length):
    ids_a, ids_b = list(range(100, 100 + num_a)), list(range(200, 200 + num_b))
    packed = tokenization.build_sequence(StubTokenizer, ids_a, ids_b, max_seq_length)
    while len(ids_a) + len(ids_b) > max_seq_length - 3:
        longer = ids_a if len(ids_a) > len(ids_b) else ids_b
        longer.pop()
    assert packed.input_ids == [2] + ids_a + [3] + ids_b + [3]
    assert packed.segment_ids == [0] * (len(ids_a) + 2) + [1] * (len(ids_b) + 1)


@light
@given(st.integers(0, 30), st.integers(0, 30), st.integers(3, 40))
def test_packed_length_never_exceeds_the_maximum(num_a, num_b, max_seq_length):
    packed = tokenization.build_sequence(StubTokenizer, [9] * num_a, [9] * num_b, max_seq_length)
    num_specials = 3 if num_b else 2
    assert len(packed.input_ids) == min(max_seq_length, num_a + num_b + num_specials)
    assert len(packed.segment_ids) == len(packed.input_ids)


# Imports


def test_import_loads_neither_tensorflow_nor_sentencepiece():
    code = (
        "import sys, albert.tokenization\n"
        "print([name for name in ('tensorflow', 'sentencepiece') if name in sys.modules])"
    )
    output = subprocess.check_output([sys.executable, "-c", code], universal_newlines=True)
    assert output.strip() == "[]"
