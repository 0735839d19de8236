"""What on a machine does not fit the project, and what to do about it."""

import re
from typing import Dict, List, NamedTuple, Optional, Tuple

from albert.cli import requirements
from albert.cli.machine import TENSORFLOWS, Facts

GIB = 1 << 30

_SETUP = "bash scripts/setup_env.sh (it prints the path of a Python that fits)"
_REQUIREMENTS = "pip install -r requirements.txt"


class Runtime(NamedTuple):
    """A supported release of TensorFlow, and what it runs on.

    Attributes:
        tensorflow: the release, without its third number.
        pythons: versions of Python.
        libraries: what it needs for GPUs, as the end of a sentence.
        install_libraries: how to install that.
    """

    tensorflow: str
    pythons: Tuple[str, ...]
    libraries: str
    install_libraries: str


RUNTIMES = (
    Runtime(
        "1.15",
        ("3.7",),
        "CUDA 10.0, cuDNN 7 and driver 410 or later, and works on GPUs up to compute capability "
        "7.5",
        "install CUDA 10.0 and cuDNN 7, and add their folders to LD_LIBRARY_PATH",
    ),
    Runtime(
        "2.15",
        ("3.9", "3.10", "3.11"),
        "CUDA 12.2, cuDNN 8 and driver 525 or later",
        'pip install "tensorflow[and-cuda]==2.15.1"',
    ),
)


class Complaint(NamedTuple):
    """What does not fit, and what to do about it."""

    what: str
    remedy: str


def find_complaints(facts: Facts) -> List[Complaint]:
    """Returns all Complaints about a machine, the most serious first."""
    return [
        *about_runtime(facts),
        *about_packages(facts),
        *about_gpus(facts),
        *about_disk(facts),
    ]


def _runtime_of(facts: Facts) -> Optional[Runtime]:
    """Returns the Runtime of the installed TensorFlow, or None."""
    version = _numbers(facts.tensorflow_version or "")[:2]
    return next((row for row in RUNTIMES if _numbers(row.tensorflow) == version), None)


def _numbers(version: str) -> Tuple[int, ...]:
    """Returns the numbers of a version: "1.15.5" -> (1, 15, 5)."""
    return tuple(map(int, re.findall(r"\d+", version)))


def about_runtime(facts: Facts) -> List[Complaint]:
    """Returns the Complaints about Python and TensorFlow."""
    found = []
    if all(facts.versions[name] for name in TENSORFLOWS):
        what = "Both tensorflow and tensorflow-gpu are installed, and overwrite each other's files."
        remedy = f"pip uninstall tensorflow tensorflow-gpu, then {_REQUIREMENTS}"
        found.append(Complaint(what, remedy))
    version, runtime = facts.tensorflow_version, _runtime_of(facts)
    python = ".".join(facts.python.split(".")[:2])
    rows = [runtime] if runtime else RUNTIMES
    if not any(python in row.pythons for row in rows) or (version and not runtime):
        pair = f"Python {facts.python}" + (f" with TensorFlow {version}" if version else "")
        what = (
            f"{pair} is not supported: Python 3.7 with TensorFlow 1.15 is, and Python 3.9 to 3.11 "
            "with TensorFlow 2.15."
        )
        found.append(Complaint(what, _SETUP))
    if not version:
        what = "TensorFlow is not installed: neither tensorflow nor tensorflow-gpu is there."
        found.append(Complaint(what, _REQUIREMENTS))
    elif facts.tensorflow.error:
        what = f"TensorFlow {version} does not start: {facts.tensorflow.error}"
        found.append(
            Complaint(what, f"solve the other problems first; if that is not it, {_SETUP}")
        )
    return found


def about_packages(facts: Facts) -> List[Complaint]:
    """Returns the Complaints about packages other than TensorFlow."""
    if not facts.packages:
        what = "There is no requirements.txt beside the package, nor is the package installed."
        return [Complaint(what, "install the project with pip, or run it from a checkout")]
    found = []
    missing = [name for name in facts.packages if not facts.versions[name]]
    if missing:
        what = f"Not installed: {', '.join(missing)}."
        if "packaging" in missing:
            what += " Without packaging, the versions of the others are not checked."
        found.append(Complaint(what, _REQUIREMENTS))
    for name in facts.packages:
        version, allowed = facts.versions[name], facts.required[name]
        if version and not requirements.allows(allowed, version):
            what = f"{name} {version} does not fit: Python {facts.python} needs {name}{allowed}."
            found.append(Complaint(what, f'pip install "{name}{allowed}"'))
        elif name in facts.import_errors:
            what = f"{name} {version} cannot be imported: {facts.import_errors[name]}"
            found.append(Complaint(what, f"pip install --force-reinstall {name}=={version}"))
    return found


def about_gpus(facts: Facts) -> List[Complaint]:
    """Returns the Complaints about GPUs that are present but cannot be used."""
    gpus, runtime = facts.tensorflow.gpus, _runtime_of(facts)
    if facts.driver_error:
        what = f"nvidia-smi is there, but fails: {facts.driver_error}"
        return [Complaint(what, "repair the NVIDIA driver; until then use --device_type=cpu")]
    if facts.visible_devices is not None and facts.visible_devices.strip() in ("", "-1"):
        what = f"CUDA_VISIBLE_DEVICES={facts.visible_devices!r} hides every GPU."
        return [Complaint(what, "unset CUDA_VISIBLE_DEVICES, unless you want to use CPUs only")]
    if facts.driver_gpus and gpus == [] and runtime:
        return [_gpus_not_found(facts, runtime)]
    if runtime is RUNTIMES[0]:
        return [_gpu_too_new(gpu) for gpu in gpus or [] if _is_too_new(gpu)]
    return []


def _gpus_not_found(facts: Facts, runtime: Runtime) -> Complaint:
    missing = facts.tensorflow.missing_libraries
    what = (
        f"The driver sees {len(facts.driver_gpus)} GPU(s), {facts.driver_gpus[0]}, but TensorFlow "
        f"sees none. TensorFlow {runtime.tensorflow} needs {runtime.libraries}."
    )
    if missing:
        what += f" It did not find {', '.join(missing)}."
    return Complaint(what, runtime.install_libraries)


def _is_too_new(gpu: Dict) -> bool:
    return _numbers(gpu["compute_capability"] or "0") >= (8,)


def _gpu_too_new(gpu: Dict) -> Complaint:
    what = (
        f"{gpu['name']} has compute capability {gpu['compute_capability']}, too new for "
        "TensorFlow 1.15, which supports GPUs up to 7.5 (V100, T4)."
    )
    return Complaint(what, "PYTHON=python3.11 bash scripts/setup_env.sh (TensorFlow 2.15)")


def about_disk(facts: Facts) -> List[Complaint]:
    """Returns the Complaint about the disk of the working directory, if it is nearly full."""
    if facts.free_bytes >= GIB:
        return []
    what = (
        f"Only {facts.free_bytes / GIB:.2f} GiB are free on the disk of {facts.folder}. A "
        "checkpoint of base takes 0.14 GB, one of xxlarge 2.7 GB, and six are kept."
    )
    return [Complaint(what, "free some space, or choose an --output_dir on another disk")]
