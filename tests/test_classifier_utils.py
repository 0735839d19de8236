"""Tests of albert.classifier_utils: GLUE files, features, the head and the result files."""

import contextlib
import copy
import dataclasses
import json
import logging
import os
import tempfile

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from albert import classifier_utils, modeling, tokenization
from albert.classifier_utils import GlueTask
from albert.common.errors import UsageError
from albert.engine.task import Change, Setting
from albert.glue import classification, table
from albert.glue.files import read_tsv

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]  # 0 to 4
VOCABULARY += ["the", "cat", "sat", "a", "mat", "##s", "."]  # 5 to 11

STSB_HEADER = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"


def make_tokenizer(folder, vocabulary=VOCABULARY, do_lower_case=True):
    path = folder / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in vocabulary))
    return tokenization.FullTokenizer(str(path), do_lower_case)


def write_tsv(folder, task_folder, split, content):
    """Writes a split; content is text, or bytes as they are. Returns the path."""
    path = folder / task_folder / f"{split}.tsv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def make_task(folder, name, max_seq_length=16, **kwargs):
    return classifier_utils.make_task(
        name, str(folder), make_tokenizer(folder), max_seq_length, **kwargs
    )


def as_tuples(examples):
    return [(each.guid, each.text_a, each.text_b, each.label) for each in examples]


def stsb_line(number, text_a, text_b, *score):
    return "\t".join([str(number), *"gfyoss", text_a, text_b, *score]) + "\n"


@contextlib.contextmanager
def shown_log(caplog):
    """Lets caplog see our log, which a runner in the same process may have taken from it."""
    logging.getLogger("albert").propagate = True
    with caplog.at_level(logging.INFO, logger="albert"):
        yield


# --- Real data


@pytest.mark.parametrize(
    "name, counts",
    [
        ("cola", (8551, 1043, 1063)),
        ("sst-2", (67349, 872, 1821)),
        ("sts-b", (5749, 1500, 1379)),
    ],
)
def test_every_example_of_the_real_data_is_read(shared_data, tmp_path, name, counts):
    own = classifier_utils.make_task(
        name, str(shared_data / "glue_data"), make_tokenizer(tmp_path), 128
    )
    assert tuple(len(own.examples(split)) for split in ("train", "dev", "test")) == counts


REAL_ENDS = {
    ("cola", "train"): (
        ("Our friends won't buy this analysis, let alone the next one we propose.", None, "1"),
        ("What all did you get for Christmas?", None, "1"),
    ),
    ("cola", "dev"): (  # no newline at the end of the file
        ("The sailors rode the breeze clear of the rocks.", None, "1"),
        ("John talked to Bill about himself.", None, "1"),
    ),
    ("cola", "test"): (
        ("Bill whistled past the house.", None, None),
        ("A picture of himself frightened John.", None, None),
    ),
    ("sst-2", "train"): (
        ("hide new secretions from the parental units ", None, "0"),
        (
            "this new jangle of noise , mayhem and stupidity must be a serious contender for the"
            " title . ",
            None,
            "0",
        ),
    ),
    ("sst-2", "test"): (
        ("uneasy mishmash of styles and genres .", None, None),
        (
            "dazzling and sugar-sweet , a blast of shallow magnificence that only sex , scandal ,"
            " and a chorus line of dangerous damsels can deliver .",
            None,
            None,
        ),
    ),
    ("sts-b", "dev"): (
        (
            "A man with a hard hat is dancing.",
            "A man wearing a hard hat is dancing.",
            "5.000",
        ),
        (
            "New video shows US police officers beating mentally-ill man",
            "New York police officer critically wounded in hatchet attack",
            "0",
        ),
    ),
    ("sts-b", "test"): (
        ("A girl is styling her hair.", "A girl is brushing her hair.", None),
        (
            "South Korea declares end to MERS outbreak",
            "North Korea Delegation Meets With South Korean Officials",
            None,
        ),
    ),
}


@pytest.mark.parametrize("name, split", list(REAL_ENDS))
def test_the_first_and_last_real_examples_are_read_as_written(shared_data, tmp_path, name, split):
    own = classifier_utils.make_task(
        name, str(shared_data / "glue_data"), make_tokenizer(tmp_path), 128
    )
    examples = own.examples(split)
    ends = tuple((each.text_a, each.text_b, each.label) for each in (examples[0], examples[-1]))
    assert ends == REAL_ENDS[name, split]


