"""GLUE folders of a few lines written by hand, and tasks that read them."""

import contextlib
import logging

from albert import classifier_utils, tokenization

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
