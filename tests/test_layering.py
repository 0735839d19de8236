"""Tests of the layers: which package may import which, and what an import may do."""

import ast
import functools
import os
import pathlib
import re
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / "albert"

BELOW_CLI = (
    "common cluster nn modeling text custom_optimization contract engine tasks downloads "
    "conversion jobs"
)
# {room: the rooms it may import, besides itself}. A room is a package; of the modules at the door
# each is a room of its own, a task, or else a command, as some packages are.
ALLOWED = {
    "common": "",
    "text": "common",
    "cluster": "common",
    "nn": "common",
    "modeling": "common nn",
    "custom_optimization": "common nn",
    "contract": "common nn modeling",
    "engine": "common cluster nn modeling custom_optimization contract",
    "tasks": "common nn modeling text contract",
    "conversion": "common nn modeling",
    "downloads": "common nn modeling text engine tasks",
    "jobs": "common engine",
    "cli": BELOW_CLI,
    "commands": BELOW_CLI + " cli",
}
TASK_PACKAGES = ("glue", "squad", "race", "tagging", "pretraining")
COMMAND_PACKAGES = ("export", "report", "serve")
LARGEST_DOOR = 20
LARGEST_PACKAGE = 16

MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.name != "__init__.py"
)
PACKAGES = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def room_of(module):
    """Returns the key of ALLOWED for a module such as `modeling` or `engine.task`."""
    package = module.split(".")[0]
    if module == "engine.task":
        return "contract"
    if package == "tokenization":
        return "text"
    if package in TASK_PACKAGES or package.endswith("_utils"):
        return "tasks"
    return package if package in ALLOWED else "commands"


def is_allowed(module, imported):
    """Whether `module` may import `imported`."""
    room, other = room_of(module), room_of(imported)
    return room == other or other in ALLOWED[room].split()


@functools.lru_cache(maxsize=None)
def tree_of(module):
    path = PACKAGE.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_names(tree):
    """Returns the dotted names that a tree imports anywhere: `from a import b` gives a and a.b."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            names.add(source)
            names.update(f"{source}.{alias.name}" for alias in node.names)
    return names


def siblings(tree, modules=MODULES):
    """Returns the modules of the project that a tree imports."""
    names = {name[len("albert.") :] for name in imported_names(tree) if name.startswith("albert.")}
    return names & set(modules)


def relative_imports(tree):
    return [name for name in imported_names(tree) if name.startswith(".")]


@functools.lru_cache(maxsize=None)
def dotted_names(tree):
    """Returns all names and attribute chains of a tree, such as `tf.train` and `tf.train.Saver`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)):
            parts = []
            while isinstance(node, ast.Attribute):
                parts.append(node.attr)
                node = node.value
            if isinstance(node, ast.Name):
                names.add(".".join([node.id] + parts[::-1]))
    return names


def mentions(tree, dotted):
    """Whether a tree names or imports `dotted` or something in it, under any prefix."""
    pattern = re.compile(rf"(^|\.){re.escape(dotted)}(\.|$)")
    return any(pattern.search(name) for name in dotted_names(tree) | imported_names(tree))


def cycle_in(graph):
    """Returns the modules that are on, or only reached through, a cycle; empty if there is none."""
    left = dict(graph)
    while left:
        free = [module for module, imports in left.items() if not imports & set(left)]
        if not free:
            return sorted(left)
        for module in free:
            del left[module]
    return []


# The rooms


def test_every_package_is_in_the_rules():
    assert set(PACKAGES) - {*TASK_PACKAGES, *COMMAND_PACKAGES} <= set(ALLOWED)


def test_the_rules_run_in_no_circle():
    assert cycle_in({room: set(others.split()) for room, others in ALLOWED.items()}) == []


def test_no_room_is_too_large():
    rooms = [module.rpartition(".")[0] for module in MODULES]
    sizes = {room: rooms.count(room) for room in rooms}
    assert sizes.pop("") <= LARGEST_DOOR
    assert {room: size for room, size in sizes.items() if size > LARGEST_PACKAGE} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_itself_is_one_sentence(package):
    (sentence,) = tree_of(package).body
    text = ast.literal_eval(sentence.value)
    assert text.count(". ") == 0 and text.endswith(".")


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_what_the_rules_allow(module):
    imported = siblings(tree_of(module))
    assert [name for name in sorted(imported) if not is_allowed(module, name)] == []
    assert relative_imports(tree_of(module)) == []


def test_imports_run_in_no_circle():
    assert cycle_in({module: siblings(tree_of(module)) for module in MODULES}) == []


@pytest.mark.parametrize("module", MODULES)
def test_only_training_names_estimator(module):
    allowed = ("engine.training_loop", "engine.model_fn")
    assert not mentions(tree_of(module), "estimator") or module in allowed


