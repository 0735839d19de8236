"""Tests of albert.doctor: the report, and the command on this machine."""

import os
import pathlib
import re
import subprocess
import sys

import pytest
from sample_machine import HOPPER, VOLTA, facts, old_facts, with_versions

from albert import doctor
from albert.cli import complaints, machine

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("make", [facts, old_facts])
def test_the_report_says_so_where_everything_fits(make):
    assert doctor.report(make()).endswith("\nEverything fits.")


def test_the_report_says_that_tensorflow_is_not_installed():
    given = facts(tensorflow=machine.TensorFlow(error="No module named 'tensorflow'"))
    report = doctor.report(with_versions(given, tensorflow=None))
    assert re.search(r"TensorFlow +not installed", report)
    assert re.search(r"GPU +unknown", report)


def test_the_report_leaves_out_a_compute_capability_that_is_not_known():
    gpu = {**VOLTA, "compute_capability": None}
    given = old_facts(tensorflow=old_facts().tensorflow._replace(gpus=[gpu]))
    assert "15.0 GiB free\n" in doctor.report(given)


def test_the_report_fits_80_columns_and_holds_every_complaint():
    broken = old_facts().tensorflow._replace(
        error="ImportError: " + "a long reason " * 20, gpus=[HOPPER]
    )
    versions = {"numpy": "1.21.6", "protobuf": "4.21.0", "tqdm": None, "tensorflow": "1.15.5"}
    given = with_versions(old_facts(tensorflow=broken, free_bytes=5), **versions)
    report = doctor.report(given)
    assert max(map(len, report.splitlines())) <= 80
    flat = " ".join(report.split())
    for complaint in complaints.find_complaints(given):
        assert " ".join(complaint.what.split()) in flat and complaint.remedy in flat
    assert "1.15.5, built with CUDA 10 and cuDNN 7" in flat
    assert "GPU 0 NVIDIA H200, 130.0 GiB free, compute capability 9.0" in flat


@pytest.mark.parametrize(
    "given, cpu, gpu",
    [
        (facts(), "fp32, bf16", "fp32 (as TF32), bf16, fp16"),
        (facts(cpu_features=frozenset({"avx2"})), "fp32", "fp32 (as TF32), bf16, fp16"),
        (old_facts(), "fp32", "fp32, fp16"),
    ],
)
def test_the_report_says_which_precisions_are_fast(given, cpu, gpu):
    flat = " ".join(doctor.report(given).split())
    assert f" CPU 8 core(s), fast in {cpu} GPU 0 " in flat
    assert re.search(rf"GPU 0 [^:]+, fast in {re.escape(gpu)} (GPU 1|Everything)", flat)


# The command


def run_doctor(*arguments, options=(), **environment):
    return subprocess.run(
        [sys.executable, *options, "-m", "albert.doctor", *arguments],
        cwd=str(REPOSITORY),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_the_command_reports_this_machine():
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
    assert "Not installed: numpy, protobuf, absl-py" in done.stdout


def test_an_unknown_argument_is_an_error():
    done = run_doctor("--no_such_flag")
    assert done.returncode == 2
    assert "unrecognized arguments: --no_such_flag" in done.stderr
