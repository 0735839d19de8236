"""Tells what a run would find on this machine, and what does not fit, with what to do about it.

    python -m albert.doctor

The exit status is 0 when all fits and 1 when something does not. Nothing that may be missing or
broken is imported in this process: a package that crashes takes only its own probe along.
"""

import argparse
import importlib
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from typing import Dict, List, NamedTuple, Optional

# Distributions and the modules that they bring.
PACKAGES = {
    "numpy": "numpy",
    "protobuf": "google.protobuf",
    "sentencepiece": "sentencepiece",
    "absl-py": "absl.flags",
    "scikit-learn": "sklearn.metrics",
    "scipy": "scipy.stats",
    "tqdm": "tqdm",
    "matplotlib": "matplotlib.figure",
    "pooch": "pooch",
    "requests": "requests",
}
TENSORFLOWS = ("tensorflow", "tensorflow-gpu")

_GIB = 1 << 30
_TIMEOUT = 300  # seconds; TensorFlow on a cold network disk takes a minute
_WIDTH = 79
_SETUP = "bash scripts/setup_env.sh (it prints the path of a Python that fits)"
_REQUIREMENTS = "pip install -r requirements.txt"


class Runtime(NamedTuple):
    """A supported TensorFlow, and what fits it; versions of packages are below the given ones."""

    tensorflow: str
    pythons: List[str]
    below: Dict[str, str]
    libraries: str
    install_libraries: str


RUNTIMES = (
    Runtime(
        "1.15",
        ["3.7"],
        {"numpy": "1.19", "protobuf": "3.21"},
        "CUDA 10.0, cuDNN 7 and a driver from 410, and drives GPUs up to compute capability 7.5",
        "install CUDA 10.0 and cuDNN 7, and put their folders into LD_LIBRARY_PATH",
    ),
    Runtime(
        "2.15",
        ["3.9", "3.10", "3.11"],
        {"numpy": "2", "protobuf": "5"},
        "CUDA 12.2, cuDNN 8 and a driver from 525",
        'pip install "tensorflow[and-cuda]==2.15.1"',
    ),
)


class Complaint(NamedTuple):
    """What does not fit, and what to do."""

    what: str
    remedy: str


class TensorFlow(NamedTuple):
    """What TensorFlow says of itself.

    Attributes:
        version, cuda, cudnn: str, None where unknown.
        gpus: list of dicts as albert.devices.describe_gpus returns; None where unknown.
        missing_libraries: names of the shared libraries that it could not load.
        error: why it could not be asked, or None.
    """

    version: Optional[str] = None
    cuda: Optional[str] = None
    cudnn: Optional[str] = None
    gpus: Optional[list] = None
    missing_libraries: tuple = ()
    error: Optional[str] = None


class Facts(NamedTuple):
    """All that complaints are made of.

    Attributes:
        python: str, version.
        packages: {distribution: version, None where it is not installed}.
        broken: {distribution: why it cannot be imported}.
        tensorflow: TensorFlow.
        driver_gpus: names of the GPUs that the driver sees.
        driver_error: why nvidia-smi fails, None where it works or is not there.
        visible_devices: CUDA_VISIBLE_DEVICES, None where it is not set.
        folder: the working folder.
        free_bytes: int, of its disk.
        num_cpus: int.
    """

    python: str
    packages: Dict[str, Optional[str]]
    broken: Dict[str, str]
    tensorflow: TensorFlow
    driver_gpus: List[str]
    driver_error: Optional[str]
    visible_devices: Optional[str]
    folder: str
    free_bytes: int
    num_cpus: int

    @property
    def tensorflow_version(self):
        """TensorFlow's version as str, also where it does not start; None: not installed."""
        installed = [self.packages[name] for name in TENSORFLOWS if self.packages[name]]
        return self.tensorflow.version or (installed[0] if installed else None)

    @property
    def runtime(self):
        """The Runtime of the installed TensorFlow, or None."""
        version = numbers(self.tensorflow_version or "")[:2]
        return next((row for row in RUNTIMES if numbers(row.tensorflow) == version), None)


# The facts


def gather():
    """Returns the Facts of this machine."""
    packages = {name: version_of(name) for name in (*PACKAGES, *TENSORFLOWS)}
    errors = {name: import_error(PACKAGES[name]) for name in PACKAGES if packages[name]}
    driver_gpus, driver_error = ask_driver()
    folder = os.getcwd()
    return Facts(
        python=platform.python_version(),
        packages=packages,
        broken={name: error for name, error in errors.items() if error},
        tensorflow=ask_tensorflow(),
        driver_gpus=driver_gpus,
        driver_error=driver_error,
        visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
        folder=folder,
        free_bytes=shutil.disk_usage(folder).free,
        num_cpus=os.cpu_count() or 1,
    )


