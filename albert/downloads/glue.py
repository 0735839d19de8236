"""Downloads the GLUE tasks, one folder each."""

import logging
import os
import posixpath
import shutil
from typing import Dict, Iterable, List, Optional

from albert.common import files
from albert.common.errors import UsageError
from albert.downloads import archives, transfer
from albert.glue.table import GLUE_ROWS, folder_of

_log = logging.getLogger(__name__)

_GLUE = "https://dl.fbaipublicfiles.com/glue/data"
_MRPC = "https://dl.fbaipublicfiles.com/senteval/senteval_data"
_DEV_IDS = f"{_GLUE}/mrpc_dev_ids.tsv"
URLS = {
    "cola": [f"{_GLUE}/CoLA.zip"],
    "sst-2": [f"{_GLUE}/SST-2.zip"],
    "mrpc": [f"{_MRPC}/msr_paraphrase_train.txt", f"{_MRPC}/msr_paraphrase_test.txt", _DEV_IDS],
    "sts-b": [f"{_GLUE}/STS-B.zip"],
    "qqp": [f"{_GLUE}/QQP-clean.zip"],
    "mnli": [f"{_GLUE}/MNLI.zip"],
    "qnli": [f"{_GLUE}/QNLIv2.zip"],
    "rte": [f"{_GLUE}/RTE.zip"],
    "wnli": [f"{_GLUE}/WNLI.zip"],
    "ax": [f"{_GLUE}/AX.tsv"],
}
_ALIASES = {"sst": "sst-2", "sts": "sts-b", "diagnostic": "ax"}
_MRPC_TEST_HEADER = ["index", "#1 ID", "#2 ID", "#1 String", "#2 String"]


def parse_tasks(names: str) -> List[str]:
    """Returns the tasks that a comma-separated list names, in any case; `all` means all of them.

    Raises:
        UsageError: a name is unknown.
    """
    if names.strip().lower() == "all":
        return list(URLS)
    tasks = []
    for name in names.split(","):
        task = name.strip().lower()
        task = _ALIASES.get(task, task)
        if task == "snli":
            raise UsageError("<tasks>: SNLI is no longer part of GLUE's download.", tasks=names)
        if task not in URLS:
            allowed = ", ".join(["all", *map(folder_of, URLS)])
            message = f"<tasks>: {name.strip()!r} is not a task; allowed: {allowed}."
            raise UsageError(message, tasks=names)
        tasks.append(task)
    return tasks


def download(
    tasks: Iterable[str],
    data_dir: str,
    config: transfer.DownloadConfig,
    path_to_mrpc: Optional[str] = None,
) -> None:
    """Makes the folders of tasks in `data_dir`; existing folders are kept.

    Args:
        tasks: as `parse_tasks` returns them.
        data_dir: created if it does not exist.
        path_to_mrpc: folder with msr_paraphrase_train.txt, msr_paraphrase_test.txt and, if you
            have it, mrpc_dev_ids.tsv, to use instead of downloads.

    Raises:
        UsageError: an existing folder is incomplete, or a file cannot be fetched or is not what it
            should be. Folders made before it stay.
    """
    missing = [task for task in dict.fromkeys(tasks) if not is_there(task, data_dir)]
    for task in dict.fromkeys(tasks):
        if task not in missing:
            _log.info("%s exists: skipped.", os.path.join(data_dir, folder_of(task)))
    for task in missing:
        with transfer.locked_work_folder(data_dir) as work:
            if not is_there(task, data_dir):  # another process may have made it since
                _make(task, data_dir, work, config, path_to_mrpc)


def _file_names(task: str) -> List[str]:
    """Returns the names of the files in a task's folder."""
    splits = GLUE_ROWS[task].splits.values()
    return [os.path.basename(split.path) for split in splits if not split.is_optional]


def is_there(task: str, data_dir: str) -> bool:
    """Whether a task's folder exists; raises UsageError if it exists but is incomplete."""
    folder = os.path.join(data_dir, folder_of(task))
    if not os.path.isdir(folder) or not os.listdir(folder):
        return False
    lacking = {*_file_names(task)} - {*os.listdir(folder)}
    if lacking:
        raise UsageError(
            f"{folder} is there but lacks {', '.join(sorted(lacking))}: remove the folder to have "
            "it downloaded again."
        )
    return True