def test_the_ids_of_real_test_files_are_kept(shared_data, tmp_path):
    own = classifier_utils.make_task(
        "cola", str(shared_data / "glue_data"), make_tokenizer(tmp_path), 128
    )
    examples = own.examples("test")
    assert (examples[0].guid, examples[-1].guid) == ("0", "1062")


def test_the_byte_order_mark_of_real_files_is_skipped(shared_data):
    path = shared_data / "glue_data" / "MRPC" / "train.tsv"
    assert path.read_bytes()[:3] == b"\xef\xbb\xbf"
    rows = [cells for _, cells in read_tsv(str(path))]
    assert rows[0][0] == "Quality"
    assert len(rows) == 3668 + 1


def test_a_real_example_becomes_what_sentencepiece_makes_of_it(shared_data):
    import sentencepiece

    path = str(shared_data / "spm" / "30k-clean.model")
    own = classifier_utils.make_task(
        "cola",
        str(shared_data / "glue_data"),
        tokenization.FullTokenizer(None, True, path),
        max_seq_length=128,
    )
    feature = next(iter(own.features("dev")))
    pieces = sentencepiece.SentencePieceProcessor()
    pieces.Load(path)
    ids = pieces.EncodeAsIds("the sailors rode the breeze clear of the rocks.")
    assert feature == {
        "input_ids": [2, *ids, 3],
        "segment_ids": [0] * (len(ids) + 2),
        "label_ids": 1,
    }


# --- Handwritten files


def test_cola_has_no_header_in_dev_but_one_in_test(tmp_path):
    write_tsv(tmp_path, "CoLA", "dev", "gj04\t1\t\tThe cat sat.\nw_80\t0\t*\tCat the sat.\n")
    write_tsv(tmp_path, "CoLA", "test", "index\tsentence\n7\tA cat.\n9\tA mat.\n")
    own = make_task(tmp_path, "CoLA")
    assert as_tuples(own.examples("dev")) == [
        ("dev-0", "The cat sat.", None, "1"),
        ("dev-1", "Cat the sat.", None, "0"),
    ]
    assert as_tuples(own.examples("test")) == [
        ("7", "A cat.", None, None),
        ("9", "A mat.", None, None),
    ]


def test_stsb_takes_its_score_from_the_last_column(tmp_path):
    lines = stsb_line(0, "A cat.", "The cat.", "x", "3.800") + stsb_line(1, "A", "B", "x", "0")
    write_tsv(tmp_path, "STS-B", "train", STSB_HEADER + "\tnote\tscore\n" + lines)
    assert as_tuples(make_task(tmp_path, "sts-b").examples("train")) == [
        ("train-0", "A cat.", "The cat.", "3.800"),
        ("train-1", "A", "B", "0"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        "sentence\tlabel\na cat\t1\nthe mat\t0\n",
        "sentence\tlabel\na cat\t1\nthe mat\t0",
        "\ufeffsentence\tlabel\na cat\t1\nthe mat\t0\n",
        "sentence\tlabel\r\na cat\t1\r\nthe mat\t0\r\n",
        "sentence\tlabel\n\na cat\t1\n\nthe mat\t0\n\n",
    ],
    ids=["plain", "no final newline", "byte order mark", "Windows lines", "empty lines"],
)
def test_byte_order_mark_line_ends_and_blank_lines_do_not_matter(tmp_path, content):
    write_tsv(tmp_path, "SST-2", "dev", content)
    examples = make_task(tmp_path, "sst-2").examples("dev")
    assert [(each.text_a, each.label) for each in examples] == [("a cat", "1"), ("the mat", "0")]


def test_a_byte_order_mark_is_not_part_of_the_first_cell(tmp_path):
    path = write_tsv(tmp_path, "CoLA", "dev", "\ufeffgj04\t1\t\ttext\n")
    assert list(read_tsv(str(path))) == [(f"{path}:1", ["gj04", "1", "", "text"])]


def test_quotes_are_text(tmp_path):
    write_tsv(tmp_path, "SST-2", "dev", 'sentence\tlabel\n"a cat\t1\nthe "mat"\t0\n')
    texts = [each.text_a for each in make_task(tmp_path, "sst-2").examples("dev")]
    assert texts == ['"a cat', 'the "mat"']


