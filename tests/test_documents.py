"""Tests of README, CONTRIBUTING and docs/: the paths, links, flags and packages they name exist."""

import ast
import functools
import json
import pathlib
import re
import subprocess
import sys

import pytest

from albert.glue.table import GLUE_ROWS

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "albert"
PACKAGES = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
DOCUMENTS = [REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")]
DOCUMENTS += sorted((REPOSITORY / "docs").glob("*.md"))
TEXTS = {
    path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8") for path in DOCUMENTS
}
REFERENCE = "docs/flags.md"  # generated; the other documents are checked against it
ARCHITECTURE = "docs/architecture.md"
WRITTEN = sorted(set(TEXTS) - {REFERENCE})

# Flags that the documents name and that are not ours, besides those of our argparse programs.
OTHER_PROGRAMS = {
    "all": {"help"},
    "sbatch": {"nodes", "ntasks-per-node", "gpus-per-node", "signal", "requeue"}
    | {"gres", "partition", "time"},
    "srun": {"kill-on-bad-exit"},
    "docker": {"gpus", "shm-size", "ulimit"},
    "pip-audit": {"path"},
    "setup_env.sh": {"dev"},
    "soak.py": {"kills", "workers"},
    "tensorboard": {"logdir"},
}


# Paths and modules

# examples/s is a speed.
FOLDERS = (r"\.ci", "albert", "benchmarks", "docs", r"examples(?!/s\b)", "scripts", "tests")


def missing_paths(text):
    """Returns the paths from the project's folder that a text names and that do not exist.

    `*` stands for any name. Paths with a placeholder, such as `albert/<task>/`, are left out.
    """
    pattern = rf"(?<![\w./<>$}}-])(?:{'|'.join(FOLDERS)})/[\w./*<>-]*"
    paths = {path.rstrip(".") for path in re.findall(pattern, text) if "<" not in path}
    return sorted(path for path in paths if not any(REPOSITORY.glob(path)))


def missing_modules(text):
    """Returns the dotted names, such as albert.cli.quiet, that are neither module nor package."""
    names = set(re.findall(r"(?<![\w./-])(?:albert|benchmarks)(?:\.\w+)+", text))
    names -= {name for name in names if name.endswith(".md")}
    paths = {name: REPOSITORY.joinpath(*name.split(".")) for name in names}
    return sorted(
        name
        for name, path in paths.items()
        if not (path.with_suffix(".py").is_file() or (path / "__init__.py").is_file())
    )


@pytest.mark.parametrize("name", WRITTEN)
def test_every_path_and_module_that_a_document_names_exists(name):
    assert missing_paths(TEXTS[name]) + missing_modules(TEXTS[name]) == []


def test_paths_that_do_not_exist_are_found():
    text = "`albert/modeling.py`, `albert/nowhere.py`, tests/test_no*.py. `albert/<task>/` scripts/"
    assert missing_paths(text) == ["albert/nowhere.py", "tests/test_no*.py"]


def test_modules_that_do_not_exist_are_found():
    assert missing_modules("`python -m albert.doctor`, albert.cli, albert.nowhere.") == [
        "albert.nowhere"
    ]


# Links


def anchors_of(text):
    """Returns the anchors that GitHub gives to the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(name, text):
    """Returns the link targets of a document that are no file of the project, or no heading."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        file = (REPOSITORY / name).parent / path if path else REPOSITORY / name
        if re.match("https?:", target):
            continue
        if not file.is_file() or (anchor and anchor not in anchors_of(file.read_text("utf-8"))):
            broken.append(target)
    return broken


@pytest.mark.parametrize("name", WRITTEN)
def test_every_link_leads_to_a_file_and_a_heading(name):
    assert broken_links(name, TEXTS[name]) == []


@pytest.mark.parametrize("target", ["nowhere.md", "squad.md#nowhere", "#nowhere", "docs/squad.md"])
def test_links_that_lead_nowhere_are_found(target):
    good = "[a](squad.md) [b](squad.md#what-it-writes) [c](https://example.org/#nowhere)"
    assert broken_links("docs/glue.md", f"{good} [d]({target})") == [target]


def test_the_readme_links_to_every_document():
    linked = set(re.findall(r"\]\(([\w/]+\.md)\)", TEXTS["README.md"]))
    assert linked == set(TEXTS) - {"README.md"}


# Flags


def flags_in(text):
    """Returns the flags that a text names, without dashes."""
    return set(re.findall(r"(?<![\w-])--([a-z][\w-]*)", text))


@functools.lru_cache(maxsize=None)
def flags_of_runners():
    """Returns {module of a runner: its flags}."""
    code = """
import importlib, json, sys
from absl import flags
modules = {name: importlib.import_module(f"albert.{name}") for name in sys.argv[1:]}
found, start = {}, list(flags.FLAGS)  # absl has flags too
for name, module in modules.items():
    module.define_flags()
    found[name] = list(flags.FLAGS)
    for flag in set(flags.FLAGS) - set(start):
        delattr(flags.FLAGS, flag)
print(json.dumps(found))
"""
    runners = sorted(path.stem for path in PACKAGE.glob("run_multigpus_*.py"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *runners],
        cwd=str(REPOSITORY),
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout.decode())


def argparse_flags():
    """Returns the flags of our programs that are no runners."""
    sources = [*PACKAGE.rglob("*.py"), *(REPOSITORY / "benchmarks").glob("*.py")]
    texts = [source.read_text(encoding="utf-8") for source in sources]
    return {flag for text in texts for flag in re.findall(r'add_argument\(\s*"--(\w+)"', text)}


def unknown_flags(text):
    """Returns the flags of a text that the reference and other programs do not know."""
    of_runners = re.findall(r"^\|.*?`--(\w+)`", TEXTS[REFERENCE], re.MULTILINE)
    known = argparse_flags().union(of_runners, *OTHER_PROGRAMS.values())
    return sorted(flags_in(text) - known)


def misused_flags(text):
    """Returns (runner, flag) for flags in a runner's command line that it does not have."""
    commands = re.findall(r"python -m albert\.(run_multigpus_\w+)((?:.*\\\n)*.*)", text)
    return [
        (runner, flag)
        for runner, arguments in commands
        for flag in sorted(flags_in(arguments) - set(flags_of_runners()[runner]))
    ]


@pytest.mark.parametrize("name", WRITTEN)
def test_every_flag_that_a_document_names_exists(name):
    assert unknown_flags(TEXTS[name]) == []


def test_every_flag_of_another_program_is_named_in_a_document():
    named = set().union(*(flags_in(TEXTS[name]) for name in WRITTEN))
    assert set().union(*OTHER_PROGRAMS.values()) <= named


def test_flags_that_do_not_exist_are_found():
    assert unknown_flags("--do_train --no_such=1 `--rounds` --no-such") == ["no-such", "no_such"]


@pytest.mark.parametrize("name", WRITTEN)
def test_command_lines_of_runners_have_only_flags_of_that_runner(name):
    assert misused_flags(TEXTS[name]) == []


def test_command_lines_with_flags_of_another_runner_are_found():
    command = (
        "python -m albert.run_multigpus_race --do_eval \\\n --seed=1 --task_name=x\n--doc_stride"
    )
    assert misused_flags(command) == [("run_multigpus_race", "task_name")]


def test_the_readme_shows_command_lines_of_runners():
    assert "python -m albert.run_multigpus_classifier \\\n" in TEXTS["README.md"]


# Tables


def wrong_settings(text):
    """Returns the (variable, default) of tables of settings that no script sets."""
    scripts = "".join(path.read_text("utf-8") for path in (REPOSITORY / "scripts").glob("*.sh"))
    rows = re.findall(r"^\| `([A-Z_]+)` \| `([^`]+)` \|", text, re.MULTILINE)
    return [(name, value) for name, value in rows if f"${{{name}:={value}}}" not in scripts]


@pytest.mark.parametrize(
    "name", ["docs/glue.md", "docs/squad.md", "docs/race.md", "docs/pretraining.md"]
)
def test_settings_of_scripts_have_the_defaults_of_the_tables(name):
    assert "| variable | default |" in TEXTS[name]
    assert wrong_settings(TEXTS[name]) == []


def test_wrong_defaults_are_found():
    rows = "| `MSL` | `512` | a |\n| `MSL` | `513` | b |\n| `MSL` | other | c |\n"
    assert wrong_settings(rows) == [("MSL", "513")]


def test_the_table_of_glue_has_the_metrics_and_submission_files_of_the_code():
    rows = re.findall(r"^\| ([\w-]+) \|(.*)\|(.*)\|(.*)\|$", TEXTS["docs/glue.md"], re.MULTILINE)
    found = {task.lower(): [re.findall("`(.+?)`", cell) for cell in cells] for task, *cells in rows}
    assert set(GLUE_ROWS) <= set(found)
    for task, row in GLUE_ROWS.items():
        best, _, submission = found[task]
        assert best == ([row.best_metric] if not row.model_of else [])
        names = [split.submission for split in row.splits.values() if not split.is_optional]
        assert submission == [name for name in names if name]


# The map and the picture


def test_the_map_has_every_package():
    rows = re.findall(r"^\| `albert/(\w+)/` \|", TEXTS["CONTRIBUTING.md"], re.MULTILINE)
    assert sorted(rows) == PACKAGES


def lines_of_picture(text):
    """Returns {package or dotted module: number of its first line} of the first picture."""
    picture = re.findall(r"^```text\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[0]
    lines = {}
    for number, line in enumerate(picture.splitlines()):
        for name in re.findall(r"(?<![\w/])([\w/]+)(?:/|\.py)(?![\w/])", line):
            lines.setdefault(name.replace("/", "."), number)
    return lines


def shown_as(dotted_name, lines):
    """Returns the package or module of the picture that a dotted name belongs to."""
    parts = dotted_name.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next(prefix for prefix in prefixes if prefix in lines)


def imports_that_go_up(lines):
    """Returns (importer, imported) where the picture shows the first below the second."""
    wrong = set()
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "albert":
                for alias in node.names:
                    name = f"{node.module}.{alias.name}".partition(".")[2]
                    importer, imported = shown_as(module, lines), shown_as(name, lines)
                    if lines[importer] > lines[imported]:
                        wrong.add((importer, imported))
    return sorted(wrong)


def test_the_picture_has_every_package_and_every_module_at_the_top():
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert set(PACKAGES) | modules == set(lines_of_picture(TEXTS[ARCHITECTURE])) - {"engine.task"}


def test_imports_never_go_up_in_the_picture():
    assert imports_that_go_up(lines_of_picture(TEXTS[ARCHITECTURE])) == []


def test_imports_that_go_up_are_found():
    lines = lines_of_picture(TEXTS[ARCHITECTURE])
    lines["modeling"] = lines["nn"] + 1
    assert ("modeling", "nn") in imports_that_go_up(lines)


# The first ten minutes


def test_the_readme_fits_on_two_screens():
    lines = TEXTS["README.md"].splitlines()
    assert len(lines) <= 110
    assert max(map(len, lines)) <= 100
