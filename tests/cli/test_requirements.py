"""Tests of albert.cli.requirements."""

import pathlib
import platform
import re
import sys

import pytest

from albert.cli import requirements

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
LINES = """
# A comment.
old==1.15.5; python_version == "3.7"
both<2 ; python_version == "3.7"
both>=2,<3; python_version >= "3.9"  # another
Any-Name
developer; extra == "dev"
""".splitlines()


@pytest.fixture
def without_packaging(monkeypatch):
    for name in ("packaging", "packaging.requirements", "packaging.specifiers"):
        monkeypatch.setitem(sys.modules, name, None)


def test_requirements_are_those_of_one_version_of_python():
    old = {"old": "==1.15.5", "both": "<2", "Any-Name": ""}
    assert requirements.for_python("3.7.16", LINES) == old
    assert requirements.for_python("3.11.7", LINES) == {"both": "<3,>=2", "Any-Name": ""}


def test_without_packaging_all_packages_are_known_and_any_version_is_allowed(without_packaging):
    names = ["old", "both", "Any-Name", "developer"]
    assert requirements.for_python("3.7.16", LINES) == dict.fromkeys(names, "")
    assert requirements.allows("<2", "2.0")


@pytest.mark.parametrize(
    "versions, version, is_allowed",
    [
        ("<1.19", "1.18.5", True),
        ("<1.19", "1.19.0", False),
        ("<1.19", "1.20rc1", False),
        ("", "2.0rc1", True),
        ("==0.2.0", "0.2", True),
        ("==0.2.0", "0.2.1", False),
    ],
)
def test_a_version_is_compared_with_the_allowed_ones(versions, version, is_allowed):
    assert requirements.allows(versions, version) == is_allowed


def test_a_checkout_states_its_requirements_in_requirements_txt():
    lines = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert requirements.read() == lines


@pytest.fixture
def installed_albert(tmp_path, monkeypatch):
    """Puts a distribution of the project on the path, without a checkout around the package."""
    info = tmp_path / "albert_multigpu-0.1.0.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", "Name: albert-multigpu", "Version: 0.1.0"]
    lines += [
        "Requires-Dist: absl-py",
        "Requires-Dist: numpy (<2)",
        'Requires-Dist: x; extra == "dev"',
    ]
    (info / "METADATA").write_text("\n".join([*lines, "Provides-Extra: dev", ""]))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(requirements, "_ROOT", tmp_path)
    if sys.version_info < (3, 8):
        import pkg_resources

        monkeypatch.setattr(pkg_resources, "working_set", pkg_resources.WorkingSet())


def test_without_a_checkout_the_installed_distribution_states_them(installed_albert):
    lines = requirements.read()
    assert requirements.for_python("3.11.7", lines) == {"absl-py": "", "numpy": "<2"}


def test_without_both_there_are_none(tmp_path, monkeypatch):
    monkeypatch.setattr(requirements, "_ROOT", tmp_path)
    monkeypatch.setattr(requirements, "_DISTRIBUTION", "no-such-distribution")
    assert requirements.read() == []


def test_a_requirements_txt_that_is_not_the_projects_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "requirements.txt").write_text("another\n")  # in site-packages, say
    monkeypatch.setattr(requirements, "_ROOT", tmp_path)
    monkeypatch.setattr(requirements, "_DISTRIBUTION", "no-such-distribution")
    assert requirements.read() == []


def test_installed_packages_have_the_version_they_report_themselves():
    import numpy

    installed = requirements.find_installed("numpy")
    assert installed is not None and installed.version == numpy.__version__
    assert requirements.find_installed("no-such-package") is None


def test_every_runtime_has_its_own_tensorflow_in_requirements_txt():
    from albert.cli import complaints

    for runtime in complaints.RUNTIMES:
        for python in runtime.pythons:
            required = requirements.for_python(f"{python}.1", requirements.read())
            (pin,) = [required[name] for name in required if name.startswith("tensorflow")]
            assert re.fullmatch(rf"=={runtime.tensorflow}\.\d+", pin)


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-dev.txt", "requirements-onnx.txt"]
)
def test_every_requirement_has_an_upper_bound_that_allows_what_is_installed(name):
    lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line and not line.startswith(("#", "-r"))]
    bounds = [set(re.findall("[<>=~!]+", line.split(";")[0])) for line in lines]
    unbounded = [line for line, found in zip(lines, bounds) if not found & {"<", "<=", "==", "~="}]
    assert lines and not unbounded
    for package, allowed in requirements.for_python(platform.python_version(), lines).items():
        installed = requirements.find_installed(package)
        assert installed is None or requirements.allows(allowed, installed.version), package
