"""Downloads pre-trained models."""

import copy
import logging
import os
import re
from typing import Dict, List, Mapping, Optional, Tuple

import tensorflow.compat.v1 as tf

from albert import modeling, tokenization
from albert.common import files
from albert.common.errors import UsageError
from albert.downloads import archives, transfer
from albert.engine import pretrained

_log = logging.getLogger(__name__)

_MODELS = "https://storage.googleapis.com/albert_models"
_NAME = re.compile(r"(?:albert_)?((?:base|large|xlarge|xxlarge)_(?:v1|v2|zh))")
_CONFIG = "albert_config.json"
_CHECKPOINT = "model.ckpt-best"
_VOCABULARY: Dict[str, Optional[str]] = {
    "30k-clean.model": tokenization.OFFICIAL_SHA256,
    "30k-clean.vocab": "1de4ad94a1b98f5f5f2c75af0f52bc85714d67b8578aa8f7650521bb123335c0",
}
_CHINESE_VOCABULARY: Dict[str, Optional[str]] = {"vocab_chinese.txt": None}


def install(
    request: str, output_dir: str, vocabulary_dir: str, config: transfer.DownloadConfig
) -> None:
    """Puts a model into output_dir/albert_<name>, and a copy of the English vocabulary elsewhere.

    Args:
        request: a name such as base_v2 or large_zh, or the path of an archive such as
            .../albert_base_v2.tar.gz.
        output_dir: created if it does not exist.
        vocabulary_dir: folder for the copy, of 30k-clean.model and 30k-clean.vocab.

    Raises:
        UsageError: there is no such model, its archive cannot be fetched, or the archive or an
            existing folder does not hold the model and its vocabulary.
    """
    name, archive = parse_request(request)
    folder = os.path.join(output_dir, f"albert_{name}")
    vocabulary = _vocabulary_of(name)
    if not name.endswith("zh"):
        _check_vocabulary(vocabulary_dir, vocabulary, is_partial=True)
    if _is_there(folder, vocabulary):
        _log.info("%s exists and is complete: skipped.", folder)
    else:
        with transfer.locked_work_folder(output_dir) as work:
            if not _is_there(folder, vocabulary):  # another process may have made it since
                _make(folder, work, name, archive, config)
    if not name.endswith("zh"):
        _copy_vocabulary(folder, vocabulary_dir)


def check_model(folder: str, vocabulary: Mapping[str, Optional[str]]) -> None:
    """Raises UsageError unless a folder holds a complete model, with a readable checkpoint.

    Args:
        vocabulary: {file name: SHA-256, or None for any}.
    """
    _check_vocabulary(folder, vocabulary)
    try:
        _check_checkpoint(folder)
    except UsageError as error:  # names settings of the runners, which the downloads do not have
        raise UsageError(error.text(lambda name: "")) from error


def _check_checkpoint(folder: str) -> None:
    config = copy.copy(modeling.AlbertConfig.from_json_file(os.path.join(folder, _CONFIG)))
    config.num_hidden_layers = config.num_hidden_groups  # the other layers share their variables
    checkpoint = os.path.join(folder, _CHECKPOINT)
    with tf.Graph().as_default():
        modeling.AlbertModel(config, False, tf.zeros([1, 1], tf.int32))
        missing = pretrained.load(checkpoint)
    if missing:
        raise UsageError(f"{checkpoint} lacks {', '.join(missing)}.")
    pretrained.check(checkpoint)


def parse_request(request: str) -> Tuple[str, Optional[str]]:
    """Returns (the name of the requested model, the path of its archive or None)."""
    is_archive = request.endswith(".tar.gz")
    match = _NAME.fullmatch(os.path.basename(request)[: -len(".tar.gz")] if is_archive else request)
    if not match:
        raise UsageError(
            f"{request} is not a model; allowed: {{base,large,xlarge,xxlarge}}_{{v1,v2,zh}}, or an "
            "archive such as albert_base_v2.tar.gz."
        )
    if is_archive and not os.path.isfile(request):
        raise UsageError(f"{request} is not there.")
    return match.group(1), request if is_archive else None


def _vocabulary_of(name: str) -> Mapping[str, Optional[str]]:
    return _CHINESE_VOCABULARY if name.endswith("zh") else _VOCABULARY


def _check_vocabulary(
    folder: str, vocabulary: Mapping[str, Optional[str]], is_partial: bool = False
) -> None:
    """Raises UsageError unless the files are ALBERT's; with `is_partial` some may be missing."""
    for name, sha256 in vocabulary.items():
        path = os.path.join(folder, name)
        if not os.path.isfile(path):
            if is_partial:
                continue
            raise UsageError(f"{path} is not there.")
        if sha256 and files.sha256(path) != sha256:
            raise UsageError(
                f"{path} ({os.path.getsize(path)} bytes) is not ALBERT's: its SHA-256 is not "
                f"{sha256}. Remove it. (A German file of 777581 bytes has the same name.)"
            )


def _is_there(folder: str, vocabulary: Mapping[str, Optional[str]]) -> bool:
    if not os.path.isdir(folder) or not os.listdir(folder):
        return False
    try:
        check_model(folder, vocabulary)
    except UsageError as error:
        raise UsageError(f"{error} Remove {folder} to have it downloaded again.") from error
    return True


def _make(
    folder: str, work: str, name: str, archive: Optional[str], config: transfer.DownloadConfig
) -> None:
    """Makes a model's folder under another name, checks it, and then renames it."""
    new = os.path.join(work, "new")
    vocabulary = _vocabulary_of(name)

    def make(fetched: List[str]) -> None:
        source = archive or fetched[0]
        with transfer.removed_after_use(new):
            archives.unpack(source, new)
            made = archives.folder_with([_CONFIG, f"{_CHECKPOINT}.index", *vocabulary], new, source)
            check_model(made, vocabulary)
            os.rename(made, folder)

    urls = [] if archive else [f"{_MODELS}/albert_{name}.tar.gz"]
    transfer.fetch_and_use(urls, work, config, make)
    _log.info("%s is ready.", folder)


def _copy_vocabulary(folder: str, vocabulary_dir: str) -> None:
    for name in _VOCABULARY:
        path = os.path.join(vocabulary_dir, name)
        if os.path.exists(path):
            continue
        try:
            files.copy(os.path.join(folder, name), path)
        except OSError as error:  # the scripts then use the files in the model's folder
            _log.warning("%s cannot be written: %s.", path, error.strerror)


def silence_tensorflow() -> None:
    """Keeps TensorFlow's log lines out of ours."""
    tf.logging.set_verbosity(tf.logging.ERROR)
