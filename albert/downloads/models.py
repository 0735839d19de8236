"""Downloads pre-trained models."""

import copy
import logging
import os
import re
import shutil

import tensorflow.compat.v1 as tf

from albert import modeling
from albert.common import files
from albert.common.errors import UsageError
from albert.downloads import archives, transfer
from albert.engine import pretrained

_log = logging.getLogger(__name__)

_MODELS = "https://storage.googleapis.com/albert_models"
_NAME = re.compile(r"(?:albert_)?((?:base|large|xlarge|xxlarge)_(?:v1|v2|zh))")
_CONFIG = "albert_config.json"
_CHECKPOINT = "model.ckpt-best"
_VOCABULARY = {
    "30k-clean.model": "fefb02b667a6c5c2fe27602d28e5fb3428f66ab89c7d6f388e7c8d44a02d0336",
    "30k-clean.vocab": "1de4ad94a1b98f5f5f2c75af0f52bc85714d67b8578aa8f7650521bb123335c0",
}
_CHINESE_VOCABULARY = {"vocab_chinese.txt": None}


def install(request, output_dir, vocabulary_dir, config):
    """Puts a model into output_dir/albert_<name>, and the English vocabulary beside.

    Args:
        request: a name such as base_v2 or large_zh, or the path of its archive,
            .../albert_base_v2.tar.gz.
        output_dir: made where it is not there.
        vocabulary_dir: where 30k-clean.model and 30k-clean.vocab are to stand too.
        config: DownloadConfig.

    Raises:
        UsageError: there is no such model, its archive cannot be had, or what it holds, or what is
            there already, is not the model or not the vocabulary.
    """
    name, archive = parse(request)
    folder = os.path.join(output_dir, f"albert_{name}")
    vocabulary = _vocabulary_of(name)
    if not name.endswith("zh"):
        _check_vocabulary(vocabulary_dir, vocabulary, is_partial=True)
    if _is_there(folder, vocabulary):
        _log.info("%s is there and whole: skipped.", folder)
    else:
        with transfer.workplace(output_dir) as work:
            if not _is_there(folder, vocabulary):  # another process may have made it meanwhile
                _make(folder, work, name, archive, config)
    if not name.endswith("zh"):
        _place_vocabulary(folder, vocabulary_dir)


def check(folder, vocabulary):
    """Raises UsageError unless a folder holds a whole model: all values of its checkpoint are read.

    Args:
        vocabulary: {file name: SHA-256 or None for any}.
    """
    _check_vocabulary(folder, vocabulary)
    config = copy.copy(modeling.AlbertConfig.from_json_file(os.path.join(folder, _CONFIG)))
    config.num_hidden_layers = config.num_hidden_groups  # the others share their variables
    checkpoint = os.path.join(folder, _CHECKPOINT)
    with tf.Graph().as_default():
        modeling.AlbertModel(config, False, tf.zeros([1, 1], tf.int32))
        missing = pretrained.load(checkpoint)
    if missing:
        raise UsageError(f"{checkpoint} lacks {', '.join(missing)}.")
    pretrained.check(checkpoint)


def parse(request):
    """Returns the name of the model asked for, and the path of its archive or None."""
    is_archive = request.endswith(".tar.gz")
    match = _NAME.fullmatch(os.path.basename(request)[: -len(".tar.gz")] if is_archive else request)
    if not match:
        raise UsageError(
            f"{request} is no model; allowed: {{base,large,xlarge,xxlarge}}_{{v1,v2,zh}}, or an "
            "archive such as albert_base_v2.tar.gz."
        )
    if is_archive and not os.path.isfile(request):
        raise UsageError(f"{request} is not there.")
    return match.group(1), request if is_archive else None


def _vocabulary_of(name):
    return _CHINESE_VOCABULARY if name.endswith("zh") else _VOCABULARY


def _check_vocabulary(folder, vocabulary, is_partial=False):
    """Raises UsageError unless the files are ALBERT's; `is_partial` lets them be missing."""
    for name, sha256 in vocabulary.items():
        path = os.path.join(folder, name)
        if not os.path.isfile(path):
            if is_partial:
                continue
            raise UsageError(f"{path} is not there.")
        if sha256 and files.sha256(path) != sha256:
            raise UsageError(
                f"{path} ({os.path.getsize(path)} bytes) is not ALBERT's: its SHA-256 is not "
                f"{sha256}. Remove it. (A German file of 777581 bytes goes by that name too.)"
            )


def _is_there(folder, vocabulary):
    if not os.path.isdir(folder) or not os.listdir(folder):
        return False
    try:
        check(folder, vocabulary)
    except UsageError as error:
        raise UsageError(f"{error} Without {folder} it is downloaded anew.") from error
    return True


def _make(folder, work, name, archive, config):
    """Makes a model's folder under another name, checks it, and gives it its name."""
    source = archive or transfer.fetch(f"{_MODELS}/albert_{name}.tar.gz", work, config)
    new = os.path.join(work, "new")
    vocabulary = _vocabulary_of(name)
    with transfer.using_up(new, *([] if archive else [source])):
        archives.unpack(source, new)
        made = archives.folder_with([_CONFIG, f"{_CHECKPOINT}.index", *vocabulary], new, source)
        check(made, vocabulary)
        os.rename(made, folder)
    _log.info("%s is made.", folder)


def _place_vocabulary(folder, vocabulary_dir):
    for name in _VOCABULARY:
        path = os.path.join(vocabulary_dir, name)
        if os.path.exists(path):
            continue
        try:
            with files.replacing(path) as new:
                shutil.copyfile(os.path.join(folder, name), new)
        except OSError as error:  # the scripts then take those of the model's folder
            _log.warning("%s cannot be written: %s.", path, error.strerror)


def silence_tensorflow():
    """Keeps TensorFlow's log from standing between ours."""
    tf.logging.set_verbosity(tf.logging.ERROR)
