"""Tests of albert.pretraining.shards: what is in the files."""

import collections
import os
import zlib

import numpy as np
import pytest
import sample_pretraining
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from albert.pretraining import masking, segments, shards

PAIRS = segments.PairSettings(max_seq_length=32, short_seq_prob=0.1)
MASKS = masking.MaskSettings(max_predictions=6)
TEXT = "super singing\nsing super\n\nabc, abc!\nx\ny z\n\nsuper"


def make(folder, tokenizer, text, pairs=PAIRS, static_masks=None, number=0):
    """Returns (Shard, examples) of a text."""
    recipe = shards.Recipe(tokenizer, pairs, static_masks)
    source = shards.Source(number, text, str(folder / "P-00000.tf_record"), None)
    made = shards.make(recipe, source)
    examples = sample_pretraining.examples_in(made.temporary)
    os.replace(made.temporary, source.path)
    return made.shard, examples


def pieces_of(example, cls_id, sep_id):
    """Returns the ids of A and of B in a plain example."""
    ids = example["input_ids"]
    first_sep = example["segment_ids"].index(1) - 1
    assert (ids[0], ids[first_sep], ids[-1]) == (cls_id, sep_id, sep_id)
    return ids[1:first_sep], ids[first_sep + 1 : -1]


def test_plain_sequences_have_no_padding_and_five_features(tmp_path, wordpiece):
    shard, examples = make(tmp_path, wordpiece, TEXT, number=3)
    for place, example in enumerate(examples):
        a, b = pieces_of(example, wordpiece.cls_id, wordpiece.sep_id)
        assert example["segment_ids"] == [0] * (len(a) + 2) + [1] * (len(b) + 1)
        tokens = wordpiece.convert_ids_to_tokens(example["input_ids"])
        assert example["token_boundary"] == [int(not token.startswith("##")) for token in tokens]
        assert example["next_sentence_labels"] in ([0], [1])
        assert example["sequence_id"] == [3 * 2**32 + place]
        assert len(example) == 5
    assert shard.num_sequences == len(examples)
    assert shard.num_tokens == sum(len(example["input_ids"]) for example in examples)


def test_a_shard_counts_what_is_in_its_text_and_file(tmp_path, wordpiece):
    shard, _ = make(tmp_path, wordpiece, TEXT + "\n\u200b\n\nsuper\nsing")
    content = (tmp_path / "P-00000.tf_record").read_bytes()
    assert (shard.num_documents, shard.num_sentences, shard.num_dropped_sentences) == (4, 9, 1)
    assert (shard.num_bytes, shard.crc32) == (len(content), zlib.crc32(content))


def test_a_document_without_tokens_is_none(tmp_path, wordpiece):
    for text in ("\u200b\n\nsuper\nsing", "super\nsing\n\n\u200b", "super\n\u200b\nsing"):
        _, (example,) = make(tmp_path, wordpiece, text)
        assert {
            tuple(piece) for piece in pieces_of(example, wordpiece.cls_id, wordpiece.sep_id)
        } == {
            tuple(wordpiece.encode("super")),
            tuple(wordpiece.encode("sing")),
        }
    assert make(tmp_path, wordpiece, "\u200b")[0].num_sequences == 0


def test_what_is_there_already_is_not_made_again(tmp_path, wordpiece):
    shard, _ = make(tmp_path, wordpiece, TEXT)
    recipe = shards.Recipe(wordpiece, PAIRS, None)
    path = str(tmp_path / "P-00000.tf_record")
    assert shards.make(recipe, shards.Source(0, TEXT, path, shard)) == (shard, None)
    assert shards.make(recipe, shards.Source(0, TEXT + "x", path, shard)).temporary
    with open(path, "r+b") as writer:
        writer.seek(40)
        writer.write(b"~")
    assert shards.make(recipe, shards.Source(0, TEXT, path, shard)).temporary
    os.truncate(path, 10)
    assert shards.make(recipe, shards.Source(0, TEXT, path, shard)).temporary
    os.remove(path)
    assert shards.make(recipe, shards.Source(0, TEXT, path, shard)).temporary


