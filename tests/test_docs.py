"""Tests of the documents: what they name is there."""

import ast
import functools
import pathlib
import re
import subprocess
import sys

import pytest

from albert.cli import flag_reference

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
DIFFERENCES = (REPOSITORY / "docs" / "differences.md").read_text(encoding="utf-8")
TROUBLESHOOTING = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
FLAGS = (REPOSITORY / "docs" / "flags.md").read_text(encoding="utf-8")
SOURCES = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "albert").rglob("*.py")]
TEXT = ast.Constant if sys.version_info >= (3, 8) else ast.Str
MESSAGES = re.findall(r"^```text\n(.*?)^```$", TROUBLESHOOTING, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    "file, name", sorted(set(re.findall(r"`([\w/]*test_\w+\.py)::(\w+)`", DIFFERENCES)))
)
def test_every_test_that_the_differences_name_exists(file, name):
    assert f"def {name}(" in (REPOSITORY / "tests" / file).read_text(encoding="utf-8")


def test_every_row_of_the_differences_names_a_test():
    rows = re.findall(r"^\| \d+ \|.*$", DIFFERENCES, re.MULTILINE)
    assert len(rows) >= 18
    assert all(re.search(r"`[\w/]*test_\w+\.py::", row) for row in rows)


@functools.lru_cache(maxsize=None)
def patterns_of(source):
    """Returns a regular expression for each text in a source, f-strings and formats among them.

    Texts with fewer than 15 fixed letters are left out: they would match anything.
    """
    tree = ast.parse(source)
    joined = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    inside = {id(part) for node in joined for part in node.values}
    patterns = []
    for node in [node for node in ast.walk(tree) if id(node) not in inside]:
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        texts = [getattr(part, "s", None) if isinstance(part, TEXT) else "%s" for part in parts]
        fixed = re.split(r"%[.\d]*[a-z]", "".join(map(str, texts)))
        if len(re.findall(r"[A-Za-z]", "".join(fixed))) >= 15:
            pattern = ".+".join(map(re.escape, fixed))
            # In a UsageError <name> stands for a setting.
            patterns.append(re.sub(r"<(\w+)>", r"--\1(=.+)?", pattern))
    return patterns


def can_print(source, line):
    return any(re.fullmatch(pattern, line) for pattern in patterns_of(source))


@pytest.mark.parametrize("line", [line for block in MESSAGES for line in block.splitlines()])
def test_every_message_quoted_in_troubleshooting_stands_in_the_source(line):
    assert any(can_print(source, line) for source in SOURCES), line


def test_troubleshooting_quotes_messages():
    assert sum(len(block.splitlines()) for block in MESSAGES) >= 20


@pytest.mark.parametrize(
    "source",
    [
        "'no such checkpoint: model.ckpt'",
        "f'no such checkpoint: {path}'",
        "f'no such {kind}' f'point: {path}' if '' else f'no such checkpoint: ' f'{path}'",
        "log('no such checkpoint: %s', path)",
    ],
)
def test_a_message_is_found_in_every_way_to_write_it(source):
    assert can_print(source, "no such checkpoint: model.ckpt")
    assert not can_print(source, "No such checkpoint: model.ckpt")


def test_a_format_without_words_is_no_message():
    assert not can_print("f'{path}: {error}.'", "a.tsv: it holds no examples at all.")


def test_every_flag_named_in_troubleshooting_exists():
    known = set(re.findall(r"^\| (?:\w+ \| )?`--(\w+)`", FLAGS, re.MULTILINE))
    others = {"gpus", "shm", "ulimit"}  # docker's
    assert set(re.findall(r"--([a-z]\w*)", TROUBLESHOOTING)) - others <= known


def test_the_flag_reference_is_what_the_code_generates():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "albert.cli.flag_reference"],
        cwd=str(REPOSITORY),
        stdout=subprocess.PIPE,
        check=True,
    )
    assert done.stdout.decode() == FLAGS, f"Run: {flag_reference.COMMAND}"


def test_the_flag_reference_tells_of_every_runner():
    runners = flag_reference.runners()
    assert {"run_multigpus_classifier", "run_multigpus_squad"} <= set(runners)
    assert all(f"## `python -m albert.{runner}`" in FLAGS for runner in runners)
    assert len(re.findall(r"^\| `--train_batch_size`", FLAGS, re.MULTILINE)) == 1


def test_flags_that_only_one_runner_defines_so_stand_under_it():
    alike = flag_reference.Row("`--a`", "text", "", "A.")
    one, two = alike._replace(meaning="One."), alike._replace(meaning="Without effect.")
    text = flag_reference.reference({"x": [alike, one], "y": [alike, two]})
    assert text.count("| `--a` | text |  | A. |") == 1
    assert "## `python -m albert.x`" in text and "| `--a` | text |  | One. |" in text
    assert text.endswith("| y | `--a` | text |  | Without effect. |\n")
