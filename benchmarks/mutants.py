"""Changes the package in one place at a time and checks that a test fails.

    python benchmarks/mutants.py [--only=NAME] [--jobs=2]

A mutant is a small change that makes the program wrong: another sign, a dropped term, a missing
check. mutants.txt lists them. Each is applied in a copy of the working tree, beside which there is
no ../shared, and the tests named with it run there until one fails. A mutant that no test notices
is a gap in the tests. Where the unchanged code fails, no mutant is tried. Ends with status 1 unless
every mutant is noticed.

The text that a mutant replaces must occur exactly once in its file; tests/test_mutants.py checks
that. When you change such a line, change its mutant too.
"""

import argparse
import concurrent.futures
import multiprocessing
import os
import pathlib
import queue
import re
import shlex
import shutil
import signal
import sys
import tempfile
from typing import NamedTuple

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
TABLE = pathlib.Path(__file__).with_suffix(".txt")
NOT_COPIED = (".git", ".venv", "__pycache__", ".*_cache", "glue_data", "quickstart")
# Processes are forked from one that has loaded what tests need: that takes longer than most tests.
PROCESSES = multiprocessing.get_context("forkserver")
PRELOADED = ["tensorflow.compat.v1", "tensorflow_estimator", "sentencepiece", "scipy.stats"]
PRELOADED += ["sklearn.metrics", "requests", "pooch", "pytest", "hypothesis"]
SECONDS_ALLOWED = 600  # for the tests of one mutant; a mutant that hangs has been noticed


class Mutant(NamedTuple):
    """A change of one file, and the arguments of pytest for the tests that must notice it."""

    name: str
    file: str
    old: str
    new: str
    tests: str


def read_mutants():
    """Returns the Mutants of mutants.txt, which explains its format."""
    mutants = []
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        section = re.match(r"\[(.+)\] (.+)", line)
        if section:
            file, tests = section.groups()
        elif line and not line.startswith("#"):
            name, change = line.split(": ", 1)
            old, new = (part.strip() for part in change.split("=>"))
            new, _, own_tests = (part.strip() for part in new.partition("@"))
            mutants.append(Mutant(name, file, old, new, own_tests or tests))
    return mutants


def misplaced(mutants):
    """Returns what is wrong with mutants whose text does not occur exactly once in their file."""
    counts = {m: (REPOSITORY / m.file).read_text(encoding="utf-8").count(m.old) for m in mutants}
    return [f"{m.name}: {m.file} has {m.old!r} {n} times." for m, n in counts.items() if n != 1]


def run_pytest(tree, tests):
    """Runs tests in a tree and ends this process with pytest's status."""
    os.chdir(str(tree))
    sys.path.insert(0, "")
    # Python would take a changed file for its compiled original if size and second agree.
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    # As in a process of a shell's, which the tests expect.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    multiprocessing.set_start_method("fork", force=True)
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    import pytest

    options = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-m", "not slow"]
    os._exit(pytest.main([*options, *shlex.split(tests)]))


def ending(tree, tests):
    """Returns how the tests end in a tree: "passed", "failed", or what pytest's status is."""
    process = PROCESSES.Process(target=run_pytest, args=(tree, tests))
    process.start()
    process.join(SECONDS_ALLOWED)
    if process.is_alive():
        process.kill()
        return "failed"
    endings = {0: "passed", 1: "failed"}
    return endings.get(process.exitcode, f"pytest ended with status {process.exitcode}")


def verdict(tree, mutant):
    """Returns what becomes of a mutant in a tree, which is left as it was."""
    path = tree / mutant.file
    original = path.read_text(encoding="utf-8")
    path.write_text(original.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        found = ending(tree, mutant.tests)
    finally:
        path.write_text(original, encoding="utf-8")
    return {"passed": "SURVIVED", "failed": "killed"}.get(found, f"ERROR: {found}")


def in_trees(function, values, num_trees):
    """Yields (value, function(tree, value)) in order; a tree is a copy with one value at a time."""
    trees = queue.Queue()

    def call(value):
        tree = trees.get()
        try:
            return function(tree, value)
        finally:
            trees.put(tree)

    ignore = shutil.ignore_patterns(*NOT_COPIED)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(num_trees):
            tree = pathlib.Path(folder, str(number), "tree")  # a ../shared would not be there
            shutil.copytree(str(REPOSITORY), str(tree), ignore=ignore)
            trees.put(tree)
        with concurrent.futures.ThreadPoolExecutor(num_trees) as pool:
            yield from zip(values, pool.map(call, values))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="only mutants with this in their name or file")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once (%(default)s)")
    arguments = parser.parse_args()
    chosen = [m for m in read_mutants() if arguments.only in m.name or arguments.only in m.file]
    errors = misplaced(chosen) or ["No mutant has that name."][bool(chosen) :]
    if errors:
        sys.exit("\n".join(errors))
    PROCESSES.set_forkserver_preload(PRELOADED)
    usable = set()
    for tests, found in in_trees(ending, sorted({m.tests for m in chosen}), arguments.jobs):
        if found == "passed":
            usable.add(tests)
        else:
            print(f"Without any mutant: {tests}: {found}.", flush=True)
    num_killed = 0
    for mutant, found in in_trees(
        verdict, [m for m in chosen if m.tests in usable], arguments.jobs
    ):
        num_killed += found == "killed"
        print(f"{found:8} {mutant.file} {mutant.name}", flush=True)
    print(f"{num_killed} of {len(chosen)} killed.")
    sys.exit(num_killed < len(chosen))


if __name__ == "__main__":
    main()
