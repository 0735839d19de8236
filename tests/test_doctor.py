"""Tests of albert.doctor: every complaint from made-up facts, and the command on this machine."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from albert import doctor

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
VOLTA = {"name": "Tesla V100", "memory": 15 << 30, "compute_capability": "7.0"}
HOPPER = {"name": "NVIDIA H200", "memory": 130 << 30, "compute_capability": "9.0"}
OTHERS = {name: "1.0" for name in doctor.PACKAGES}
OLD = {**OTHERS, "numpy": "1.18.5", "protobuf": "3.20.3", "sentencepiece": "0.2.0"}
NEW = {**OTHERS, "numpy": "1.26.4", "protobuf": "4.25.9", "sentencepiece": "0.2.0"}


def facts(**changes):
    """Returns the Facts of a machine with TensorFlow 2.15 and two GPUs on which all fits."""
    fitting = doctor.Facts(
        python="3.11.7",
        packages={**NEW, "tensorflow": "2.15.1", "tensorflow-gpu": None},
        broken={},
        tensorflow=doctor.TensorFlow("2.15.1", "12.2", "8", [HOPPER, HOPPER]),
        driver_gpus=["NVIDIA H200", "NVIDIA H200"],
        driver_error=None,
        visible_devices=None,
        folder="/work",
        free_bytes=100 << 30,
        num_cpus=8,
    )
    return fitting._replace(**changes)


def old_facts(**changes):
    """Returns the Facts of a machine with TensorFlow 1.15 and a V100 on which all fits."""
    fitting = facts(
        python="3.7.16",
        packages={**OLD, "tensorflow": None, "tensorflow-gpu": "1.15.5"},
        tensorflow=doctor.TensorFlow("1.15.5", "10", "7", [VOLTA]),
        driver_gpus=["Tesla V100"],
    )
    return fitting._replace(**changes)


def packages(base, **changes):
    return {**base.packages, **{name.replace("_", "-"): value for name, value in changes.items()}}


def only_complaint(given):
    (complaint,) = doctor.complaints(given)
    return complaint


@pytest.mark.parametrize("make", [facts, old_facts])
def test_nothing_is_said_where_all_fits(make):
    assert doctor.complaints(make()) == []
    assert doctor.report(make()).endswith("\nAll fits.")


def test_a_machine_without_gpus_fits():
    without = facts(driver_gpus=[], tensorflow=facts().tensorflow._replace(gpus=[]))
    assert doctor.complaints(without) == []


@pytest.mark.parametrize(
    "python, version",
    [("3.7.16", "2.15.1"), ("3.11.7", "1.15.5"), ("3.11.7", "2.16.1"), ("3.8.1", "2.13.0")],
)
def test_a_pair_that_is_not_supported_is_named(python, version):
    said = facts().tensorflow._replace(version=version)
    # Packages that fit neither runtime have complaints of their own.
    found = doctor.about_runtime(facts(python=python, tensorflow=said))
    assert [f"Python {python} with TensorFlow {version}" in row.what for row in found] == [True]
    assert "scripts/setup_env.sh" in found[0].remedy


@pytest.mark.parametrize("python", ["3.9.1", "3.10.4", "3.11.0"])
def test_three_pythons_have_tensorflow_2(python):
    assert doctor.complaints(facts(python=python)) == []


@pytest.mark.parametrize(
    "name, good, bad", [("numpy", "1.18.5", "1.19.0"), ("protobuf", "3.20.3", "3.21.0")]
)
def test_packages_too_new_for_tensorflow_1_are_named(name, good, bad):
    given = old_facts()
    assert doctor.complaints(given._replace(packages=packages(given, **{name: good}))) == []
    found = only_complaint(given._replace(packages=packages(given, **{name: bad})))
    assert f"{name} {bad} is too new for TensorFlow 1.15" in found.what
    assert found.remedy.startswith(f'pip install "{name}<')


@pytest.mark.parametrize("make", [facts, old_facts])
@pytest.mark.parametrize("version", ["0.1.99", "0.2.1"])
def test_another_sentencepiece_is_named(make, version):
    found = only_complaint(make(packages=packages(make(), sentencepiece=version)))
    assert version in found.what and found.remedy == "pip install sentencepiece==0.2.0"


@pytest.mark.parametrize("name", sorted(doctor.PACKAGES))
def test_a_package_that_is_not_installed_is_named(name):
    found = only_complaint(facts(packages={**facts().packages, name: None}))
    assert found == (f"Not installed: {name}.", "pip install -r requirements.txt")


def test_a_package_that_cannot_be_imported_is_named_with_the_reason():
    found = only_complaint(facts(broken={"scipy": "ImportError: libgfortran.so.5"}))
    assert found.what == "scipy 1.0 cannot be imported: ImportError: libgfortran.so.5"


def test_two_tensorflows_are_one_too_many():
    found = only_complaint(facts(packages=packages(facts(), tensorflow_gpu="2.15.1")))
    assert "Both tensorflow and tensorflow-gpu" in found.what and "uninstall" in found.remedy


def test_no_tensorflow_is_said_so():
    said = doctor.TensorFlow(error="ModuleNotFoundError: No module named 'tensorflow'")
    given = facts(packages=packages(facts(), tensorflow=None), tensorflow=said)
    found = only_complaint(given)
    assert "TensorFlow is not installed" in found.what
    report = doctor.report(given)
    assert re.search(r"TensorFlow +not installed", report)
    assert re.search(r"GPU +unknown", report)


def test_a_tensorflow_of_another_name_counts():
    # tensorflow-cpu, tensorflow-macos
    assert doctor.complaints(facts(packages=packages(facts(), tensorflow=None))) == []


def test_a_tensorflow_that_does_not_start_is_said_so_beside_the_cause():
    said = doctor.TensorFlow(error="TypeError: Descriptors cannot not be created directly.")
    given = old_facts(packages=packages(old_facts(), protobuf="4.21.0"), tensorflow=said)
    start, protobuf = doctor.complaints(given)
    assert "TensorFlow 1.15.5 does not start: TypeError: Descriptors" in start.what
    assert "protobuf 4.21.0" in protobuf.what


@pytest.mark.parametrize(
    "make, needs, remedy",
    [(facts, "CUDA 12.2", "tensorflow[and-cuda]==2.15.1"), (old_facts, "CUDA 10.0", "CUDA 10.0")],
)
def test_gpus_that_tensorflow_does_not_see_want_libraries(make, needs, remedy):
    said = make().tensorflow._replace(gpus=[], missing_libraries=("libcudnn.so.7",))
    found = only_complaint(make(tensorflow=said))
    assert needs in found.what and "libcudnn.so.7" in found.what
    assert remedy in found.remedy


@pytest.mark.parametrize("capability, is_too_new", [("7.5", False), ("8.0", True), ("9.0", True)])
def test_gpus_from_ampere_on_are_too_new_for_tensorflow_1(capability, is_too_new):
    gpu = {**HOPPER, "compute_capability": capability}
    given = old_facts(tensorflow=old_facts().tensorflow._replace(gpus=[gpu]))
    found = doctor.complaints(given)
    assert [f"compute capability {capability}" in row.what for row in found] == [True] * is_too_new


def test_a_gpu_that_does_not_tell_its_capability_is_let_pass():
    gpu = {**VOLTA, "compute_capability": None}
    given = old_facts(tensorflow=old_facts().tensorflow._replace(gpus=[gpu]))
    assert doctor.complaints(given) == []
    assert "15.0 GiB free\n" in doctor.report(given)


@pytest.mark.parametrize("value", ["", " ", "-1"])
def test_hidden_gpus_are_named_once(value):
    said = facts().tensorflow._replace(gpus=[])
    found = only_complaint(facts(visible_devices=value, tensorflow=said))
    assert f"CUDA_VISIBLE_DEVICES={value!r}" in found.what and "unset" in found.remedy


def test_chosen_gpus_are_no_complaint():
    assert doctor.complaints(facts(visible_devices="0,1")) == []


def test_a_driver_that_fails_is_named_with_its_reason():
    found = only_complaint(facts(driver_gpus=[], driver_error="Driver/library version mismatch"))
    assert "nvidia-smi is there, but fails: Driver/library version mismatch" in found.what


@pytest.mark.parametrize("free, is_little", [((1 << 30) - 1, True), (1 << 30, False)])
def test_a_disk_with_less_than_a_gibibyte_is_named(free, is_little):
    found = doctor.complaints(facts(free_bytes=free))
    assert ["disk of /work" in row.what for row in found] == [True] * is_little


def test_the_report_fits_80_columns_and_holds_every_complaint():
    given = old_facts(
        packages=packages(
            old_facts(), numpy="1.21.6", protobuf="4.21.0", tqdm=None, tensorflow="1.15.5"
        ),
        tensorflow=old_facts().tensorflow._replace(
            error="ImportError: " + "a long reason " * 20, gpus=[HOPPER]
        ),
        free_bytes=5,
    )
    report = doctor.report(given)
    assert max(map(len, report.splitlines())) <= 80
    flat = " ".join(report.split())
    for complaint in doctor.complaints(given):
        assert " ".join(complaint.what.split()) in flat and complaint.remedy in flat
    assert "1.15.5, built with CUDA 10 and cuDNN 7" in flat
    assert "GPU 0 NVIDIA H200, 130.0 GiB free, compute capability 9.0" in flat


# What the facts are made of


def test_packages_have_the_version_they_report_themselves():
    import numpy

    assert doctor.version_of("numpy") == numpy.__version__
    assert doctor.version_of("no-such-package") is None


def test_the_reason_of_a_failed_import_is_its_last_line():
    assert doctor.import_error("json") is None
    assert "No module named 'no_such_module'" in doctor.import_error("no_such_module")


@pytest.mark.parametrize(
    "code, error",
    [
        ("import os; os.kill(os.getpid(), 11)", "ended by SIGSEGV"),
        ("raise TypeError('no descriptors\\n\\nMore: https://...')", "TypeError: no descriptors"),
        ("raise SystemExit(3)", "exit status 3"),
        ("print('No devices were found'); raise SystemExit(6)", "No devices were found"),
    ],
)
def test_a_probe_that_dies_is_told_of(code, error):
    assert doctor.run([sys.executable, "-c", code]).error == error


def test_a_probe_that_hangs_is_told_of(monkeypatch):
    monkeypatch.setattr(doctor, "_TIMEOUT", 0.5)
    answer = doctor.run([sys.executable, "-c", "import time; time.sleep(60)"])
    assert answer.error == "no answer in 0.5 seconds"


def test_what_tensorflow_said_before_it_died_is_kept(monkeypatch):
    stdout = 'chatter\n{"version": "1.15.5", "cuda": "10", "cudnn": "7"}\n'
    stderr = "W dso_loader.cc:55] Could not load dynamic library 'libcudnn.so.7'; dlerror: ...\n"
    answer = doctor.Answer(stdout, stderr, "ended by SIGABRT")
    monkeypatch.setattr(doctor, "run", lambda *_, **__: answer)
    expected = ("1.15.5", "10", "7", None, ("libcudnn.so.7",), "ended by SIGABRT")
    assert doctor.ask_tensorflow() == expected


def put_nvidia_smi(folder, monkeypatch, script):
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_the_driver_names_its_gpus(tmp_path, monkeypatch):
    put_nvidia_smi(tmp_path, monkeypatch, "echo Tesla V100; echo Tesla T4")
    assert doctor.ask_driver() == (["Tesla V100", "Tesla T4"], None)


def test_a_driver_that_fails_names_none(tmp_path, monkeypatch):
    put_nvidia_smi(tmp_path, monkeypatch, "echo Failed to initialize NVML; exit 18")
    assert doctor.ask_driver() == ([], "Failed to initialize NVML")


def test_no_driver_is_no_failure(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.ask_driver() == ([], None)


# The command


def run_doctor(*arguments, options=(), **environment):
    return subprocess.run(
        [sys.executable, *options, "-m", "albert.doctor", *arguments],
        cwd=str(REPOSITORY),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_the_command_tells_of_this_machine():
    done = run_doctor(CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    assert re.search(
        r"^  TensorFlow +(1\.15|2\.15)\.\d, built with CUDA", done.stdout, re.MULTILINE
    )
    assert "CUDA_VISIBLE_DEVICES='' hides every GPU" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_command_works_without_any_package():
    done = run_doctor(options=["-S"])  # without site-packages
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    assert "Not installed: numpy, protobuf, sentencepiece" in done.stdout


def test_an_unknown_argument_is_an_error():
    done = run_doctor("--no_such_flag")
    assert done.returncode == 2
    assert "unrecognized arguments: --no_such_flag" in done.stderr


def test_every_required_package_is_looked_at():
    text = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
    required = set(re.findall(r"^[\w-]+", text, re.MULTILINE))
    assert required - set(doctor.TENSORFLOWS) - {"six"} == set(doctor.PACKAGES)