def test_only_a_newline_ends_a_row(tmp_path):
    text = "a\u2028b\x0bc\x85d\re"
    write_tsv(tmp_path, "SST-2", "dev", f"sentence\tlabel\n{text}\t1\n")
    (found,) = make_task(tmp_path, "sst-2").examples("dev")
    assert found.text_a == text


def test_task_names_ignore_case(tmp_path):
    assert make_task(tmp_path, "STS-B").name == "sts-b"


def test_a_model_belongs_to_its_labels_and_vocabulary(tmp_path):
    compared = make_task(tmp_path, "rte", classifier_dropout_prob=0.25).run_settings()
    fixed = {name for name, setting in compared.items() if setting.change is Change.REFUSED}
    assert fixed == {"labels", "vocabulary", "do_lower_case"}
    assert compared["labels"].value == ["entailment", "not_entailment"]
    assert compared["max_seq_length"] == Setting(16, Change.WARNED, "<max_seq_length>")
    dropout = Setting(0.25, Change.WARNED_IN_TRAINING, "<classifier_dropout_prob>")
    assert compared["classifier_dropout_prob"] == dropout


def test_an_unknown_task_is_a_usage_error_that_lists_the_known_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "OWN_TASKS", {})
    with pytest.raises(UsageError) as caught:
        make_task(tmp_path, "race")
    assert caught.value.text("--{}".format) == (
        "--task_name=race is unknown; it must be one of "
        "ax, cola, mnli, mrpc, qnli, qqp, rte, sst-2, sts-b, wnli."
    )


@pytest.mark.parametrize(
    "name, meant",
    [
        ("SST2", "SST-2"),
        ("STSB", "STS-B"),
        ("sts_b", "STS-B"),
        ("mnli-mm", "MNLI"),
        ("CoLa2", "CoLA"),
        ("diagnostic", "AX"),
    ],
)
def test_a_misspelt_task_is_a_usage_error_that_proposes_the_right_one(tmp_path, name, meant):
    with pytest.raises(UsageError) as caught:
        make_task(tmp_path, name)
    assert caught.value.text("--{}".format).startswith(
        f"--task_name={name} is unknown: did you mean --task_name={meant}? It must be one of ax, "
    )


def mistake(tmp_path, name, folder, split, content):
    """Returns (path, message) of the UsageError raised by reading a file with this content."""
    path = write_tsv(tmp_path, folder, split, content)
    with pytest.raises(UsageError) as caught:
        make_task(tmp_path, name).examples(split)
    assert "\n" not in str(caught.value)
    return str(path), str(caught.value)


def test_too_few_columns_are_reported_with_file_and_line(tmp_path):
    content = "gj04\t1\t\tThe cat sat.\n\ngj04\t1\n"
    path, message = mistake(tmp_path, "cola", "CoLA", "dev", content)
    assert message == f"{path}:3: 2 columns found, 4 expected."


def test_too_few_columns_of_a_test_file_are_reported_with_file_and_line(tmp_path):
    path, message = mistake(tmp_path, "sst-2", "SST-2", "test", "index\tsentence\n0\ta\n1\n")
    assert message == f"{path}:3: 1 columns found, 2 expected."


def test_a_pair_without_its_second_text_is_reported_with_file_and_line(tmp_path):
    content = STSB_HEADER + "\tscore\n" + "0\tg\tf\ty\to\ts\ts\tA cat.\n"
    path, message = mistake(tmp_path, "sts-b", "STS-B", "dev", content)
    assert message.startswith(f"{path}:2: 8 columns found")


@pytest.mark.parametrize("label", ["2", "", "1 ", "yes"])
def test_an_unknown_label_is_reported_with_file_and_line_and_the_known_ones(tmp_path, label):
    content = f"sentence\tlabel\na cat\t1\nthe mat\t{label}\n"
    path, message = mistake(tmp_path, "sst-2", "SST-2", "dev", content)
    assert message == f"{path}:3: label {label!r} is not one of 0, 1."


@pytest.mark.parametrize("score", ["five", "", "nan", "inf", "-0.1", "5.01"])
def test_a_score_that_is_not_a_number_from_0_to_5_is_reported_with_file_and_line(tmp_path, score):
    content = STSB_HEADER + "\tscore\n" + stsb_line(0, "A cat.", "The cat.", score)
    path, message = mistake(tmp_path, "sts-b", "STS-B", "dev", content)
    assert message == f"{path}:2: label {score!r} is not a number from 0 to 5."


