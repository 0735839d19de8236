"""Fixtures shared by all tests."""

import os
import pathlib
import string
import subprocess
import sys

from albert.cli import quiet

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else it warns in each forked child

if "tensorflow" not in sys.modules:
    quiet.ready_tensorflow()  # else its start-up lines come before pytest's

import file_server
import packed
import pytest
import sentencepiece  # noqa: F401 - after TensorFlow 1.15, its sampling crashes the process
import tensorflow.compat.v1 as tf
import tiny

from albert import tokenization
from albert.downloads import transfer
from albert.engine import devices, hooks, progress

SHARED_DATA = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"
MAX_CPU_REPLICAS = 4
LETTERS = string.ascii_lowercase + string.digits + string.punctuation + "éßσ中あ"
WORDPIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDPIECES += [*LETTERS, *(f"##{letter}" for letter in LETTERS), "sing", "##ing", "super"]


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


@pytest.fixture(scope="session")
def wordpiece(tmp_path_factory):
    """Returns a WordPiece tokenizer that knows single letters and three longer pieces."""
    path = tmp_path_factory.mktemp("wordpiece") / "vocab.txt"
    path.write_text("\n".join(WORDPIECES) + "\n", encoding="utf-8")
    return tokenization.FullTokenizer(str(path))


@pytest.fixture(scope="session")
def official_sentencepiece():
    """Returns the tokenizer of the released English models; skips the test without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the real data in ../shared/data")
    model = str(SHARED_DATA / "spm" / "30k-clean.model")
    return tokenization.FullTokenizer(None, spm_model_file=model)


@pytest.fixture(scope="session")
def sentencepiece_model(tmp_path_factory):
    """Returns the path of a SentencePiece model of some 50 pieces; one is a number with a comma."""
    path = tmp_path_factory.mktemp("sentencepiece") / "made.model"
    sentences = ["hello world, it was 2015, or 12, or 1,000,"] * 20
    sentences += ["the quick brown fox jumps over the lazy dog"] * 20
    tiny.train_sentencepiece(
        sentences,
        model_prefix=str(path.with_suffix("")),
        control_symbols=WORDPIECES[2:5],
        user_defined_symbols=["15,"],
    )
    return path


@pytest.fixture(scope="session")
def sentencepiece_tokenizer(sentencepiece_model):
    """Returns the tokenizer of that model."""
    return tokenization.FullTokenizer(None, spm_model_file=str(sentencepiece_model))


@pytest.fixture(params=["wordpiece", "sentencepiece_tokenizer", "official_sentencepiece"])
def tokenizer(request):
    """Returns a tokenizer of each kind."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def small_disk(tmp_path):
    """Returns the folder of an empty disk of 600 KiB; skips the test where none can be made."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)]
        failed = subprocess.run(command, stderr=subprocess.DEVNULL).returncode
    except FileNotFoundError:
        failed = True
    if failed:
        pytest.skip("needs the right to mount a disk")
    yield folder
    subprocess.run(["umount", str(folder)], stderr=subprocess.DEVNULL)


@pytest.fixture
def server():
    """Returns a FileServer that serves nothing yet, to be a mirror of all downloads."""
    with file_server.serving({}) as served:
        yield served


@pytest.fixture
def download_config(server):
    """Returns the DownloadConfig of that mirror, which tries nothing twice."""
    return transfer.DownloadConfig(server.url, retries=0, wait=0)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Returns {name: bytes} of the tiny model's configuration and checkpoint."""
    folder = tmp_path_factory.mktemp("tiny model")
    tiny.write_model(folder)
    return packed.contents_of(folder)


class Clock:
    """Stands in for the time module; advanced by hand."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """Returns the clock that hooks and progress go by: `clock.now += 2.0`."""
    clock = Clock()
    for module in (hooks, progress):
        monkeypatch.setattr(module, "time", clock)
    return clock
