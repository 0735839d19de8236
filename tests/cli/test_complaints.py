"""Tests of albert.cli.complaints on the facts of made-up machines."""

import pytest
from sample_machine import HOPPER, VOLTA, facts, old_facts, with_versions

from albert.cli import complaints, machine


def only_complaint(given):
    (complaint,) = complaints.find_complaints(given)
    return complaint


@pytest.mark.parametrize("make", [facts, old_facts])
def test_there_is_no_complaint_where_everything_fits(make):
    assert complaints.find_complaints(make()) == []


def test_a_machine_without_gpus_fits():
    without = facts(driver_gpus=[], tensorflow=facts().tensorflow._replace(gpus=[]))
    assert complaints.find_complaints(without) == []


@pytest.mark.parametrize(
    "python, version",
    [("3.7.16", "2.15.1"), ("3.11.7", "1.15.5"), ("3.11.7", "2.16.1"), ("3.8.1", "2.13.0")],
)
def test_a_pair_that_is_not_supported_is_named(python, version):
    tensorflow = facts().tensorflow._replace(version=version)
    # Packages that fit neither runtime have complaints of their own.
    found = complaints.about_runtime(facts(python=python, tensorflow=tensorflow))
    assert [f"Python {python} with TensorFlow {version}" in row.what for row in found] == [True]
    assert "scripts/setup_env.sh" in found[0].remedy


@pytest.mark.parametrize("python", ["3.9.1", "3.10.4", "3.11.0"])
def test_three_pythons_have_tensorflow_2(python):
    assert complaints.find_complaints(facts(python=python)) == []


@pytest.mark.parametrize(
    "name, good, bad", [("numpy", "1.18.5", "1.19.0"), ("protobuf", "3.20.3", "3.21.0")]
)
def test_packages_too_new_for_tensorflow_1_are_named(name, good, bad):
    assert complaints.find_complaints(with_versions(old_facts(), **{name: good})) == []
    found = only_complaint(with_versions(old_facts(), **{name: bad}))
    assert found.what.startswith(f"{name} {bad} does not fit: Python 3.7.16 needs {name}<")
    assert found.remedy.startswith(f'pip install "{name}<')


@pytest.mark.parametrize("name, bad", [("numpy", "2.0.0"), ("protobuf", "5.26.1")])
def test_packages_too_new_for_tensorflow_2_are_named(name, bad):
    found = only_complaint(with_versions(facts(), **{name: bad}))
    assert found.what.startswith(f"{name} {bad} does not fit: Python 3.11.7 needs {name}<")


@pytest.mark.parametrize("make", [facts, old_facts])
@pytest.mark.parametrize("version", ["0.1.99", "0.2.1"])
def test_another_sentencepiece_is_named(make, version):
    found = only_complaint(with_versions(make(), sentencepiece=version))
    assert version in found.what and found.remedy == 'pip install "sentencepiece==0.2.0"'


@pytest.mark.parametrize("name", sorted({*facts().packages} - {"packaging"}))
def test_a_package_that_is_not_installed_is_named(name):
    found = only_complaint(with_versions(facts(), **{name: None}))
    assert found == (f"Not installed: {name}.", "pip install -r requirements.txt")


def test_a_missing_packaging_is_named_with_what_follows_from_it():
    found = only_complaint(with_versions(facts(), packaging=None))
    assert found.what.startswith("Not installed: packaging. Without packaging, the versions of")


def test_unknown_requirements_are_a_complaint():
    found = only_complaint(facts(required={}))
    assert found.what.startswith("There is no requirements.txt")


def test_a_package_that_cannot_be_imported_is_named_with_the_reason():
    found = only_complaint(facts(import_errors={"scipy": "ImportError: libgfortran.so.5"}))
    assert found.what == "scipy 0.9 cannot be imported: ImportError: libgfortran.so.5"


def test_two_tensorflows_are_one_too_many():
    found = only_complaint(with_versions(facts(), tensorflow_gpu="2.15.1"))
    assert "Both tensorflow and tensorflow-gpu" in found.what and "uninstall" in found.remedy


def test_a_missing_tensorflow_is_named():
    given = facts(tensorflow=machine.TensorFlow(error="No module named 'tensorflow'"))
    found = only_complaint(with_versions(given, tensorflow=None))
    assert "TensorFlow is not installed" in found.what


def test_a_tensorflow_distribution_of_another_name_is_accepted():
    # tensorflow-cpu, tensorflow-macos
    assert complaints.find_complaints(with_versions(facts(), tensorflow=None)) == []


def test_a_tensorflow_that_does_not_start_is_named_together_with_the_cause():
    broken = machine.TensorFlow(error="TypeError: Descriptors cannot not be created directly.")
    given = with_versions(old_facts(tensorflow=broken), protobuf="4.21.0")
    start, protobuf = complaints.find_complaints(given)
    assert "TensorFlow 1.15.5 does not start: TypeError: Descriptors" in start.what
    assert "protobuf 4.21.0" in protobuf.what


@pytest.mark.parametrize(
    "make, needs, remedy",
    [(facts, "CUDA 12.2", "tensorflow[and-cuda]==2.15.1"), (old_facts, "CUDA 10.0", "CUDA 10.0")],
)
def test_gpus_that_tensorflow_does_not_see_need_libraries(make, needs, remedy):
    tensorflow = make().tensorflow._replace(gpus=[], missing_libraries=("libcudnn.so.7",))
    found = only_complaint(make(tensorflow=tensorflow))
    assert needs in found.what and "libcudnn.so.7" in found.what
    assert remedy in found.remedy


@pytest.mark.parametrize("capability, is_too_new", [("7.5", False), ("8.0", True), ("9.0", True)])
def test_gpus_from_ampere_on_are_too_new_for_tensorflow_1(capability, is_too_new):
    gpu = {**HOPPER, "compute_capability": capability}
    given = old_facts(tensorflow=old_facts().tensorflow._replace(gpus=[gpu]))
    found = complaints.find_complaints(given)
    assert [f"compute capability {capability}" in row.what for row in found] == [True] * is_too_new


def test_a_gpu_of_unknown_capability_is_accepted():
    gpu = {**VOLTA, "compute_capability": None}
    given = old_facts(tensorflow=old_facts().tensorflow._replace(gpus=[gpu]))
    assert complaints.find_complaints(given) == []


@pytest.mark.parametrize("value", ["", " ", "-1"])
def test_hidden_gpus_are_named_once(value):
    tensorflow = facts().tensorflow._replace(gpus=[])
    found = only_complaint(facts(visible_devices=value, tensorflow=tensorflow))
    assert f"CUDA_VISIBLE_DEVICES={value!r}" in found.what and "unset" in found.remedy


def test_choosing_gpus_is_no_reason_to_complain():
    assert complaints.find_complaints(facts(visible_devices="0,1")) == []


def test_a_driver_that_fails_is_named_with_its_reason():
    found = only_complaint(facts(driver_gpus=[], driver_error="Driver/library version mismatch"))
    assert "nvidia-smi is there, but fails: Driver/library version mismatch" in found.what


@pytest.mark.parametrize("free, is_little", [((1 << 30) - 1, True), (1 << 30, False)])
def test_a_disk_with_less_than_a_gibibyte_is_named(free, is_little):
    found = complaints.find_complaints(facts(free_bytes=free))
    assert ["disk of /work" in row.what for row in found] == [True] * is_little