MISSING_HEADERS = [
    ("sst-2", "SST-2", "dev", "a cat\t1\nthe mat\t0\n"),
    ("sst-2", "SST-2", "test", "0\ta cat\n1\tthe mat\n"),
    ("sst-2", "SST-2", "train", "\ufeffa cat\t1\n"),
    ("cola", "CoLA", "test", "0\tA cat.\n"),
    ("sts-b", "STS-B", "dev", stsb_line(0, "A cat.", "The cat.", "3.800")),
    ("sts-b", "STS-B", "test", stsb_line(0, "A cat.", "The cat.")),
]


@pytest.mark.parametrize("name, folder, split, content", MISSING_HEADERS)
def test_a_missing_header_costs_no_example_but_is_reported(tmp_path, name, folder, split, content):
    path, message = mistake(tmp_path, name, folder, split, content)
    assert message == (
        f"{path}:1: this line holds an example; the first line must name the columns."
    )


def test_a_header_with_too_few_columns_is_reported(tmp_path):
    path, message = mistake(tmp_path, "sst-2", "SST-2", "dev", "sentence\na cat\t1\n")
    assert message == f"{path}:1: 1 columns found, at least 2 expected."


EXTRA_TABS = [
    ("sst-2", "SST-2", "dev", "sentence\tlabel\na\tcat\t1\n", 3, 2),
    ("sst-2", "SST-2", "test", "index\tsentence\n0\ta\tcat\n", 3, 2),
    ("cola", "CoLA", "dev", "gj04\t1\t\tA cat.\ngj04\t1\t\tA\tcat.\n", 5, 4),
    ("sts-b", "STS-B", "dev", f"{STSB_HEADER}\tscore\n{stsb_line(0, 'A', 'B', 'C', '1')}", 11, 10),
    ("sts-b", "STS-B", "test", f"{STSB_HEADER}\n{stsb_line(0, 'A', 'B', 'C')}", 10, 9),
]


@pytest.mark.parametrize("name, folder, split, content, found, expected", EXTRA_TABS)
def test_an_extra_tab_is_reported_with_file_and_line(
    tmp_path, name, folder, split, content, found, expected
):
    path, message = mistake(tmp_path, name, folder, split, content)
    assert message == f"{path}:2: {found} columns found, {expected} expected."


@pytest.mark.parametrize("content", ["", "\n", "sentence\tlabel\n", "\ufeff"])
def test_a_file_without_examples_is_a_usage_error(tmp_path, content):
    path, message = mistake(tmp_path, "sst-2", "SST-2", "dev", content)
    assert message == f"{path} holds no examples."


def test_a_file_of_another_encoding_is_reported_with_file_line_and_byte(tmp_path):
    content = b"sentence\tlabel\ncaf\xe9 noir\t1\n"
    path, message = mistake(tmp_path, "sst-2", "SST-2", "dev", content)
    assert message == (
        f"{path} is not UTF-8 text: byte 18 (line 2) is 0xe9. It looks like Latin-1; save it as "
        "UTF-8."
    )


def test_a_file_whose_lines_end_in_carriage_returns_is_reported(tmp_path):
    path, message = mistake(tmp_path, "cola", "CoLA", "dev", b"gj04\t1\t\ta\rgj04\t0\t\tb\r")
    assert message.startswith(f"{path}:1: the file has carriage returns, the first at byte 9,")


@pytest.mark.parametrize("use", [GlueTask.examples, GlueTask.fingerprint])
def test_a_missing_file_is_a_usage_error_that_names_the_flag(tmp_path, use):
    with pytest.raises(UsageError) as caught:
        use(make_task(tmp_path, "sst-2"), "dev")
    path = tmp_path / "SST-2" / "dev.tsv"
    shown = caught.value.text("--{}".format)
    assert shown == f"{path}: No such file or directory. Is --data_dir right?"


def rows_or_usage_error(content):
    """Returns the rows that read_tsv finds in a file with these bytes; None if it refuses it."""
    with tempfile.NamedTemporaryFile(suffix=".tsv") as file:
        file.write(content)
        file.flush()
        try:
            return list(read_tsv(file.name))
        except UsageError as error:
            assert "\n" not in str(error)
            return None


