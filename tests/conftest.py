"""Fixtures shared by all tests."""

import pathlib

import pytest
import sentencepiece  # noqa: F401 - after TensorFlow 1.15, its sampling crashes the process
import tensorflow.compat.v1 as tf
import tiny

from albert import devices

SHARED_DATA = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"
MAX_CPU_REPLICAS = 4


def pytest_collection_modifyitems(items):
    """Puts files with slow tests first, so that no worker begins one when the others are done."""
    slow = {item.fspath for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.fspath not in slow)


@pytest.fixture(scope="session", autouse=True)
def graph_mode():
    """Readies TensorFlow once for all tests: graphs, and enough logical CPU devices."""
    devices.prepare(MAX_CPU_REPLICAS)
    tf.logging.set_verbosity(tf.logging.ERROR)


@pytest.fixture
def shared_data():
    """Returns the folder of real data and oracles; skips the test where it is not present."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the real data in ../shared/data")
    return SHARED_DATA


@pytest.fixture
def tiny_config():
    """Returns an AlbertConfig of 2 layers and hidden size 16, without dropout."""
    return tiny.config()