def _make(
    task: str,
    data_dir: str,
    work: str,
    config: transfer.DownloadConfig,
    path_to_mrpc: Optional[str],
) -> None:
    """Makes a task's folder under another name, checks it, and then renames it."""
    local = _local_mrpc(path_to_mrpc) if task == "mrpc" and path_to_mrpc else {}
    urls = [url for url in URLS[task] if url not in local]
    new, folder = os.path.join(work, "new"), os.path.join(data_dir, folder_of(task))

    def make(fetched: List[str]) -> None:
        sources = {**local, **dict(zip(urls, fetched))}
        with transfer.removed_after_use(new):
            made = _build(task, [sources[url] for url in URLS[task]], new)
            for name in _file_names(task):
                _check_table(os.path.join(made, name), config.source_of(URLS[task][0]))
            os.rename(made, folder)

    transfer.fetch_and_use(urls, work, config, make)
    _log.info("%s is ready.", folder)


def _build(task: str, sources: List[str], new: str) -> str:
    """Makes a task's files from the downloads `sources`; returns their folder, inside `new`."""
    if task not in ("mrpc", "ax"):
        # Not every archive is named after the folder in it.
        archives.unpack(sources[0], new)
        return archives.folder_with(_file_names(task), new, sources[0])
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    if task == "mrpc":
        _build_mrpc(new, *sources)
    else:
        shutil.copyfile(sources[0], os.path.join(new, _file_names(task)[0]))
    return new


def _local_mrpc(path_to_mrpc: str) -> Dict[str, str]:
    """Returns {official URL: path} of the MRPC files that a folder holds."""
    paths = {url: os.path.join(path_to_mrpc, posixpath.basename(url)) for url in URLS["mrpc"]}
    found = {url: path for url, path in paths.items() if os.path.isfile(path)}
    for url, path in paths.items():
        if url not in found and url != _DEV_IDS:
            raise UsageError(f"<path_to_mrpc>: {path} is not there.", path_to_mrpc=path_to_mrpc)
    return found


def _build_mrpc(folder: str, train_source: str, test_source: str, dev_ids_source: str) -> None:
    """Writes GLUE's files of MRPC; the dev set is a part of the corpus's training set."""
    dev_ids = {tuple(cells) for cells in _rows(dev_ids_source, 2)}
    header, *labelled = _rows(train_source, 5)
    dev = [cells for cells in labelled if tuple(cells[1:3]) in dev_ids]
    if len({tuple(cells[1:3]) for cells in dev}) != len(dev_ids):
        raise UsageError(f"{train_source} does not hold every pair that {dev_ids_source} names.")
    train = [cells for cells in labelled if tuple(cells[1:3]) not in dev_ids]
    _, *unlabelled = _rows(test_source, 5)
    test = [[str(index), *cells[1:]] for index, cells in enumerate(unlabelled)]
    for name, rows in (
        ("train", [header, *train]),
        ("dev", [header, *dev]),
        ("test", [_MRPC_TEST_HEADER, *test]),
    ):
        files.write_tsv(os.path.join(folder, f"{name}.tsv"), rows)


def _rows(path: str, num_cells: int) -> List[List[str]]:
    """Returns the cells of each row of a file; a byte order mark stays in the first cell."""
    rows = []
    try:
        with open(path, encoding="utf-8", newline="\n") as reader:
            for number, line in enumerate(reader, 1):
                rows.append(line.rstrip("\r\n").split("\t"))
                if len(rows[-1]) != num_cells:
                    raise UsageError(
                        f"{path}:{number} has {len(rows[-1])} columns instead of {num_cells}."
                    )
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: {error.reason}.") from error
    if not rows:
        raise UsageError(f"{path} holds no rows.")
    return rows


def _check_table(path: str, url: str) -> None:
    """Raises UsageError unless the first line of a file has tabs: it may be a web page."""
    with open(path, "rb") as reader:
        if b"\t" not in reader.readline():
            raise UsageError(f"{url}: {os.path.basename(path)} in it is not a table.")