@given(st.text(st.sampled_from("a\t\n\r\ufeff\u2028\x85\x0bé ") | st.characters(min_codepoint=1)))
@example("\ufeff\ufeff\n\t\n")
@settings(max_examples=150, deadline=None)
def test_any_text_is_read_and_its_cells_hold_neither_tab_nor_newline(text):
    try:
        content = text.encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate
        return
    lines = text.split("\n")
    rows = rows_or_usage_error(content)
    if rows is None:  # carriage returns in place of line feeds
        assert not any(lines[1:]) and "\r" in lines[0].rstrip("\r")
        return
    numbers = [int(where.rsplit(":", 1)[1]) for where, _ in rows]
    assert numbers == sorted(set(numbers))
    for number, (_, cells) in zip(numbers, rows):
        assert not any("\t" in cell or "\n" in cell for cell in cells)
        found = "\t".join(cells)
        assert found and found in lines[number - 1]
        assert lines[number - 1].replace(found, "", 1).strip("\r\ufeff") == ""


@given(st.binary())
@example(b"\xff\xfea\x00")
@example(b"a\x00b\x00\n\x00")
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_refused_in_one_line(content):
    rows_or_usage_error(content)


# --- Features


def write_pair(tmp_path, text_a="The cats sat.", text_b="A cat", score="3.8"):
    content = STSB_HEADER + "\tscore\n" + stsb_line(0, text_a, text_b, score)
    write_tsv(tmp_path, "STS-B", "dev", content)


def test_a_pair_is_cls_a_sep_b_sep_with_segments_0_and_1(tmp_path):
    write_pair(tmp_path)
    assert list(make_task(tmp_path, "sts-b").features("dev")) == [
        {
            "input_ids": [2, 5, 6, 10, 7, 11, 3, 8, 6, 3],
            "segment_ids": [0, 0, 0, 0, 0, 0, 0, 1, 1, 1],
            "label_ids": 3.8,
        }
    ]


def test_a_long_pair_loses_the_end_of_the_longer_text(tmp_path):
    write_pair(tmp_path)
    (feature,) = make_task(tmp_path, "sts-b", max_seq_length=7).features("dev")
    assert feature["input_ids"] == [2, 5, 6, 3, 8, 6, 3]
    assert feature["segment_ids"] == [0, 0, 0, 0, 1, 1, 1]


def test_a_single_text_is_one_segment_and_its_label_an_id(tmp_path):
    write_tsv(tmp_path, "SST-2", "dev", "sentence\tlabel\nthe cat\t1\nzebra\t0\n")
    assert list(make_task(tmp_path, "sst-2").features("dev")) == [
        {"input_ids": [2, 5, 6, 3], "segment_ids": [0, 0, 0, 0], "label_ids": 1},
        {"input_ids": [2, 1, 3], "segment_ids": [0, 0, 0], "label_ids": 0},
    ]


def test_test_examples_have_label_0(tmp_path):
    write_tsv(tmp_path, "SST-2", "test", "index\tsentence\n0\tthe cat\n")
    write_tsv(tmp_path, "STS-B", "test", STSB_HEADER + "\n" + stsb_line(0, "a", "b"))
    (classified,) = make_task(tmp_path, "sst-2").features("test")
    (scored,) = make_task(tmp_path, "sts-b").features("test")
    assert classified["label_ids"] == 0 and isinstance(classified["label_ids"], int)
    assert scored["label_ids"] == 0.0 and isinstance(scored["label_ids"], float)


def test_features_come_in_the_order_of_the_file_over_all_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(classification, "_TEXTS_AT_ONCE", 3)
    lines = "".join(f"{'cat ' * (n + 1)}\t{n % 2}\n" for n in range(8))
    write_tsv(tmp_path, "SST-2", "dev", "sentence\tlabel\n" + lines)
    features = list(make_task(tmp_path, "sst-2").features("dev"))
    assert [len(feature["input_ids"]) for feature in features] == [n + 3 for n in range(8)]
    assert [feature["label_ids"] for feature in features] == [0, 1] * 4


def test_the_label_of_a_regression_is_a_float_in_the_spec(tmp_path):
    labels = {
        name: make_task(tmp_path, name).feature_spec()["label_ids"].dtype
        for name in ("cola", "sts-b")
    }
    assert labels == {"cola": tf.int32, "sts-b": tf.float32}


# --- Fingerprints


