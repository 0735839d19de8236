"""TensorFlow's strategy for several workers, on the devices that we choose.

Left to itself, it takes every visible GPU of a machine, or makes its CPU a single replica, and
follows TF_CONFIG alone. Its methods that choose are replaced here, on both runtimes.
"""

import hashlib
import pathlib
from typing import Any, Dict, Sequence, Tuple

import tensorflow.compat.v1 as tf
from tensorflow.python.distribute import (
    collective_all_reduce_strategy,
    cross_device_ops,
    input_lib,
    mirrored_strategy,
)

from albert.cluster.spec import Cluster
from albert.common import files
from albert.common.errors import UsageError

_IS_TF2 = tf.__version__.startswith("2.")
_JOB = "worker"


def versions() -> Dict[str, str]:
    """Returns {what it is: version} of the programs that all workers must have in common.

    That of this package is a hash of its source, which a checkout has as well.
    """
    package = pathlib.Path(__file__).resolve().parents[1]
    sources = sorted(package.rglob("*.py"))
    hashes = [f"{path.relative_to(package)} {files.sha256(str(path))}" for path in sources]
    digest = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    return {"the package": digest, "TensorFlow": tf.__version__}


def start_server(cluster: Cluster, session_config: Any) -> Any:
    """Returns TensorFlow's server of this worker, a tf.train.Server, which has started.

    Args:
        session_config: the ConfigProto of its devices, already configured by the strategy.

    Raises:
        UsageError: its port is taken.
    """
    try:
        return tf.train.Server(
            _cluster_spec(cluster), _JOB, cluster.rank, protocol="grpc", config=session_config
        )
    except tf.errors.OpError as error:
        host = cluster.hosts[cluster.rank]
        raise UsageError(
            f"TensorFlow cannot listen on the port of {host}, this worker's address: "
            f"{error.message.splitlines()[0]}. Is another process there?"
        ) from error


def make_strategy(cluster: Cluster, devices: Sequence[str], all_reduce: str) -> Any:
    """Returns the tf.distribute strategy for these devices of every worker.

    Args:
        devices: names such as "/gpu:0", the same number on all workers.
        all_reduce: "nccl", "hierarchical_copy", which here is a ring of TensorFlow's own, or
            "auto": NCCL on GPUs.
    """
    is_on_gpu = "gpu" in devices[0]
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        _cluster_spec(cluster),
        task_type=_JOB,
        task_id=cluster.rank,
        num_accelerators={"GPU": len(devices)} if is_on_gpu else {},
        rpc_layer="grpc",
    )
    worker = f"/job:{_JOB}/task:{cluster.rank}"
    names = tuple(f"{worker}/device:{name[1:].upper()}" for name in devices)
    return _Strategy(resolver, names, is_on_gpu and all_reduce != "hierarchical_copy")


def _cluster_spec(cluster):
    return tf.train.ClusterSpec({_JOB: list(cluster.hosts)})


class _Strategy(collective_all_reduce_strategy.CollectiveAllReduceStrategyV1):
    """TensorFlow's, with an _Extended."""

    def __init__(self, resolver: Any, devices: Tuple[str, ...], uses_nccl: bool) -> None:
        tf.distribute.Strategy.__init__(self, _Extended(self, resolver, devices, uses_nccl))


class _Extended(collective_all_reduce_strategy.CollectiveAllReduceExtended):
    """Does the work of the strategy, on the given devices of this worker."""

    def __init__(
        self, strategy: Any, resolver: Any, devices: Tuple[str, ...], uses_nccl: bool
    ) -> None:
        self._own_devices = devices
        if _IS_TF2:
            kinds = tf.distribute.experimental.CommunicationImplementation
            options = tf.distribute.experimental.CommunicationOptions(
                implementation=kinds.NCCL if uses_nccl else kinds.RING
            )
            super().__init__(strategy, resolver, options)
            # Otherwise a single tensor, as our gradient is, goes over gRPC in a graph, where
            # TensorFlow does not order reductions. Ours are in order: each depends on the last.
            self._cross_device_ops._limited_nccl = False
        else:
            kinds = cross_device_ops.CollectiveCommunication
            super().__init__(strategy, kinds.NCCL if uses_nccl else kinds.RING, resolver)

    def _initialize_local_devices(self, cluster_resolver, worker_device):  # of TensorFlow 2
        del cluster_resolver, worker_device
        return self._own_devices, "GPU" if "GPU" in self._own_devices[0] else "CPU"

    def _initialize_multi_worker(self, cluster_resolver):
        super()._initialize_multi_worker(cluster_resolver)
        if _IS_TF2:
            return
        self._cross_device_ops = cross_device_ops.CollectiveAllReduce(
            num_workers=self._num_workers,
            num_gpus_per_worker=len(self._own_devices),
            collective_keys=self._collective_keys,
        )
        mirrored_strategy.MirroredExtended._initialize_local(self, self._own_devices)
        self._input_workers = input_lib.InputWorkers(
            self._device_map, [(self._worker_device, self.worker_devices)]
        )