@pytest.mark.parametrize("module", MODULES)
def test_only_commands_and_cli_know_flags(module):
    tree = tree_of(module)
    reads_flags = any(mentions(tree, name) for name in ("flags", "FLAGS", "absl", "argparse"))
    assert not reads_flags or room_of(module) in ("commands", "cli")


@pytest.mark.parametrize("module", MODULES)
def test_no_module_uses_contrib(module):
    assert not mentions(tree_of(module), "contrib")


@pytest.mark.parametrize(
    "module", [name for name in MODULES if room_of(name) in ("engine", "contract")]
)
def test_engine_names_no_task(module):
    from albert.glue.table import GLUE_ROWS

    source = PACKAGE.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    names = "|".join(map(re.escape, [*GLUE_ROWS, *TASK_PACKAGES]))
    pattern = rf"(?<![a-z0-9])({names})(?![a-z0-9])"
    assert re.findall(pattern, source.lower()) == []


# What the tests above see


@pytest.mark.parametrize(
    "line",
    [
        "import albert.engine.task",
        "import albert.engine.task as contract",
        "from albert.engine import task",
        "from albert.engine.task import build",
        "def late():\n    from albert.engine import task",
    ],
)
def test_every_form_of_import_is_seen(line):
    assert siblings(ast.parse(line)) == {"engine.task"}


@pytest.mark.parametrize("line", ["from . import task", "from .task import build"])
def test_relative_imports_are_seen(line):
    assert relative_imports(ast.parse(line))


@pytest.mark.parametrize(
    "line",
    [
        "tf.estimator.Estimator()",
        "from tensorflow.compat.v1 import estimator",
        "import tensorflow.estimator",
        "from tensorflow.estimator import RunConfig",
        "x = tf.compat.v1.estimator",
    ],
)
def test_every_form_of_estimator_is_seen(line):
    assert mentions(ast.parse(line), "estimator")


def test_estimator_in_a_comment_or_a_longer_name_is_no_mention():
    assert not mentions(ast.parse("'tf.estimator'  # tf.estimator\nestimators = 1"), "estimator")


@pytest.mark.parametrize(
    "module, imported",
    [
        ("modeling", "engine.task"),
        ("common.files", "modeling"),
        ("engine.training", "classifier_utils"),
        ("classifier_utils", "engine.training"),
        ("squad.heads", "engine.training"),
        ("downloads.glue", "cli.downloads"),
        ("engine.training", "cli.recipes"),
        ("glue.table", "cli.recipes"),
        ("engine.task", "engine.predictor"),
        ("cli.quiet", "run_multigpus_classifier"),
    ],
)
def test_import_upward_or_across_is_not_allowed(module, imported):
    assert not is_allowed(module, imported)


def test_circle_is_found():
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


def test_nothing_is_pickled_by_our_code():
    for module in MODULES:
        found = {name.split(".")[0] for name in imported_names(tree_of(module))}
        assert not found & {"pickle", "cPickle", "dill", "joblib", "shelve"}, module


# What an import does

IMPORT_ALL = """
import logging, os, signal, sys, threading

import tensorflow.compat.v1 as tf
from absl import flags
%s
made = []
base = [cls for cls in tf.Session.__mro__ if cls.__name__ == "BaseSession"][0]
base_init = base.__init__
def watched(self, *args, **kwargs):
    made.append(self)
    base_init(self, *args, **kwargs)
base.__init__ = watched

def state():
    return {
        "environment": dict(os.environ),
        "flags": sorted(flags.FLAGS),
        "flags are parsed": flags.FLAGS.is_parsed(),
        "operations of the default graph": len(tf.Graph.get_operations(tf.get_default_graph())),
        "handlers of logging": list(logging.getLogger().handlers),
        "handlers of signals": [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)],
        "threads": threading.active_count(),
        "folder": (os.getcwd(), sorted(os.listdir("."))),
        "eager": tf.executing_eagerly(),
        "sessions": len(made),
    }

before = state()
for name in %r:
    __import__("albert." + name)
after = state()
print([key for key in before if before[key] != after[key]])
"""


def run_python(code, folder):
    environment = dict(os.environ, PYTHONPATH=str(PACKAGE.parent), PYTHONDONTWRITEBYTECODE="1")
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=str(folder),
        env=environment,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


def test_importing_every_module_changes_nothing(tmp_path):
    # Other packages are imported first: what they do is not ours.
    others = "import hashlib, scipy.stats, sentencepiece, sklearn.metrics, tqdm"
    assert run_python(IMPORT_ALL % (others, MODULES), tmp_path) == "[]"


def test_plain_modules_are_imported_without_tensorflow(tmp_path):
    names = [name for name in MODULES if room_of(name) == "common"]
    names += ["engine.results", "downloads.glue", "downloads.squad", "run_all_glue", "doctor"]
    names += ["sweep", *(name for name in MODULES if room_of(name) == "jobs")]
    imports = "import sys, " + ", ".join(f"albert.{name}" for name in names)
    assert run_python(f"{imports}\nprint('tensorflow' in sys.modules)", tmp_path) == "False"
