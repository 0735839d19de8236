"""Chooses the devices of a run and the strategy by which they share the work.

All differences between TensorFlow 1.15 and 2.15 are handled here, but for those of a cluster's
strategy.
"""

import functools
import logging
import os
import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf
from tensorflow.python.client import device_lib
from tensorflow.python.framework import config as framework_config
from tensorflow.python.platform import build_info

from albert.common import parallel
from albert.common.errors import UsageError
from albert.modeling import AlbertConfig

FIRST_CAPABILITY_OF_BF16 = 8.0  # Ampere

IS_TF2 = tf.__version__.startswith("2.")

_log = logging.getLogger(__name__)


def prepare(num_cpu_devices: int = 1) -> None:
    """Switches TensorFlow to graph mode, with that many logical CPU devices.

    Call it before TensorFlow uses any device.

    Raises:
        UsageError: TensorFlow is already running in this process with fewer CPU devices.
    """
    if not IS_TF2:
        return  # graph mode is the default, and each session configures its own logical CPUs
    tf.disable_v2_behavior()
    cpu = tf.config.list_physical_devices("CPU")[0]
    configured = tf.config.get_logical_device_configuration(cpu) or [None]
    if len(configured) >= num_cpu_devices:
        return
    logical = [tf.config.LogicalDeviceConfiguration()] * num_cpu_devices
    try:
        tf.config.set_logical_device_configuration(cpu, logical)
    except RuntimeError as error:
        raise UsageError(
            f"TensorFlow already runs in this process with {len(configured)} CPU device(s), "
            f"not {num_cpu_devices}: call albert.engine.devices.prepare({num_cpu_devices}) first."
        ) from error


def choose(device_type: str, num_devices: int) -> Tuple[str, ...]:
    """Returns the names of the devices to use, such as ("/gpu:0", "/gpu:1").

    Args:
        device_type: "gpu", "cpu", or "auto": GPUs if there are any.
        num_devices: how many; a CPU counts as any number of devices.

    Raises:
        UsageError: there are not enough GPUs.
    """
    num_gpus = len(tf.config.experimental.list_physical_devices("GPU"))
    if device_type == "auto":
        device_type = "gpu" if num_gpus else "cpu"
        if device_type == "cpu":
            _log.info("TensorFlow sees no GPU: using the CPU.")
    if device_type == "gpu" and num_devices > num_gpus:
        raise UsageError(
            f"<num_devices>, but TensorFlow sees {num_gpus} GPU(s); ask for no more than that, or "
            "use <device_type>.",
            num_devices=num_devices,
            device_type="cpu",
        )
    if device_type == "cpu" and num_devices > parallel.num_cores():
        _log.warning(
            "%d replicas share %d CPU core(s), which is slower than as many replicas as cores.",
            num_devices,
            parallel.num_cores(),
        )
    return tuple(f"/{device_type}:{index}" for index in range(num_devices))


def make_strategy(devices: Sequence[str], all_reduce: str) -> Any:
    """Returns the tf.distribute strategy for training on these devices.

    Args:
        devices: names from `choose`.
        all_reduce: "nccl", "hierarchical_copy", or "auto": NCCL on GPUs.

    Raises:
        UsageError: see `check_all_reduce`.
    """
    check_all_reduce(devices, all_reduce)
    if len(devices) == 1:
        return tf.distribute.OneDeviceStrategy(devices[0])
    if all_reduce == "hierarchical_copy":
        reduction = tf.distribute.HierarchicalCopyAllReduce(num_packs=1)
    elif "gpu" in devices[0]:
        reduction = tf.distribute.NcclAllReduce(num_packs=1)  # all gradients are one tensor
    else:
        reduction = tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(list(devices), cross_device_ops=reduction)


def check_all_reduce(devices: Sequence[str], all_reduce: str) -> None:
    """Raises UsageError if NCCL is requested without GPUs."""
    if all_reduce == "nccl" and "gpu" not in devices[0]:
        raise UsageError(
            "<all_reduce> needs GPUs; use auto or hierarchical_copy.", all_reduce=all_reduce
        )


