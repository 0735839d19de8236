"""Tests of albert.pretraining.preparation: held-out text, configurations, vocabularies."""

import gzip
import json

import pytest
from sample_pretraining import text_of

from albert.common.errors import UsageError
from albert.modeling import AlbertConfig
from albert.pretraining import manifest, preparation

DOCUMENTS = [[f"Document {number} begins.", f"It ends, {number}."] for number in range(7)]


def split(tmp_path, every, *texts):
    """Returns the documents that are trained on, and those that are held out."""
    paths = [tmp_path / f"{number}.txt" for number in range(len(texts))]
    for path, text in zip(paths, texts):
        path.write_bytes(text)
    targets = [tmp_path / "train.txt", tmp_path / "dev.txt"]
    preparation.hold_out([str(path) for path in paths], *map(str, targets), every)
    found = [path.read_text(encoding="utf-8").strip().split("\n\n") for path in targets]
    return [[document.split("\n") for document in documents] for documents in found]


@pytest.mark.parametrize(("every", "held_out"), [(2, [0, 2, 4, 6]), (3, [0, 3, 6]), (50, [0])])
def test_of_so_many_documents_the_first_is_held_out(tmp_path, every, held_out):
    train, dev = split(tmp_path, every, text_of(DOCUMENTS).encode())
    assert dev == [DOCUMENTS[number] for number in held_out]
    assert train == [DOCUMENTS[n] for n in range(len(DOCUMENTS)) if n not in held_out]


def test_each_file_begins_a_document_and_may_be_compressed(tmp_path):
    first = b"\xef\xbb\xbf\n\n" + text_of(DOCUMENTS[:1]).strip().encode().replace(b"\n", b"\r\n")
    second = gzip.compress(text_of(DOCUMENTS[1:3]).encode())
    assert split(tmp_path, 2, first, second) == [DOCUMENTS[1:2], [DOCUMENTS[0], DOCUMENTS[2]]]


@pytest.mark.parametrize("text", [b"", b"\n\n", b"One.\nDocument.\n"])
def test_text_of_fewer_than_two_documents_is_refused_and_leaves_nothing(tmp_path, text):
    with pytest.raises(UsageError, match=r"holds [01] document\(s\), and none can be held out"):
        split(tmp_path, 2, text)
    assert [path.name for path in tmp_path.iterdir()] == ["0.txt"]


def test_all_documents_cannot_be_held_out(tmp_path):
    with pytest.raises(UsageError, match="held_out=1 must be 2 or more"):
        split(tmp_path, 1, b"One.\n\nTwo.")


@pytest.fixture
def data_set(tmp_path):
    """Returns the prefix of a data set of 321 pieces."""
    prefix = str(tmp_path / "train")
    empty = manifest.Manifest(
        manifest.path_of(prefix), manifest.SEQUENCES, True, 64, 321, {}, {}, None, [], ()
    )
    manifest.write(empty)
    return prefix


def config_of(data_set, size, changes=(None, None, None), max_seq_length=64):
    path = f"{data_set}.json"
    preparation.write_config(path, size, data_set, max_seq_length, changes)
    return AlbertConfig.from_json_file(path)


# ../shared/FACTS.md, section 1.
@pytest.mark.parametrize(
    ("size", "layers", "hidden", "heads", "inner"),
    [
        ("base", 12, 768, 12, 3072),
        ("large", 24, 1024, 16, 4096),
        ("xlarge", 24, 2048, 16, 8192),
        ("xxlarge", 12, 4096, 64, 16384),
    ],
)
def test_sizes_are_those_of_the_released_models(data_set, size, layers, hidden, heads, inner):
    config = config_of(data_set, size)
    assert (config.num_hidden_layers, config.hidden_size) == (layers, hidden)
    assert (config.num_attention_heads, config.intermediate_size) == (heads, inner)
    assert (config.vocab_size, config.embedding_size) == (321, 128)
    assert (config.max_position_embeddings, config.hidden_dropout_prob) == (512, 0)


def test_parts_of_a_size_can_be_changed_and_positions_suffice(data_set):
    config = config_of(data_set, "base", (2, 96, None), max_seq_length=1024)
    assert (config.num_hidden_layers, config.hidden_size) == (2, 96)
    assert (config.num_attention_heads, config.intermediate_size) == (12, 384)
    assert config.max_position_embeddings == 1024


def test_an_unknown_size_is_refused(data_set):
    with pytest.raises(UsageError, match="size=huge must be one of tiny, base, large, xlarge, xx"):
        config_of(data_set, "huge")


def test_the_vocabulary_gets_the_names_of_released_models(tmp_path, sentencepiece_model):
    preparation.install_vocabulary(str(sentencepiece_model), str(tmp_path))
    assert (tmp_path / "30k-clean.model").read_bytes() == sentencepiece_model.read_bytes()
    listed = (tmp_path / "30k-clean.vocab").read_text(encoding="utf-8")
    official = sentencepiece_model.with_suffix(".vocab").read_text(encoding="utf-8")
    names = [[line.split("\t")[0] for line in text.splitlines()] for text in (listed, official)]
    assert names[0] == names[1] and json.dumps(names[0][:2]) == '["<pad>", "<unk>"]'
