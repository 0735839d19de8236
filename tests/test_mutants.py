"""Tests of benchmarks.mutants: what its table says fits the code. Running it takes much longer."""

import collections
import importlib.util

import pytest
import runs

_spec = importlib.util.spec_from_file_location("mutants", runs.REPOSITORY / "benchmarks/mutants.py")
mutants = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(mutants)


def test_the_text_of_every_mutant_occurs_once_in_its_file():
    assert mutants.misplaced(mutants.read_mutants()) == []


def test_every_mutant_has_its_own_name_and_changes_something():
    counts = collections.Counter(mutant.name for mutant in mutants.read_mutants())
    assert [name for name, count in counts.items() if count > 1] == []
    assert len(counts) >= 86
    assert not [mutant.name for mutant in mutants.read_mutants() if mutant.old == mutant.new]


def test_every_mutated_module_can_still_be_compiled():
    for mutant in mutants.read_mutants():
        source = (runs.REPOSITORY / mutant.file).read_text(encoding="utf-8")
        compile(source.replace(mutant.old, mutant.new), mutant.name, "exec")


def test_text_that_is_missing_or_repeated_is_reported():
    whole = mutants.Mutant("none", "albert/modeling.py", "no such text", "x", "tests")
    common = whole._replace(name="many", old="config")
    first, second = mutants.misplaced([whole, common])
    assert first == "none: albert/modeling.py has 'no such text' 0 times."
    assert second.startswith("many: albert/modeling.py has 'config' ")


@pytest.mark.parametrize(
    "ending, expected",
    [
        ("failed", "killed"),
        ("passed", "SURVIVED"),
        ("pytest ended with status 4", "ERROR: pytest ended with status 4"),
    ],
)
def test_a_mutant_is_there_while_its_tests_run_and_its_file_is_restored(
    tmp_path, monkeypatch, ending, expected
):
    module = tmp_path / "module.py"
    module.write_text("ONE = 1\nTWO = 2\n", encoding="utf-8")

    def run_tests(tree, tests):
        assert (tree, tests) == (tmp_path, "tests/test_module.py")
        assert module.read_text(encoding="utf-8") == "ONE = 3\nTWO = 2\n"
        return ending

    monkeypatch.setattr(mutants, "ending", run_tests)
    mutant = mutants.Mutant("one", "module.py", "ONE = 1", "ONE = 3", "tests/test_module.py")
    assert mutants.verdict(tmp_path, mutant) == expected
    assert module.read_text(encoding="utf-8") == "ONE = 1\nTWO = 2\n"
