"""Tests of the documents: that what they name exists."""

import ast
import functools
import pathlib
import re
import subprocess
import sys

import pytest

from albert.cli import flag_groups, flag_reference
from albert.cli.flag_groups import Row
from albert.cli.shared_flags import flag_of

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
            # In a UsageError <name> stands for a setting, and <{name}> for one of several.
            pattern = re.sub(r"<(\w+)>", flag_pattern, pattern)
            patterns.append(pattern.replace("<.+>", r"--\w+(=.+)?"))
    return patterns


def flag_pattern(setting):
    """Returns what a match of `<setting>` in a UsageError looks like on the command line."""
    return flag_of(setting.group(1)) + "(=.+)?"


def can_print(source, line):
    return any(re.fullmatch(pattern, line) for pattern in patterns_of(source))


@pytest.mark.parametrize("line", [line for block in MESSAGES for line in block.splitlines()])
def test_every_message_quoted_in_troubleshooting_is_in_the_source(line):
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


def test_a_format_without_words_is_not_a_message():
    assert not can_print("f'{path}: {error}.'", "a.tsv: it holds no examples at all.")


def test_every_flag_named_in_troubleshooting_exists():
    known = set(re.findall(r"^\| `--(\w+)`", FLAGS, re.MULTILINE))
    others = {"gpus", "shm", "ulimit", "path", "model_dir"}  # docker's, pip-audit's, predict's
    assert set(re.findall(r"--([a-z]\w*)", TROUBLESHOOTING)) - others <= known


def test_the_flag_reference_is_what_the_code_generates():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "albert.cli.flag_reference"],
        cwd=str(REPOSITORY),
        stdout=subprocess.PIPE,
        check=True,
    )
    assert done.stdout.decode() == FLAGS, f"Run: {flag_reference.COMMAND}"


def test_the_flag_reference_covers_every_runner():
    runners = flag_reference.runners()
    assert {"classifier", "race", "squad"} <= set(runners)
    assert all(f"- `{name}`: `python -m albert.run_multigpus_{name}`" in FLAGS for name in runners)
    assert re.findall(r"^\| `--train_batch_size` \| (.*?) \|", FLAGS, re.MULTILINE) == ["all"]


def test_a_flag_has_a_row_for_each_of_its_meanings():
    shared, other = Row("a", "text", "", "A."), Row("b", "text", "1", "B or | B.")
    rows = {
        "x": [shared, other._replace(meaning="C.")],
        "y": [shared, other],
        "z": [shared._replace(default="2"), other],
    }
    groups = {name: dict.fromkeys(flag_groups.GROUPS, of_name) for name, of_name in rows.items()}
    last = flag_reference.reference(groups).split("\n## ")[-1]
    assert last.splitlines()[-4:] == [
        "| `--a` | x, y | text |  | A. |",
        "| `--a` | z | text | `2` | A. |",
        "| `--b` | x | text | `1` | C. |",
        "| `--b` | y, z | text | `1` | B or \\| B. |",
    ]


def test_a_flag_that_all_runners_define_alike_has_one_row():
    row = Row("a", "text", "", "A.")
    groups = dict.fromkeys(flag_groups.GROUPS, [row])
    last = flag_reference.reference({"x": groups, "y": groups}).split("\n## ")[-1]
    assert last.splitlines()[-1:] == ["| `--a` | all | text |  | A. |"]
    assert last.count("`--a`") == 1
