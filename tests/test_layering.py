"""Tests of the layers: which module may import which, and what an import may do."""

import ast
import functools
import os
import pathlib
import re
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / "albert"

# A module imports modules of its own layer and of lower ones. The package itself, `albert`, is
# empty and below all of them.
LAYERS = {
    1: "errors files quiet tokenization metrics checkpoints results run_identity glue parallel "
    "alignment json_files squad_data squad_decoding squad_features squad_metrics race_data "
    "downloads archives recipes progress learning_curve glue_report console",
    2: "devices token_layout modeling custom_optimization input_pipeline pretrained",
    3: "task finetune_config",
    4: "predictor evaluation hooks training common_flags classifier_utils squad_heads squad_utils "
    "race_utils download_flags",
    5: "run_multigpus_classifier run_multigpus_squad run_multigpus_race evaluate_squad "
    "download_glue download_squad download_models run_all_glue doctor flag_reference",
}
LAYER_OF = {module: layer for layer, names in LAYERS.items() for module in names.split()}
# The two halves of layer 4 never import each other; common_flags may import the engine.
ENGINE = {"predictor", "evaluation", "hooks", "training"}
TASKS = {"classifier_utils", "squad_heads", "squad_utils", "race_utils"}
FLAG_READERS = {module for module, layer in LAYER_OF.items() if layer == 5}
FLAG_READERS |= {"common_flags", "download_flags"}

MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


@functools.lru_cache(maxsize=None)
def tree_of(module):
    return ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))


def imported_names(tree):
    """Returns the dotted names that a tree imports anywhere: `from a import b` gives a and a.b."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:  # from . import b
                source = ".".join(filter(None, ["albert", source]))
            names.add(source)
            names.update(f"{source}.{alias.name}" for alias in node.names)
    return names


def siblings(tree):
    """Returns the modules of the package that a tree imports."""
    parts = [name.split(".") for name in imported_names(tree)]
    return {part[1] for part in parts if part[0] == "albert" and len(part) > 1}


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


def is_allowed(module, imported):
    """Whether the layers let `module` import `imported`."""
    if {module, imported} <= ENGINE | TASKS and (module in ENGINE) != (imported in ENGINE):
        return False
    if LAYER_OF[module] == LAYER_OF[imported] == 4 and imported == "common_flags":
        return False
    if module == "common_flags" and imported in TASKS:
        return False
    return LAYER_OF[imported] <= LAYER_OF[module]


def graph_of_imports():
    return {module: siblings(tree_of(module)) & set(MODULES) for module in MODULES}


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


# The layers


def test_every_module_has_a_layer():
    assert MODULES == sorted(LAYER_OF)


def test_package_has_no_inner_packages():
    assert [path for path in PACKAGE.glob("*/*.py")] == []


def test_package_itself_imports_nothing():
    assert imported_names(tree_of("__init__")) == set()


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_its_own_layer_or_lower_ones(module):
    imported = siblings(tree_of(module)) & set(MODULES)
    assert [name for name in sorted(imported) if not is_allowed(module, name)] == []


def test_imports_run_in_no_circle():
    assert cycle_in(graph_of_imports()) == []


@pytest.mark.parametrize("module", MODULES)
def test_only_training_names_estimator(module):
    assert not mentions(tree_of(module), "estimator") or module == "training"


@pytest.mark.parametrize("module", MODULES)
def test_only_runners_and_common_flags_know_flags(module):
    tree = tree_of(module)
    reads_flags = any(mentions(tree, name) for name in ("flags", "FLAGS", "absl", "argparse"))
    assert not reads_flags or module in FLAG_READERS


@pytest.mark.parametrize("module", MODULES)
def test_no_module_uses_contrib(module):
    assert not mentions(tree_of(module), "contrib")


@pytest.mark.parametrize(
    "module", sorted(ENGINE | {"task", "finetune_config", "results", "input_pipeline"})
)
def test_engine_names_no_task(module):
    from albert import classifier_utils

    source = (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
    names = "|".join(map(re.escape, [*classifier_utils.GLUE_ROWS, "glue", "squad", "race"]))
    pattern = rf"(?<![a-z0-9])({names})(?![a-z0-9])"
    assert re.findall(pattern, source.lower()) == []


# What the tests above see


@pytest.mark.parametrize(
    "line",
    [
        "import albert.task",
        "import albert.task as contract",
        "from albert import task",
        "from albert.task import build",
        "from . import task",
        "from .task import build",
        "def late():\n    from albert import task",
    ],
)
def test_every_form_of_import_is_seen(line):
    assert siblings(ast.parse(line)) - {"build"} == {"task"}


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
        ("modeling", "task"),
        ("files", "modeling"),
        ("training", "classifier_utils"),
        ("classifier_utils", "training"),
        ("common_flags", "classifier_utils"),
        ("training", "common_flags"),
        ("classifier_utils", "common_flags"),
        ("task", "predictor"),
        ("common_flags", "run_multigpus_classifier"),
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
    names = (
        "errors files quiet results archives downloads download_glue download_squad run_all_glue"
    )
    imports = "import sys, " + ", ".join(f"albert.{name}" for name in names.split())
    assert run_python(f"{imports}\nprint('tensorflow' in sys.modules)", tmp_path) == "False"
