"""Tests of albert.glue.files: real and handwritten files, and what is wrong with them."""

import tempfile

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiny_glue import STSB_HEADER, as_tuples, make_task, make_tokenizer, stsb_line, write_tsv

from albert import classifier_utils, tokenization
from albert.classifier_utils import GlueTask
from albert.common.errors import UsageError
from albert.glue.files import read_tsv

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