def check_precision(devices: Sequence[str], precision: str) -> None:
    """Checks that these devices can compute in a precision; warns where that is slow.

    Raises:
        UsageError: they cannot.
    """
    is_on_gpu = "gpu" in devices[0]
    if precision == "bf16" and not IS_TF2:
        other = "fp16" if is_on_gpu else "fp32"
        raise UsageError(
            f"<precision> needs TensorFlow 2.15, and this is {tf.__version__}: use {other}.",
            precision=precision,
        )
    if precision == "bf16" and is_on_gpu:
        for gpu in describe_gpus()[: len(devices)]:
            capability = gpu["compute_capability"]
            if capability and float(capability) < FIRST_CAPABILITY_OF_BF16:
                raise UsageError(
                    f"<precision> needs GPUs of compute capability {FIRST_CAPABILITY_OF_BF16} or "
                    f"above, and {gpu['name']} has {capability}: use fp16.",
                    precision=precision,
                )
    if precision == "fp16" and not is_on_gpu:
        _log.warning("fp16 is slow on a CPU, and for tests only.")


def uses_xla(
    devices: Sequence[str], precision: str, albert_config: AlbertConfig, xla: str = "auto"
) -> bool:
    """Returns whether XLA compiles the layers' gelu, see AlbertModel.

    On a CPU it made training and prediction in bf16 a tenth faster, but hardly in fp32; narrow
    layers gain less than the compilation takes. On GPUs it has not been measured.

    Args:
        xla: "on", "off", or "auto": where it is known to be faster.

    Raises:
        UsageError: it is on, and this TensorFlow cannot.
    """
    if xla == "on" and not IS_TF2:
        raise UsageError(
            f"<xla> needs TensorFlow 2.15, and this is {tf.__version__}: use auto or off.", xla=xla
        )
    is_on = xla == "on"
    if xla == "auto":
        is_wide = albert_config.intermediate_size >= 1024
        is_on = IS_TF2 and "cpu" in devices[0] and precision == "bf16" and is_wide
    if is_on:
        _compile_once(devices[0])
    return is_on


@functools.lru_cache(maxsize=None)
def _compile_once(device):
    """Lets XLA print what it prints at its first use in a process, and that to nowhere.

    It is two lines, whatever the level of TensorFlow's messages.
    """
    with tf.Graph().as_default(), tf.device(device), open(os.devnull, "wb") as nowhere:
        square = tf.function(tf.square, autograph=False, jit_compile=True)
        value = square(tf.random.uniform([]))
        stderr = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            with tf.Session(config=session_config((device,))) as session:
                session.run(value)
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def make_deterministic(devices: Sequence[str]) -> None:
    """Lets two runs with the same settings have the same bits, as they have on CPUs anyway.

    Raises:
        UsageError: these devices cannot do that.
    """
    if "gpu" not in devices[0]:
        return
    if not IS_TF2:
        raise UsageError(
            "<deterministic> needs TensorFlow 2.15 on GPUs: there, 1.15 adds the gradients of the "
            "embeddings in any order.",
            deterministic=True,
        )
    os.environ.setdefault("NCCL_ALGO", "Ring")  # the order of its tree is not fixed
    framework_config.enable_op_determinism()


def without_autotuning(dataset: Any) -> Any:
    """Returns the tf.data.Dataset with automatic tuning of buffers and threads turned off.

    On TensorFlow 2.15 the tuning thread keeps a whole core busy during training, and closing a
    session waits for that thread, for a minute or more.
    """
    if not IS_TF2:
        return dataset
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def session_config(devices: Sequence[str]) -> Any:
    """Returns the ConfigProto for sessions on these devices.

    GPU memory grows as needed, because training and prediction share the process.
    """
    config = tf.ConfigProto(allow_soft_placement=True)
    config.gpu_options.allow_growth = True
    rewriting = config.graph_options.rewrite_options
    # One pass of graph optimization: a second one delays the first step and makes none faster.
    rewriting.meta_optimizer_iterations = 1  # RewriterConfig.ONE
    # In large graphs the memory optimizer lets gradients of shared weights be added in the order in
    # which they are ready, so that no two runs have the same bits. It saved no memory and no time.
    rewriting.memory_optimization = 1  # RewriterConfig.NO_MEM_OPT
    if "cpu" in devices[0]:
        config.device_count["CPU"] = len(devices)
    return config


