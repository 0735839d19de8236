"""Tests of albert.cluster.spec: which processes train together."""

import json

import pytest

from albert.cluster.spec import Cluster, find
from albert.common.errors import UsageError


def tf_config(cluster, kind="worker", rank=0):
    task = {"type": kind, "index": rank}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def slurm(nodes, tasks, rank=0, **more):
    return {
        "SLURM_JOB_NODELIST": nodes,
        "SLURM_NTASKS": str(tasks),
        "SLURM_PROCID": str(rank),
        "SLURM_JOB_ID": "70001",
        **more,
    }


def test_flags_name_the_workers_and_come_before_the_environment():
    environment = tf_config({"worker": ["c:1"]})
    assert find("a:1, b:2", 1, environment) == Cluster(("a:1", "b:2"), 1)


def test_the_chief_of_tf_config_comes_first():
    cluster = {"worker": ["b:2222", "c:2222"], "chief": ["a:2222"]}
    hosts = ("a:2222", "b:2222", "c:2222")
    assert find(None, None, tf_config(cluster, "chief")) == Cluster(hosts, 0)
    assert find(None, None, tf_config(cluster, "worker", 1)) == Cluster(hosts, 2)


def test_without_a_chief_worker_0_is_it():
    cluster = {"worker": ["a:1", "b:1"]}
    assert find(None, None, tf_config(cluster)).is_chief
    assert not find(None, None, tf_config(cluster, rank=1)).is_chief


def test_addresses_may_be_given_by_number():
    cluster = {"worker": {"10": "c:1", "0": "a:1", "2": "b:1"}}
    assert find(None, None, tf_config(cluster)).hosts == ("a:1", "b:1", "c:1")


@pytest.mark.parametrize(
    "nodes, expected",
    [
        ("gpu1", ["gpu1"]),
        ("gpu[1-3]", ["gpu1", "gpu2", "gpu3"]),
        ("gpu[08-10,12],login", ["gpu08", "gpu09", "gpu10", "gpu12", "login"]),
        ("a[1-2].net,b-3", ["a1.net", "a2.net", "b-3"]),
    ],
)
def test_the_nodes_of_slurm_are_the_workers(nodes, expected):
    found = find(None, None, slurm(nodes, len(expected), len(expected) - 1))
    assert [host.split(":")[0] for host in found.hosts] == expected
    assert {host.split(":")[1] for host in found.hosts} == {"12001"}
    assert found.rank == len(expected) - 1


def test_the_nodes_of_a_step_of_slurm_come_before_those_of_the_job():
    environment = slurm("a,b,c", 2, SLURM_STEP_NODELIST="b,c")
    assert find(None, None, environment).hosts == ("b:12001", "c:12001")


@pytest.mark.parametrize(
    "hosts, expected",
    [
        (("a:5", "b:7"), ("a", 6)),
        (("a:5", "a:9", "a:7", "b:99"), ("a", 10)),
        (("[::1]:5", "b:7"), ("::1", 6)),
    ],
)
def test_the_chief_listens_above_all_ports_of_its_host(hosts, expected):
    assert Cluster(hosts, 0).control_address == expected


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("a:1,b:1", None, {}), "worker_hosts=a:1,b:1 needs task_index"),
        ((None, 1, {}), "task_index=1 is for worker_hosts"),
        ((None, None, {}), "strategy_type=multi_worker needs a cluster"),
        (("a:1,b", 0, {}), "worker_hosts: 'b' must be host:port"),
        (("a:1,b:70000", 0, {}), "worker_hosts: 'b:70000' must be host:port"),
        (("a:1,a:1", 0, {}), "worker_hosts names a:1 twice"),
        (("a:1,b:1", 2, {}), "task_index is 2, but must be from 0 to 1"),
        ((None, None, {"TF_CONFIG": "{"}), "TF_CONFIG={ must look like"),
        ((None, None, {"TF_CONFIG": "[" * 100000}), "TF_CONFIG=.* must look like"),
        ((None, None, {"TF_CONFIG": '{"cluster": 1, "task": 2}'}), "must look like"),
        ((None, None, tf_config({"worker": [1]})), "must look like"),
        ((None, None, tf_config({"worker": ["a:1"]}, rank=3)), "is 3, but must be from 0 to 0"),
        ((None, None, tf_config({"worker": ["a:1"]}, "ps")), "type 'ps'; allowed: worker"),
        ((None, None, tf_config({"worker": ["a:1"]}, ["worker"])), "allowed: worker"),
        (
            (None, None, tf_config({"worker": ["a:1"], "evaluator": ["b:1"]}, "evaluator")),
            "The chief evaluates: leave the evaluator out",
        ),
        ((None, None, slurm("gpu[1-", 2)), "variables of Slurm cannot be read"),
        ((None, None, slurm("gpu[1-9999999999]", 2)), "is no range of numbers"),
        ((None, None, slurm("a,b", 4)), "has 4 tasks on 2 node"),
        ((None, None, slurm("a,b", 2, SLURM_PROCID="x")), "SLURM_JOB_NODELIST=a,b, ValueError"),
    ],
)
def test_a_mistake_is_one_line(arguments, message):
    with pytest.raises(UsageError, match=message):
        find(*arguments)