def test_text_that_spells_special_tokens_gives_none(tmp_path, tokenizer):
    text = "[MASK] [CLS] a\n<pad> [SEP] [PAD]\n[UNK] <unk> b"
    _, examples = make(tmp_path, tokenizer, text)
    specials = {tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id}
    for example in examples:
        a, b = pieces_of(example, tokenizer.cls_id, tokenizer.sep_id)
        assert not specials.intersection(a + b)


def test_every_sentence_of_a_real_corpus_is_in_a_sequence(
    tmp_path, shared_data, official_sentencepiece
):
    documents = sample_pretraining.squad_documents(shared_data, 6)
    # No pair is cut where the longest sentence after a full sequence would fit, too.
    pairs = segments.PairSettings(max_seq_length=2000, short_seq_prob=1.0)
    text = sample_pretraining.text_of(documents).strip("\n")
    shard, examples = make(tmp_path, official_sentencepiece, text, pairs)
    assert shard.num_documents == 6 and shard.num_dropped_sentences == 0
    specials = official_sentencepiece.cls_id, official_sentencepiece.sep_id
    found = collections.Counter()
    for example in examples:
        a, b = pieces_of(example, *specials)
        if example["next_sentence_labels"] == [1]:
            a, b = b, a
        assert len(a) + len(b) < 1997
        found.update(a + b)
    whole = collections.Counter(
        token
        for document in documents
        for sentence in document
        for token in official_sentencepiece.encode(sentence)
    )
    # Only random B of the last sentences of documents are there twice.
    assert not whole - found
    assert sum((found - whole).values()) < 0.05 * sum(whole.values())


def test_half_of_real_pairs_are_swapped_and_a_tenth_short(
    tmp_path, shared_data, official_sentencepiece
):
    text = sample_pretraining.text_of(sample_pretraining.squad_documents(shared_data))
    pairs = segments.PairSettings(max_seq_length=128)
    shard, examples = make(tmp_path, official_sentencepiece, text.strip("\n"), pairs)
    labels = [example["next_sentence_labels"][0] for example in examples]
    assert np.mean(labels) == pytest.approx(0.5, abs=0.05)
    lengths = np.array([len(example["input_ids"]) for example in examples])
    assert lengths.max() == 128
    # Sentences have 33 tokens or so: a short target is passed by that, and often is 128 then.
    assert 0.04 < np.mean(lengths < 120) < 0.12
    assert shard.num_sequences > 1000


def masked_shard(folder, tokenizer, text, max_seq_length=128, dupe_factor=2, max_predictions=20):
    static = shards.StaticMasks(dupe_factor, MASKS._replace(max_predictions=max_predictions))
    pairs = segments.PairSettings(max_seq_length=max_seq_length)
    return make(folder, tokenizer, text, pairs, static)


def test_static_masks_have_the_layout_of_the_original(tmp_path, wordpiece):
    shard, examples = masked_shard(tmp_path, wordpiece, TEXT, 24, dupe_factor=3, max_predictions=5)
    assert len(examples) == shard.num_sequences >= 9
    for example in examples:
        sizes = {name: len(values) for name, values in example.items()}
        assert sizes == {
            **dict.fromkeys(("input_ids", "input_mask", "segment_ids", "token_boundary"), 24),
            **dict.fromkeys(("masked_lm_positions", "masked_lm_ids", "masked_lm_weights"), 5),
            "next_sentence_labels": 1,
        }
        num_tokens = sum(example["input_mask"])
        assert example["input_mask"] == [1] * num_tokens + [0] * (24 - num_tokens)
        for name in ("input_ids", "segment_ids", "token_boundary"):
            assert example[name][num_tokens:] == [0] * (24 - num_tokens)
        num_masked = int(sum(example["masked_lm_weights"]))
        assert 1 <= num_masked <= min(5, max(1, round(0.15 * num_tokens)))
        assert example["masked_lm_weights"] == [1.0] * num_masked + [0.0] * (5 - num_masked)
        for name in ("masked_lm_positions", "masked_lm_ids"):
            assert example[name][num_masked:] == [0] * (5 - num_masked)
        positions = example["masked_lm_positions"][:num_masked]
        assert positions == sorted(set(positions)) and positions[-1] < num_tokens - 1


def unmasked(example):
    """Returns the ids of an example before they were masked, without padding."""
    ids = example["input_ids"][: sum(example["input_mask"])]
    for position, index, weight in zip(
        *(example[f"masked_lm_{name}"] for name in ("positions", "ids", "weights"))
    ):
        if weight:
            ids[position] = index
    return ids