def tokens_to_predict(device: str) -> int:
    """Returns how many tokens, padding included, a batch for inference has on a device by default.

    On two CPU cores, ALBERT base was about as fast with 512 to 4096; with few, several devices end
    together. A GPU needs more to be busy (not measured); with 16384, the largest tensors of
    xxlarge have 1 to 2 GB.
    """
    return 1024 if "cpu" in device else 16384


def no_memory_for_weights(devices: Sequence[str]) -> UsageError:
    """Returns the error of a model that did not fit into memory even before its first batch."""
    settings: Dict[str, Any] = {"albert_config_file": None}
    advice = "a smaller model (<albert_config_file>)"
    if "cpu" not in devices[0]:
        settings["device_type"] = "cpu"
        advice = f"<device_type>, or {advice}"
    elif len(devices) > 1:  # they share the memory
        settings["num_devices"] = 1
        advice = f"<num_devices>, or {advice}"
    return UsageError(
        "The device has not enough memory for the weights of the model: end other programs that "
        f"use it, or try {advice}.",
        **settings,
    )


def no_memory_to_predict(num_features: int, length: int, setting: str) -> UsageError:
    """Returns the error of a batch that did not fit into memory in evaluation or prediction.

    Args:
        num_features: of the batch.
        length: tokens of its longest sequence.
        setting: that of the size of batches.
    """
    if num_features == 1:
        return UsageError(
            "The device has not enough memory to predict one example at a time: try "
            "<max_seq_length>.",
            max_seq_length=max(length // 2, 1),
        )
    return UsageError(
        f"The device has not enough memory to predict {num_features} examples of up to {length} "
        f"tokens at a time: try a smaller {f'<{setting}>'}.",
        **{setting: num_features // 2},
    )


def no_memory_to_train(
    batch_size: int, num_accumulated: int = 1, recomputes: bool = False, precision: str = "fp32"
) -> UsageError:
    """Returns the error of an update that did not fit into memory, with all that may help.

    A full disk is a ResourceExhaustedError of TensorFlow, too, and not meant here.

    Args:
        batch_size: examples that a replica computes at a time.
        num_accumulated: how many such batches an update has on each replica.
        recomputes: whether activations are computed again for the gradient, not kept.
        precision: "fp32", "bf16" or "fp16".
    """
    settings: Dict[str, Any] = {}
    advice = []
    if batch_size > 1:
        num_parts = next(parts for parts in range(2, batch_size + 1) if batch_size % parts == 0)
        settings["train_batch_size"] = batch_size // num_parts
        settings["gradient_accumulation_steps"] = num_accumulated * num_parts
        advice.append("<train_batch_size> with <gradient_accumulation_steps> (the same updates)")
    if not recomputes:
        settings["recompute_activations"] = None
        advice.append("<recompute_activations>")
    if precision == "fp32":
        settings["precision"] = "bf16" if IS_TF2 else "fp16"
        advice.append("<precision>")
    settings["max_seq_length"] = None
    advice.append("a smaller <max_seq_length>")
    return UsageError(
        f"The device has not enough memory to train on {batch_size} example(s) at a time: try "
        f"{', or '.join(advice)}.",
        **settings,
    )


def built_with() -> Tuple[Optional[str], Optional[str]]:
    """Returns the CUDA and cuDNN versions that TensorFlow was built with, None if without."""
    if IS_TF2:
        build = build_info.build_info
        return build.get("cuda_version"), build.get("cudnn_version")
    return (
        getattr(build_info, "cuda_version_number", None),
        getattr(build_info, "cudnn_version_number", None),
    )


def describe_gpus() -> List[Dict[str, Any]]:
    """Returns the GPUs that TensorFlow can use, for JSON.

    Each has a name, its free memory in bytes, and its compute capability, such as "7.0" (None if
    TensorFlow does not report it).
    """
    found = device_lib.list_local_devices(session_config(("/gpu:0",)))
    return [
        {
            "name": _match_description(device, r"name: ([^,]+)") or device.name,
            "memory": device.memory_limit,
            "compute_capability": _match_description(device, r"compute capability: ([\d.]+)"),
        }
        for device in found
        if device.device_type == "GPU"
    ]


def _match_description(device, pattern):
    match = re.search(pattern, device.physical_device_desc)
    return match and match.group(1)