def version_of(distribution):
    """Returns the version of an installed distribution, or None."""
    try:
        metadata = importlib.import_module("importlib.metadata")
    except ImportError:
        return _version_in_python_3_7(distribution)
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _version_in_python_3_7(distribution):
    try:
        working_set = importlib.import_module("pkg_resources").working_set
    except ImportError:  # no setuptools
        return None
    found = working_set.by_key.get(distribution)
    return found and found.version


def import_error(module):
    """Returns why a module cannot be imported, or None."""
    return run([sys.executable, "-W", "ignore", "-c", f"import {module}"]).error


def ask_tensorflow():
    """Returns the TensorFlow that this Python imports."""
    code = "from albert import doctor; doctor.print_tensorflow()"
    # At this level TensorFlow names the libraries that it cannot load.
    answer = run([sys.executable, "-W", "ignore", "-c", code], TF_CPP_MIN_LOG_LEVEL="1")
    said = {}
    for line in answer.stdout.splitlines():
        if line.startswith("{"):
            said.update(json.loads(line))
    missing = re.findall(r"Could not load dynamic library '([^']+)'", answer.stderr)
    return TensorFlow(missing_libraries=tuple(missing), error=answer.error, **said)


def print_tensorflow():
    """Prints fields of TensorFlow as JSON, line by line: GPUs may end the process."""
    from albert.engine import devices

    cuda, cudnn = devices.built_with()
    said = {"version": devices.tf.__version__, "cuda": cuda, "cudnn": cudnn}
    print(json.dumps(said), flush=True)
    print(json.dumps({"gpus": devices.describe_gpus()}), flush=True)


def ask_driver():
    """Returns (names of the GPUs that the driver sees, why it cannot be asked or None)."""
    if not shutil.which("nvidia-smi"):
        return [], None
    answer = run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    return ([], answer.error) if answer.error else (answer.stdout.split("\n")[:-1], None)


class Answer(NamedTuple):
    """What a command wrote, and why it failed, None if it did not."""

    stdout: str
    stderr: str
    error: Optional[str]