def test_passes_over_a_shard_differ_in_sequences_and_masks(tmp_path, wordpiece):
    text = "\n".join(["abc def ghi jkl"] * 3 + ["mno pqr stu"] * 4)
    _, examples = masked_shard(tmp_path, wordpiece, text, 128, dupe_factor=30)
    assert len({tuple(unmasked(example)) for example in examples}) > 6
    assert len({tuple(example["masked_lm_positions"]) for example in examples}) > 20
    _, again = masked_shard(tmp_path, wordpiece, text, 128, dupe_factor=30)
    assert again == examples


def test_masked_tokens_are_masks_eight_times_in_ten(tmp_path, wordpiece):
    text = "\n".join(["abc def ghi jkl"] * 40)
    _, examples = masked_shard(tmp_path, wordpiece, text, 64, dupe_factor=30)
    shown = [
        example["input_ids"][position] == wordpiece.mask_id
        for example in examples
        for position, weight in zip(example["masked_lm_positions"], example["masked_lm_weights"])
        if weight
    ]
    assert len(shown) > 1000
    assert np.mean(shown) == pytest.approx(0.8, abs=0.05)


def test_masks_of_a_real_corpus_cover_a_seventh_as_80_10_10(
    tmp_path, shared_data, official_sentencepiece
):
    documents = sample_pretraining.squad_documents(shared_data, 5)
    text = sample_pretraining.text_of(documents).strip("\n")
    _, examples = masked_shard(tmp_path, official_sentencepiece, text)
    kinds = collections.Counter()
    num_tokens = 0
    for example in examples:
        num_tokens += sum(example["input_mask"])
        true_ids = unmasked(example)
        for position, weight in zip(example["masked_lm_positions"], example["masked_lm_weights"]):
            shown = example["input_ids"][position]
            if weight:
                assert true_ids[position] > 4 or true_ids[position] == 1
                is_same = shown == true_ids[position]
                kinds["masked" if shown == 4 else "kept" if is_same else "random"] += 1
    total = sum(kinds.values())
    assert total / num_tokens == pytest.approx(0.15, abs=0.01)
    assert kinds["masked"] / total == pytest.approx(0.8, abs=0.02)
    assert kinds["kept"] / total == pytest.approx(0.1, abs=0.02)
    assert kinds["random"] / total == pytest.approx(0.1, abs=0.02)


def test_a_line_of_a_megabyte_becomes_sequences(tmp_path, official_sentencepiece):
    for line in ("word " * 200000, "x" * 1000000):
        shard, _ = make(tmp_path, official_sentencepiece, line.strip() + "\n\nhello\nworld", PAIRS)
        assert shard.num_dropped_sentences == 0
        assert shard.num_tokens > 100000


fragments = st.lists(
    st.text(max_size=8)
    | st.sampled_from(
        ["super ", "[MASK]", "[SEP]", "<pad>", "1,000,", "\u200b", "\u2028", "中", "\r"]
    ),
    max_size=6,
).map("".join)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lines=st.lists(fragments, min_size=1, max_size=12), length=st.integers(5, 40))
def test_any_text_becomes_sequences_of_its_tokens(tmp_path, tokenizer, lines, length):
    cleaned = [line.replace("\n", " ").replace("\0", " ").strip() for line in lines]
    text = "\n".join(line for line in cleaned if line) or "x"
    pairs = segments.PairSettings(length, 0.2)
    shard, examples = make(tmp_path, tokenizer, text, pairs)
    allowed = {index for line in text.split("\n") for index in tokenizer.encode(line)}
    for example in examples:
        a, b = pieces_of(example, tokenizer.cls_id, tokenizer.sep_id)
        assert a and b and len(a) + len(b) <= length - 3
        assert allowed.issuperset(a + b)
        num_tokens = len(example["input_ids"])
        assert len(example["segment_ids"]) == len(example["token_boundary"]) == num_tokens
    assert shard.num_sequences == len(examples)
    static = shards.StaticMasks(2, MASKS._replace(max_predictions=3))
    _, masked = make(tmp_path, tokenizer, text, pairs, static)
    assert all(allowed.issuperset(unmasked(example)[1:2]) for example in masked)
