"""Which processes train together: from flags, from TF_CONFIG, or from the variables of Slurm."""

import json
import re
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from albert.common.errors import UsageError

_FIRST_SLURM_PORT = 12000
_NUM_SLURM_PORTS = 10000  # jobs that share a node hardly ever get the same one of so many
_MAX_WORKERS = 10000
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]+):(?P<port>[0-9]{1,5})")


class Cluster(NamedTuple):
    """The workers of a cluster and the one that this process is; worker 0 is the chief.

    Attributes:
        hosts: the address of every worker, "host:port". TensorFlow's servers listen on them.
        rank: the number of this worker.
    """

    hosts: Tuple[str, ...]
    rank: int

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes the checkpoints, evaluates and predicts."""
        return self.rank == 0

    @property
    def control_address(self) -> Tuple[str, int]:
        """Host and port where the chief's control.Member listens: the first port above all those
        of workers on its host."""
        chief, _ = _split(self.hosts[0])
        ports = [port for host, port in map(_split, self.hosts) if host == chief]
        return chief.strip("[]"), max(ports) + 1

    def name(self, rank: int) -> str:
        """Returns what to call a worker in a message: "worker 1 (gpu-2:2222)"."""
        role = "the chief" if rank == 0 else f"worker {rank}"
        return f"{role} ({self.hosts[rank]})"


def find(
    worker_hosts: Optional[str],
    task_index: Optional[int],
    environment: Mapping[str, str],
) -> Cluster:
    """Returns the cluster that the settings describe, or else TF_CONFIG, or else Slurm.

    Args:
        worker_hosts: addresses, separated by commas; None to look at the environment.
        task_index: the worker that this process is.

    Raises:
        UsageError: there is no description of a cluster, or it is not one that we can train in.
    """
    if worker_hosts:
        if task_index is None:
            raise UsageError(
                "<worker_hosts> needs <task_index>, the place of this process among them.",
                worker_hosts=worker_hosts,
                task_index=None,
            )
        hosts = [host.strip() for host in worker_hosts.split(",")]
        return _checked(hosts, task_index, "<worker_hosts>", "<task_index>")
    if task_index is not None:
        raise UsageError(
            "<task_index> is for <worker_hosts>.", task_index=task_index, worker_hosts=None
        )
    if environment.get("TF_CONFIG"):
        return _of_tf_config(environment["TF_CONFIG"])
    if environment.get("SLURM_NTASKS"):
        return _of_slurm(environment)
    raise UsageError(
        "<strategy_type> needs a cluster: <worker_hosts> and <task_index>, the environment "
        "variable TF_CONFIG, or a job of Slurm.",
        strategy_type="multi_worker",
        worker_hosts=None,
        task_index=None,
    )


def _of_tf_config(text: str) -> Cluster:
    """Returns the cluster of TF_CONFIG: {"cluster": {job: [address]}, "task": {type, index}}."""
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], config["task"]
        kind, index = str(task["type"]), int(task.get("index") or 0)
        addresses = {job: _listed(jobs[job]) for job in jobs}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise UsageError(
            f'TF_CONFIG={text} must look like {{"cluster": {{"worker": ["host:port", '
            '...]}, "task": {"type": "worker", "index": 0}}.'
        ) from None
    chiefs = [job for job in ("chief", "master") if addresses.get(job)]
    if kind not in addresses or kind not in (*chiefs, "worker"):
        allowed = ", ".join((*chiefs, "worker"))
        why = ""
        if kind == "evaluator":
            why = " The chief evaluates: leave the evaluator out."
        elif kind == "ps":
            why = " All gradients are reduced among workers: leave parameter servers out."
        raise UsageError(
            f"TF_CONFIG says that this process is of type {kind!r}; allowed: {allowed}.{why}"
        )
    hosts = [address for job in chiefs for address in addresses[job]]
    if kind == "worker":
        index += len(hosts)
    hosts += addresses.get("worker", [])
    return _checked(hosts, index, "TF_CONFIG", "TF_CONFIG: the index of this process")


def _listed(addresses: Any) -> List[str]:
    """Returns the addresses of a job, which TensorFlow also takes as {index: address}."""
    if isinstance(addresses, dict):
        addresses = [addresses[key] for key in sorted(addresses, key=int)]
    if not isinstance(addresses, list) or not all(isinstance(host, str) for host in addresses):
        raise TypeError
    return addresses


def _of_slurm(environment: Mapping[str, str]) -> Cluster:
    """Returns the cluster of a job step of Slurm, which has one task on every node."""
    variables = ("SLURM_STEP_NODELIST", "SLURM_NODELIST", "SLURM_JOB_NODELIST")
    variable = next((name for name in variables if name in environment), variables[-1])
    text = environment.get(variable, "")
    try:
        nodes = list(_expanded(text))
        numbers: Dict[str, int] = {
            name: int(environment[name])
            for name in ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_JOB_ID")
        }
    except (ValueError, KeyError) as error:
        raise UsageError(
            f"The variables of Slurm cannot be read ({variable}={text}, "
            f"{type(error).__name__}: {error}): start with srun, or use "
            "<worker_hosts> and <task_index>.",
            worker_hosts=None,
            task_index=None,
        ) from None
    if len(nodes) != numbers["SLURM_NTASKS"]:
        raise UsageError(
            f"The job of Slurm has {numbers['SLURM_NTASKS']} tasks on {len(nodes)} node(s): start "
            "one for each node (--ntasks-per-node=1), which trains on all <num_devices>.",
            num_devices=None,
        )
    port = _FIRST_SLURM_PORT + numbers["SLURM_JOB_ID"] % _NUM_SLURM_PORTS
    hosts = [f"{node}:{port}" for node in nodes]
    return _checked(hosts, numbers["SLURM_PROCID"], variable, "SLURM_PROCID")


def _expanded(text: str) -> Iterator[str]:
    """Yields the hosts of a list of Slurm: "gpu[01-03,7],login" stands for five."""
    parts = re.findall(r"(?:[^,\[\]]|\[[^\[\]]*\])+", text)
    if ",".join(parts) != text or not parts:
        raise ValueError("not a list of hosts")
    for part in parts:
        yield from _expanded_part(part)


def _expanded_part(part: str) -> Iterator[str]:
    match = re.fullmatch(r"([^\[]*)(?:\[([^\]]+)\]([^\[]*))?", part)
    if not match:
        raise ValueError(f"{part!r} is no host")
    before, ranges, after = match.groups(default="")
    for item in ranges.split(","):
        first, _, last = item.partition("-")
        if not item:
            yield before
        elif not re.fullmatch("[0-9]+(-[0-9]+)?", item) or int(last or first) >= 1e6:
            raise ValueError(f"{item!r} is no range of numbers")
        else:
            numbers = range(int(first), int(last or first) + 1)
            yield from (f"{before}{number:0{len(first)}}{after}" for number in numbers)


def _checked(hosts: Sequence[str], index: int, source: str, index_source: str) -> Cluster:
    """Returns a cluster; `source` and `index_source` say where hosts and index are from."""
    settings: Dict[str, Any] = {"worker_hosts": None, "task_index": None}
    if not hosts or len(hosts) > _MAX_WORKERS:
        raise UsageError(f"{source} names {len(hosts)} workers; allowed: 1 to {_MAX_WORKERS}.")
    for host in hosts:
        match = _ADDRESS.fullmatch(host)
        if not match or not 0 < int(match.group("port")) < 65536:
            raise UsageError(
                f"{source}: {host!r} must be host:port, as in gpu-1:2222.",
                **settings,
            )
    if len(set(hosts)) < len(hosts):
        twice = next(host for host in hosts if hosts.count(host) > 1)
        raise UsageError(f"{source} names {twice} twice.", **settings)
    if not 0 <= index < len(hosts):
        raise UsageError(
            f"{index_source} is {index}, but must be from 0 to {len(hosts) - 1}.",
            **settings,
        )
    return Cluster(tuple(hosts), index)


def _split(address: str) -> Tuple[str, int]:
    host, port = address.rsplit(":", 1)
    return host, int(port)