def run(command, **environment):
    """Returns the Answer of a command, run where this package is found."""
    try:
        done = subprocess.run(
            command,
            cwd=str(pathlib.Path(__file__).resolve().parents[1]),
            env=dict(os.environ, **environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return Answer("", "", f"no answer in {_TIMEOUT} seconds")
    error = None
    if done.returncode < 0:
        error = f"ended by {signal.Signals(-done.returncode).name}"
    elif done.returncode:
        error = _reason(done.stderr.strip() or done.stdout.strip())
        error = error or f"exit status {done.returncode}"
    return Answer(done.stdout, done.stderr, error)


def _reason(text):
    """Returns the last line, or that of the exception where advice in several lines follows it."""
    lines = text.splitlines()[-1:]
    return (re.findall(r"^[\w.]*Error: .+", text, re.MULTILINE) or lines or [None])[-1]


def numbers(version):
    """Returns the first three numbers of a version: "1.15.5" -> (1, 15, 5)."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


# The complaints


def complaints(facts):
    """Returns the Complaints about the Facts, the weightiest first."""
    return [
        *about_runtime(facts),
        *about_packages(facts),
        *about_gpus(facts),
        *about_disk(facts),
    ]


def about_runtime(facts):
    """Returns the Complaints about Python and TensorFlow."""
    version = facts.tensorflow_version
    found = []
    if all(facts.packages[name] for name in TENSORFLOWS):
        found.append(
            Complaint(
                "Both tensorflow and tensorflow-gpu are installed, and overwrite each other's "
                "files.",
                f"pip uninstall tensorflow tensorflow-gpu, then {_REQUIREMENTS}",
            )
        )
    python = ".".join(facts.python.split(".")[:2])
    rows = [facts.runtime] if facts.runtime else RUNTIMES
    if not any(python in row.pythons for row in rows) or (version and not facts.runtime):
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
        found.append(Complaint(what, f"see to the other points first, else {_SETUP}"))
    return found


def about_packages(facts):
    """Returns the Complaints about packages other than TensorFlow."""
    found = []
    missing = [name for name in PACKAGES if not facts.packages[name]]
    if missing:
        found.append(Complaint(f"Not installed: {', '.join(missing)}.", _REQUIREMENTS))
    for name in [name for name in PACKAGES if facts.packages[name]]:
        version = facts.packages[name]
        limit = facts.runtime and facts.runtime.below.get(name)
        if limit and numbers(version) >= numbers(limit):
            what = (
                f"{name} {version} is too new for TensorFlow {facts.runtime.tensorflow}, which "
                f"needs one below {limit}."
            )
            found.append(Complaint(what, f'pip install "{name}<{limit}"'))
        elif name == "sentencepiece" and version != "0.2.0":
            what = f"sentencepiece {version} is installed; the project is made for 0.2.0."
            found.append(Complaint(what, "pip install sentencepiece==0.2.0"))
        elif name in facts.broken:
            what = f"{name} {version} cannot be imported: {facts.broken[name]}"
            found.append(Complaint(what, f"pip install --force-reinstall {name}=={version}"))
    return found


def about_gpus(facts):
    """Returns the Complaints about GPUs that are there and cannot be used."""
    gpus = facts.tensorflow.gpus
    if facts.driver_error:
        what = f"nvidia-smi is there, but fails: {facts.driver_error}"
        remedy = "repair the NVIDIA driver; until then --device_type=cpu"
        return [Complaint(what, remedy)]
    if facts.visible_devices is not None and facts.visible_devices.strip() in ("", "-1"):
        what = f"CUDA_VISIBLE_DEVICES={facts.visible_devices!r} hides every GPU."
        return [Complaint(what, "unset CUDA_VISIBLE_DEVICES, unless only CPUs are wanted")]
    if facts.driver_gpus and gpus == [] and facts.runtime:
        return [_unseen(facts)]
    if facts.runtime is RUNTIMES[0]:
        return [_too_new(gpu) for gpu in gpus or [] if _is_too_new(gpu)]
    return []


def _unseen(facts):
    missing = facts.tensorflow.missing_libraries
    what = (
        f"The driver sees {len(facts.driver_gpus)} GPU(s), {facts.driver_gpus[0]}, but TensorFlow "
        f"sees none. TensorFlow {facts.runtime.tensorflow} needs {facts.runtime.libraries}."
    )
    if missing:
        what += f" It did not find {', '.join(missing)}."
    return Complaint(what, facts.runtime.install_libraries)


def _is_too_new(gpu):
    return numbers(gpu["compute_capability"] or "0") >= (8,)


def _too_new(gpu):
    what = (
        f"{gpu['name']} has compute capability {gpu['compute_capability']}, too new for "
        "TensorFlow 1.15, which knows GPUs up to 7.5 (V100, T4)."
    )
    return Complaint(what, "PYTHON=python3.11 bash scripts/setup_env.sh (TensorFlow 2.15)")


def about_disk(facts):
    """Returns the Complaint about the disk of the working folder, if it is nearly full."""
    if facts.free_bytes >= _GIB:
        return []
    what = (
        f"Only {facts.free_bytes / _GIB:.2f} GiB are free on the disk of {facts.folder}. A "
        "checkpoint of base takes 0.14 GB, one of xxlarge 2.7 GB, and six are kept."
    )
    return [Complaint(what, "free some space, or use an --output_dir elsewhere")]


# The report


def report(facts):
    """Returns the lines that tell the Facts and the Complaints about them, as one str."""
    lines = ["Versions", _row("Python", facts.python)]
    lines += [_row("TensorFlow", _tensorflow_line(facts))]
    lines += [_row(name, facts.packages[name] or "not installed") for name in PACKAGES]
    lines += ["", "Devices", _row("CPU", f"{facts.num_cpus} core(s)")]
    gpus = facts.tensorflow.gpus
    if gpus is None:
        lines.append(_row("GPU", "unknown, since TensorFlow does not start"))
    elif not gpus:
        lines.append(_row("GPU", "none that TensorFlow can use"))
    for index, gpu in enumerate(gpus or []):
        lines.append(_row(f"GPU {index}", _gpu_line(gpu)))
    found = complaints(facts)
    lines += ["", "What does not fit" if found else "All fits."]
    for complaint in found:
        lines += ["", _wrapped(complaint.what, "  ", 0)]
        lines += [_wrapped(f"-> {complaint.remedy}", "  ", 3)]
    return "\n".join(lines)


def _row(name, value):
    return _wrapped(f"{name:<14} {value}", "  ", 15)


def _wrapped(text, indent, hanging):
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + " " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _tensorflow_line(facts):
    if not facts.tensorflow_version:
        return "not installed"
    if not facts.tensorflow.version:
        return f"{facts.tensorflow_version}, which does not start"
    if not facts.tensorflow.cuda:
        return f"{facts.tensorflow_version}, built without CUDA"
    return (
        f"{facts.tensorflow_version}, built with CUDA {facts.tensorflow.cuda} and "
        f"cuDNN {facts.tensorflow.cudnn}"
    )


def _gpu_line(gpu):
    capability = gpu["compute_capability"]
    line = f"{gpu['name']}, {gpu['memory'] / _GIB:.1f} GiB free"
    return f"{line}, compute capability {capability}" if capability else line


def main():
    argparse.ArgumentParser(
        prog="doctor.py", description=(__doc__ or "").split("\n")[0]
    ).parse_args()
    facts = gather()
    print(report(facts))
    sys.exit(1 if complaints(facts) else 0)


if __name__ == "__main__":
    main()