def fingerprint(folder, split="dev", max_seq_length=16, name="sst-2", **tokenizer):
    own = GlueTask(name, str(folder), make_tokenizer(folder, **tokenizer), max_seq_length)
    return json.dumps(own.fingerprint(split), sort_keys=True)


@pytest.fixture
def sst2_folder(tmp_path):
    for split in ("train", "dev"):
        write_tsv(tmp_path, "SST-2", split, "sentence\tlabel\nthe cat\t1\n")
    return tmp_path


@pytest.mark.parametrize(
    "change",
    [
        {"vocabulary": [*VOCABULARY, "new"]},
        {"do_lower_case": False},
        {"max_seq_length": 17},
        {"split": "train"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_fingerprint_changes_with_every_setting_that_shapes_features(sst2_folder, change):
    assert fingerprint(sst2_folder, **change) != fingerprint(sst2_folder)


def test_the_fingerprint_changes_with_the_data(sst2_folder):
    before = fingerprint(sst2_folder)
    write_tsv(sst2_folder, "SST-2", "dev", "sentence\tlabel\nthe cat\t0\n")
    assert fingerprint(sst2_folder) != before


def test_the_fingerprint_changes_with_the_task(sst2_folder):
    write_tsv(sst2_folder, "CoLA", "dev", (sst2_folder / "SST-2" / "dev.tsv").read_bytes())
    assert fingerprint(sst2_folder, name="cola") != fingerprint(sst2_folder)


def test_the_fingerprint_changes_with_the_columns_that_are_read(sst2_folder, monkeypatch):
    before = fingerprint(sst2_folder)
    row = dataclasses.replace(table.GLUE_ROWS["sst-2"], labels=("1", "0"))
    monkeypatch.setitem(table.GLUE_ROWS, "sst-2", row)
    assert fingerprint(sst2_folder) != before


def test_the_fingerprint_does_not_depend_on_where_the_files_are(sst2_folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_tsv(elsewhere, "SST-2", "dev", "sentence\tlabel\nthe cat\t1\n")
    assert fingerprint(elsewhere) == fingerprint(sst2_folder)


# --- The head

HEAD_FEATURES = {
    "input_ids": [[2, 5, 6, 3], [2, 8, 3, 0], [2, 9, 11, 3]],
    "input_mask": [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]],
    "segment_ids": [[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 1]],
}


def run_head(own_task, config, labels):
    """Returns (loss, losses, predictions, pooled output, weights, bias) of the head."""
    config = copy.copy(config)
    config.initializer_range = 0.5  # so that the examples differ
    dtype = own_task.feature_spec()["label_ids"].dtype
    with tf.Graph().as_default():
        tf.set_random_seed(4)
        features = {name: tf.constant(value) for name, value in HEAD_FEATURES.items()}
        features["label_ids"] = tf.constant(labels, dtype)
        model = modeling.AlbertModel(
            config,
            False,
            features["input_ids"],
            features["input_mask"],
            features["segment_ids"],
        )
        output = own_task.head(model, features, is_training=False)
        variables = {variable.op.name: variable for variable in tf.trainable_variables()}
        weights, bias = variables["output_weights"], variables["output_bias"]
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            random = np.random.RandomState(6)  # also the bias, since a bias of 0 would hide
            weights.load(random.normal(size=weights.shape.as_list()), session)
            bias.load(random.normal(size=bias.shape.as_list()), session)
            return session.run(
                (
                    output.loss,
                    output.losses,
                    output.predictions,
                    model.get_pooled_output(),
                    weights,
                    bias,
                )
            )


def test_classification_is_softmax_cross_entropy_on_the_pooled_output(tmp_path, tiny_config):
    labels = [1, 0, 1]
    own = make_task(tmp_path, "sst-2", classifier_dropout_prob=0.5)
    loss, per_example, predictions, pooled, weights, bias = run_head(own, tiny_config, labels)
    assert weights.shape == (2, 16) and bias.shape == (2,)
    exponentials = np.exp(pooled.astype(np.float64) @ weights.T + bias)
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    losses = -np.log(probabilities[np.arange(3), labels])
    assert np.ptp(losses) > 0.01
    np.testing.assert_allclose(predictions["probabilities"], probabilities, atol=1e-6)
    np.testing.assert_allclose(per_example, losses, rtol=1e-5, atol=1e-5)
    assert loss == pytest.approx(losses.mean(), rel=1e-5)


def test_regression_is_the_squared_error_of_one_output(tmp_path, tiny_config):
    labels = [3.8, 0.0, 5.0]
    own = make_task(tmp_path, "sts-b", classifier_dropout_prob=0.5)
    loss, per_example, predictions, pooled, weights, bias = run_head(own, tiny_config, labels)
    assert weights.shape == (1, 16) and bias.shape == (1,)
    scores = (pooled.astype(np.float64) @ weights.T + bias)[:, 0]
    assert predictions["scores"].shape == (3,)
    np.testing.assert_allclose(predictions["scores"], scores, atol=1e-5)
    np.testing.assert_allclose(per_example, (scores - labels) ** 2, rtol=1e-4)
    assert loss == pytest.approx(np.mean((scores - labels) ** 2), rel=1e-4)


class StubModel:
    """Records the rates with which its dropout is called."""

    def __init__(self):
        self.rates = []

    def get_pooled_output(self):
        return tf.ones([2, 16])

    def dropout(self, tensor, rate):
        self.rates.append(rate)
        return tensor


@pytest.mark.parametrize("is_training", [True, False])
def test_the_pooled_output_goes_through_the_models_dropout(tmp_path, is_training):
    own = make_task(tmp_path, "cola", classifier_dropout_prob=0.3)
    model = StubModel()
    with tf.Graph().as_default():
        own.head(model, {"label_ids": tf.constant([0, 1])}, is_training)
    assert model.rates == [0.3]


# --- Evaluation and result files


def test_evaluation_returns_the_metrics_of_the_task(tmp_path):
    labels = [1, 0, 1, 1]
    lines = "".join(f"gj04\t{label}\t\tthe cat\n" for label in labels)
    write_tsv(tmp_path, "CoLA", "dev", lines)
    first = [0.75, 0.25, 0.25, 0.25]  # so the predictions are 0 1 1 1
    rows = [
        {"probabilities": np.float32([p, 1 - p]), "losses": np.float32(loss)}
        for p, loss in zip(first, [1.0, 2.0, 0.5, 0.5])
    ]
    values = make_task(tmp_path, "cola").evaluate({"dev": rows})
    # TP 2, FP 1, FN 1, TN 0: (2*0 - 1*1) / sqrt(3 * 3 * 1 * 1)
    assert values == pytest.approx({"matthews_corr": -1 / 3, "accuracy": 0.5})
    json.dumps(values)


def test_evaluation_of_a_regression_correlates_the_scores(tmp_path):
    lines = "".join(stsb_line(n, "a", "b", label) for n, label in enumerate("1234"))
    write_tsv(tmp_path, "STS-B", "dev", STSB_HEADER + "\tscore\n" + lines)
    scores = [1, 3, 2, 6]
    rows = [{"scores": np.float32(s), "losses": np.float32(0.25)} for s in scores]
    values = make_task(tmp_path, "sts-b").evaluate({"dev": rows})
    expected = {"pearson": 7 / 70**0.5, "spearman": 0.8}
    assert values == pytest.approx(expected)


NAN = float("nan")


@pytest.mark.parametrize("bad", [NAN, float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["cola", "sts-b"])
def test_one_prediction_that_is_not_finite_makes_every_metric_nan(tmp_path, name, bad):
    lines = "gj04\t1\t\ta\ngj04\t0\t\tb\n"
    write_tsv(tmp_path, "CoLA", "dev", lines)
    write_pair(tmp_path)
    key, values, metrics = {
        "cola": ("probabilities", [[0.25, 0.75], [bad, 0.5]], ["matthews_corr", "accuracy"]),
        "sts-b": ("scores", [bad], ["pearson", "spearman"]),
    }[name]
    rows = [{key: np.float32(value)} for value in values]
    found = make_task(tmp_path, name).evaluate({"dev": rows})
    assert sorted(found) == sorted(metrics)
    assert all(np.isnan(value) for value in found.values())


def test_predictions_of_one_class_are_reported_in_one_line(tmp_path, caplog):
    write_tsv(tmp_path, "CoLA", "dev", "gj04\t1\t\ta\ngj04\t0\t\tb\n")
    own = make_task(tmp_path, "cola")
    same, other = ({"probabilities": np.float32(pair)} for pair in ([0.4, 0.6], [0.6, 0.4]))
    with shown_log(caplog):
        own.evaluate({"dev": [same, other]})
        assert caplog.messages == []
        own.evaluate({"dev": [same, same]})
    assert caplog.messages == ["Every prediction is '1': the model does not tell the labels apart."]


@pytest.mark.filterwarnings("ignore:A single label was found")
def test_predictions_of_the_only_class_that_there_is_are_not_reported(tmp_path, caplog):
    write_tsv(tmp_path, "CoLA", "dev", "gj04\t1\t\ta\ngj04\t1\t\tb\n")
    with shown_log(caplog):
        make_task(tmp_path, "cola").evaluate({"dev": [{"probabilities": np.float32([0, 1])}] * 2})
    assert caplog.messages == []


def test_answers_from_predictions_that_are_not_finite_are_counted_in_one_line(tmp_path, caplog):
    write_tsv(tmp_path, "CoLA", "test", "index\tsentence\n7\ta\n9\tb\n11\tc\n")
    rows = [{"probabilities": np.float32(pair)} for pair in ([NAN, NAN], [0, 1], [NAN, 1])]
    with shown_log(caplog):
        write_predictions(tmp_path, "cola", rows)
    assert caplog.messages == ["test: 2 of 3 predictions are not finite: the model has diverged."]


@pytest.fixture
def written_cola(tmp_path):
    """Returns {name: content} of the files written for three CoLA test examples."""
    write_tsv(tmp_path, "CoLA", "test", "index\tsentence\n7\ta\n9\tb\n11\tc\n")
    probabilities = [[0.75, 0.25], [0.125, 0.875], [0.375, 0.625]]
    rows = [{"probabilities": np.float32(pair), "losses": np.float32(1)} for pair in probabilities]
    return write_predictions(tmp_path, "cola", rows)


@pytest.fixture
def written_stsb(tmp_path):
    """Returns {name: content} of the files written for three STS-B test examples."""
    lines = "".join(stsb_line(number, "a", "b") for number in (7, 9, 11))
    write_tsv(tmp_path, "STS-B", "test", STSB_HEADER + "\n" + lines)
    rows = [{"scores": np.float32(score), "losses": np.float32(1)} for score in (-0.5, 2.75, 5.25)]
    return write_predictions(tmp_path, "sts-b", rows)


def write_predictions(folder, name, rows):
    output_dir = folder / "output"
    output_dir.mkdir()
    paths = make_task(folder, name).write_predictions({"test": rows}, str(output_dir))
    assert sorted(paths) == sorted(str(path) for path in output_dir.iterdir())
    found = {}
    for path in paths:
        with open(path, encoding="utf-8", newline="") as reader:
            found[os.path.basename(path)] = reader.read()
    return found


def test_test_results_hold_the_probabilities_without_a_header(written_cola):
    assert written_cola["test_results.tsv"] == "0.75\t0.25\n0.125\t0.875\n0.375\t0.625\n"


def test_submit_results_hold_the_id_and_the_label(written_cola):
    assert written_cola["submit_results.tsv"] == "index\tprediction\n7\t0\n9\t1\n11\t1\n"


def test_the_submission_file_counts_from_0(written_cola):
    assert written_cola["CoLA.tsv"] == "index\tprediction\n0\t0\n1\t1\n2\t1\n"


def test_labels_are_written_as_words(tmp_path, monkeypatch):
    row = dataclasses.replace(table.GLUE_ROWS["cola"], labels=("bad", "good"))
    monkeypatch.setitem(table.GLUE_ROWS, "cola", row)
    write_tsv(tmp_path, "CoLA", "test", "index\tsentence\n7\ta\n")
    rows = [{"probabilities": np.float32([0.25, 0.75]), "losses": np.float32(1)}]
    found = write_predictions(tmp_path, "cola", rows)
    assert found["CoLA.tsv"] == "index\tprediction\n0\tgood\n"


def test_submitted_scores_are_clipped_to_0_and_5(written_stsb):
    assert written_stsb["STS-B.tsv"] == "index\tprediction\n0\t0.0\n1\t2.75\n2\t5.0\n"
    assert written_stsb["submit_results.tsv"] == "index\tprediction\n7\t0.0\n9\t2.75\n11\t5.0\n"


def test_test_results_hold_the_score_unclipped(written_stsb):
    assert written_stsb["test_results.tsv"] == "-0.5\n2.75\n5.25\n"
