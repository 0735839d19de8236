"""What a run would find on this machine: versions, devices and disk space.

Each package is imported in a process of its own, so that one that crashes ends nothing else. Only
`packaging`, which is pure Python, is imported in this process, if it is installed.
"""

import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
from typing import Any, Dict, FrozenSet, List, NamedTuple, Optional, Tuple

from albert.cli import requirements

TENSORFLOWS = ("tensorflow", "tensorflow-gpu")

# Modules to import where a package is called something else, or loads its C libraries later.
_MODULES = {
    "absl-py": "absl.flags",
    "matplotlib": "matplotlib.figure",
    "protobuf": "google.protobuf",
    "scikit-learn": "sklearn.metrics",
    "scipy": "scipy.stats",
}
_TIMEOUT = 300  # seconds; TensorFlow on a cold network disk takes a minute


class TensorFlow(NamedTuple):
    """What TensorFlow reports about itself.

    Attributes:
        version, cuda, cudnn: None where unknown.
        gpus: as albert.engine.devices.describe_gpus returns them; None where unknown.
        missing_libraries: shared libraries that it could not load.
        error: why it does not start, or None.
    """

    version: Optional[str] = None
    cuda: Optional[str] = None
    cudnn: Optional[str] = None
    gpus: Optional[List[Dict[str, Any]]] = None
    missing_libraries: Tuple[str, ...] = ()
    error: Optional[str] = None


class Facts(NamedTuple):
    """Everything that the doctor reports or judges.

    Attributes:
        python: its version.
        required: {package: allowed versions, such as "<1.19" or ""}, TensorFlow among them.
        versions: {package: installed version or None} of the required ones and all TENSORFLOWS.
        import_errors: {package: why it cannot be imported}.
        tensorflow: what TensorFlow reports about itself.
        driver_gpus: names of the GPUs that the NVIDIA driver sees.
        driver_error: why nvidia-smi fails; None where it works or is not installed.
        visible_devices: CUDA_VISIBLE_DEVICES; None where it is not set.
        folder: the working directory.
        free_bytes: free space on its disk.
        num_cpus: CPU cores.
        cpu_features: instruction sets of the CPU, as Linux names them; empty where unknown.
    """

    python: str
    required: Dict[str, str]
    versions: Dict[str, Optional[str]]
    import_errors: Dict[str, str]
    tensorflow: TensorFlow
    driver_gpus: List[str]
    driver_error: Optional[str]
    visible_devices: Optional[str]
    folder: str
    free_bytes: int
    num_cpus: int
    cpu_features: FrozenSet[str]

    @property
    def packages(self) -> List[str]:
        """The required packages other than TensorFlow."""
        return [name for name in self.required if name not in TENSORFLOWS]

    @property
    def tensorflow_version(self) -> Optional[str]:
        """TensorFlow's version, even if it does not start; None where it is not installed."""
        installed = [self.versions[name] for name in TENSORFLOWS if self.versions[name]]
        return self.tensorflow.version or (installed[0] if installed else None)


def gather_facts() -> Facts:
    """Returns the Facts of this machine."""
    python = platform.python_version()
    required = requirements.for_python(python, requirements.read())
    versions = {name: _version_of(name) for name in (*required, *TENSORFLOWS)}
    tried = [name for name in required if versions[name] and name not in TENSORFLOWS]
    errors = {name: import_error(_MODULES.get(name, name)) for name in tried}
    driver_gpus, driver_error = ask_driver()
    folder = os.getcwd()
    return Facts(
        python=python,
        required=required,
        versions=versions,
        import_errors={name: error for name, error in errors.items() if error},
        tensorflow=ask_tensorflow(),
        driver_gpus=driver_gpus,
        driver_error=driver_error,
        visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
        folder=folder,
        free_bytes=shutil.disk_usage(folder).free,
        num_cpus=os.cpu_count() or 1,
        cpu_features=read_cpu_features(),
    )


def fast_precisions(facts: Facts, gpu: Optional[Dict[str, Any]] = None) -> List[str]:
    """Returns the values of --precision in which a GPU, or by default the CPU, is fast.

    That is where it multiplies matrices of that precision in hardware, and TensorFlow uses it.
    """
    has_bf16 = (facts.tensorflow_version or "").startswith("2.")
    if gpu is None:
        is_fast = {"fp32": True, "bf16": facts.cpu_features & {"avx512_bf16", "amx_bf16"}}
    else:
        capability = float(gpu["compute_capability"] or 0)
        is_fast = {"fp32": True, "bf16": capability >= 8, "fp16": capability >= 7}
    return [name for name, fast in is_fast.items() if fast and (name != "bf16" or has_bf16)]


def read_cpu_features(path: str = "/proc/cpuinfo") -> FrozenSet[str]:
    """Returns the instruction sets of the CPU; an empty set where Linux does not list them."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return frozenset(flags.group(1).split()) if flags else frozenset()


def _version_of(package: str) -> Optional[str]:
    installed = requirements.find_installed(package)
    return installed and installed.version


def import_error(module: str) -> Optional[str]:
    """Returns why a module cannot be imported, or None."""
    return run([sys.executable, "-W", "ignore", "-c", f"import {module}"]).error


def ask_tensorflow() -> TensorFlow:
    """Returns what the TensorFlow of this Python reports about itself."""
    code = "from albert.cli import machine; machine.print_tensorflow()"
    # At this log level TensorFlow names the libraries that it cannot load.
    answer = run([sys.executable, "-W", "ignore", "-c", code], TF_CPP_MIN_LOG_LEVEL="1")
    fields: Dict[str, Any] = {}
    for line in answer.stdout.splitlines():
        if line.startswith("{"):
            fields.update(json.loads(line))
    missing = re.findall(r"Could not load dynamic library '([^']+)'", answer.stderr)
    return TensorFlow(missing_libraries=tuple(missing), error=answer.error, **fields)


def print_tensorflow() -> None:
    """Prints fields of TensorFlow as JSON.

    Versions come first, on a line of their own: looking for GPUs may end the process.
    """
    from albert.engine import devices

    cuda, cudnn = devices.built_with()
    versions = {"version": devices.tf.__version__, "cuda": cuda, "cudnn": cudnn}
    print(json.dumps(versions), flush=True)
    print(json.dumps({"gpus": devices.describe_gpus()}), flush=True)


def ask_driver() -> Tuple[List[str], Optional[str]]:
    """Returns (names of the GPUs that the driver sees, why nvidia-smi fails or None)."""
    if not shutil.which("nvidia-smi"):
        return [], None
    answer = run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    return ([], answer.error) if answer.error else (answer.stdout.split("\n")[:-1], None)


class Answer(NamedTuple):
    """What a command printed, and why it failed, None if it did not."""

    stdout: str
    stderr: str
    error: Optional[str]


def run(command: List[str], **environment: str) -> Answer:
    """Runs a command in the folder that holds this package, and returns its Answer."""
    try:
        done = subprocess.run(
            command,
            cwd=str(pathlib.Path(__file__).resolve().parents[2]),
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


def _reason(output: str) -> Optional[str]:
    """Returns the last line, or that of the exception where several lines of advice follow it."""
    lines = output.splitlines()[-1:]
    return (re.findall(r"^[\w.]*Error: .+", output, re.MULTILINE) or lines or [None])[-1]
