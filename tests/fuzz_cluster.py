"""Readers of what describes a cluster and of what its workers send; see fuzz_readers.py."""

import json
import socket
from unittest import mock

from fuzz_feed import of_content

from albert.cluster import control, spec
from albert.common.errors import UsageError

_HOSTS = ("localhost:2222", "localhost:2223")
_CONFIG = {"cluster": {"chief": [_HOSTS[0]], "worker": [_HOSTS[1]]}}
_SLURM = (
    b"SLURM_STEP_NODELIST=gpu[01-02,7],login\nSLURM_PROCID=1\nSLURM_NTASKS=4\nSLURM_JOB_ID=99\n"
)
_MESSAGES = (
    {"hello": 1, "cluster": _HOSTS},
    {"beat": 1},
    {"point": "a", "value": [1, None]},
    {"signal": 15},
    {"end": None},
)


def make_readers():
    """Returns {name: Reader}."""
    config = json.dumps({**_CONFIG, "task": {"type": "worker", "index": 0}})
    messages = b"".join(json.dumps(each).encode() + b"\n" for each in _MESSAGES)
    return {
        "TF_CONFIG": of_content(config.encode(), tf_config),
        "Slurm": of_content(_SLURM, slurm),
        "messages of workers": of_content(messages, messages_of_worker),
    }


def tf_config(content):
    """Finds a cluster in an environment variable, which may hold any bytes but null ones."""
    text = content.replace(b"\0", b"").decode("utf-8", "surrogateescape")
    if text:
        return spec.find(None, None, {"TF_CONFIG": text})


def slurm(content):
    text = content.replace(b"\0", b"").decode("utf-8", "surrogateescape")
    variables = dict(line.split("=", 1) for line in text.split("\n") if "=" in line)
    return spec.find(None, None, {"SLURM_NTASKS": "4", **variables, "TF_CONFIG": ""})


def messages_of_worker(content):
    """Lets a chief receive what comes on a connection, which then ends."""
    lost = []
    chief = control.Member(spec.Cluster(_HOSTS, 0), on_loss=lost.append)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname(), 5) as sender:
            connected, _ = listener.accept()
            sender.sendall(content[:1000000])
            sender.shutdown(socket.SHUT_WR)
            with mock.patch.object(control.signal, "pthread_kill"):
                chief._welcome(control._Connection(connected))
            connected.close()
    if lost:
        raise UsageError(lost[0])
