"""Tests of downloads and archives: what arrives, and what is left when it does not."""

import hashlib
import io
import os
import pathlib
import random
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
import zipfile

import file_server
import pytest

from albert.common.errors import UsageError
from albert.downloads import archives, transfer

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
URL = "https://example.org/data/file.bin"
CONTENT = bytes(random.Random(0).getrandbits(8) for _ in range(300000))
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    with file_server.serving({"file.bin": CONTENT}) as served:
        yield served


@pytest.fixture
def fetch(server, tmp_path):
    """Returns a function of (retries, sha256, timeout) that fetches file.bin from the server."""

    def fetched(retries=2, sha256=None, timeout=5):
        config = transfer.DownloadConfig(server.url, timeout, retries, wait=0)
        return transfer.fetch(URL, str(tmp_path), config, sha256)

    return fetched


def content_of(path):
    return pathlib.Path(path).read_bytes()


def names_in(folder):
    return sorted(os.listdir(str(folder)))


# --- Transfers


def test_file_comes_from_the_mirror_under_its_base_name(fetch, server, tmp_path):
    assert fetch() == str(tmp_path / "file.bin")
    assert content_of(tmp_path / "file.bin") == CONTENT
    assert names_in(tmp_path) == ["file.bin"]
    assert server.requests == [("file.bin", None)]


def test_official_address_is_taken_without_a_mirror():
    assert transfer.DownloadConfig().address(URL) == URL


def test_broken_transfer_goes_on_where_it_stopped(fetch, server, tmp_path):
    server.faults["file.bin"] = [("cut", 98304), ("cut", 49152)]
    assert content_of(fetch()) == CONTENT
    assert [asked for _, asked in server.requests] == [None, "bytes=98304-", "bytes=147456-"]
    assert names_in(tmp_path) == ["file.bin"]


def test_transfer_that_gets_further_is_tried_more_often_than_the_retries(fetch, server):
    server.faults["file.bin"] = [("cut", 32768)] * 8
    assert content_of(fetch(retries=1)) == CONTENT


def test_next_call_goes_on_where_the_last_one_gave_up(fetch, server, tmp_path):
    server.faults["file.bin"] = [("cut", 98304)]
    with pytest.raises(UsageError, match="broke off after 98304 of 300000 bytes"):
        fetch(retries=0)
    assert names_in(tmp_path) == ["file.bin.part", "file.bin.part.version"]
    assert content_of(fetch()) == CONTENT
    assert server.requests[1:] == [("file.bin", "bytes=98304-")]


def test_file_that_has_changed_on_the_server_is_fetched_from_its_beginning(fetch, server):
    server.faults["file.bin"] = [("cut", 98304)]
    with pytest.raises(UsageError):
        fetch(retries=0)
    server.files["file.bin"] = CONTENT[::-1]
    assert content_of(fetch()) == CONTENT[::-1]


def test_server_without_ranges_sends_the_whole_file_again(fetch, server):
    server.knows_ranges = False
    server.faults["file.bin"] = [("cut", 98304), ("cut", 100)]
    assert content_of(fetch()) == CONTENT


def test_server_that_always_cuts_a_whole_file_short_ends_in_one_line(fetch, server, tmp_path):
    server.knows_ranges = False
    server.faults["file.bin"] = [("cut", 98304)] * 9
    with pytest.raises(UsageError, match="98304 of 300000 bytes, also after --retries=2"):
        fetch()
    assert len(server.requests) == 3
    assert "file.bin" not in names_in(tmp_path)


@pytest.mark.parametrize("fault", [416, ("elsewhere", 7)])
def test_part_that_the_server_cannot_continue_is_fetched_from_its_beginning(fetch, server, fault):
    server.faults["file.bin"] = [("cut", 98304), fault]
    assert content_of(fetch()) == CONTENT
    assert server.requests[-1] == ("file.bin", None)


def test_part_of_an_unknown_version_is_fetched_from_its_beginning(fetch, server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"of yesterday")
    assert content_of(fetch()) == CONTENT


@pytest.mark.parametrize("fault", [503, 500, 429, ("late", 1)])
def test_passing_failure_is_tried_again(fetch, server, fault):
    server.faults["file.bin"] = [fault, fault]
    assert content_of(fetch(timeout=0.2)) == CONTENT


@pytest.mark.parametrize(
    "fault, reason",
    [(503, "the server answers 503"), (("late", 1), "no answer within --timeout=0.1 seconds")],
)
def test_lasting_failure_ends_in_one_line_with_the_address(fetch, server, fault, reason):
    server.faults["file.bin"] = [fault] * 9
    with pytest.raises(UsageError) as raised:
        fetch(timeout=0.1)
    assert str(raised.value).startswith(f"{server.url}/file.bin: {reason}")
    assert "\n" not in str(raised.value)
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [404, 403])
def test_answer_that_will_not_change_is_not_tried_again(fetch, server, status):
    server.faults["file.bin"] = [status] * 9
    with pytest.raises(UsageError, match=f"the server answers {status}"):
        fetch()
    assert len(server.requests) == 1


def test_server_that_is_not_there_is_told_in_one_line(tmp_path):
    config = transfer.DownloadConfig("http://127.0.0.1:1", retries=0)
    with pytest.raises(UsageError) as raised:
        transfer.fetch(URL, str(tmp_path), config)
    message = str(raised.value)
    assert message.startswith("http://127.0.0.1:1/file.bin: no connection ([Errno 111] Connection")
    assert len(message) < 120


def test_right_hash_is_accepted(fetch):
    assert content_of(fetch(sha256=SHA256)) == CONTENT


def test_wrong_hash_is_refused_and_leaves_nothing(fetch, tmp_path):
    with pytest.raises(UsageError, match=f"file.bin has not the SHA-256 {'0' * 64}"):
        fetch(sha256="0" * 64)
    assert names_in(tmp_path) == []


def test_retries_wait_twice_as_long_each_time(server, tmp_path, monkeypatch):
    seconds = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    server.faults["file.bin"] = [503] * 3
    transfer.fetch(URL, str(tmp_path), transfer.DownloadConfig(server.url, retries=3, wait=2))
    assert seconds == [2, 4, 8]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"base_url": "ftp://host"}, "--base_url=ftp://host must begin with http"),
        ({"timeout": 0}, "--timeout=0 must be above 0"),
        ({"retries": -1}, "--retries=-1 must be at least 0"),
        ({"wait": -0.5}, "--wait=-0.5 must be at least 0"),
    ],
)
def test_setting_that_cannot_be_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        transfer.DownloadConfig(**changes)


def test_one_process_at_a_time_works_in_a_folder(tmp_path):
    entered, order = threading.Event(), []

    def second():
        entered.wait()
        with transfer.workplace(str(tmp_path)):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with transfer.workplace(str(tmp_path)):
        entered.set()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


# --- Archives


def tar_of(path, *members):
    """Writes a .tar.gz of (name, type, target or content)."""
    with tarfile.open(str(path), "w:gz") as tar:
        for name, kind, value in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(value)
                tar.addfile(info, io.BytesIO(value))
            else:
                info.linkname = value
                tar.addfile(info)
    return str(path)


def zip_of(path, *members):
    """Writes a .zip of (name, content, mode)."""
    with zipfile.ZipFile(str(path), "w") as zipped:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            zipped.writestr(info, content)
    return str(path)


@pytest.fixture(params=["zip", "tar.gz"])
def good_archive(request, tmp_path):
    if request.param == "zip":
        return zip_of(tmp_path / "good.zip", ("a/b/c.txt", b"text", stat.S_IFREG | 0o600))
    return tar_of(tmp_path / "good.tar.gz", ("a/b/c.txt", tarfile.REGTYPE, b"text"))


def test_archive_is_unpacked_into_a_new_folder(good_archive, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "of yesterday").touch()
    archives.unpack(good_archive, str(tmp_path / "new"))
    assert content_of(tmp_path / "new" / "a" / "b" / "c.txt") == b"text"
    assert names_in(tmp_path / "new") == ["a"]
    found = archives.folder_with(["c.txt"], str(tmp_path / "new"), good_archive)
    assert found == str(tmp_path / "new" / "a" / "b")


def test_archive_without_the_files_wanted_is_told(good_archive, tmp_path):
    archives.unpack(good_archive, str(tmp_path / "new"))
    with pytest.raises(UsageError, match=r"good\.\S+ has no folder with c.txt, d.txt\."):
        archives.folder_with(["c.txt", "d.txt"], str(tmp_path / "new"), good_archive)


GOOD = ("good.txt", tarfile.REGTYPE, b"text")
MALICIOUS_TARS = {
    "absolute path": ("/tmp/albert-evil", tarfile.REGTYPE, b"evil"),
    "parent folder": ("a/../../evil", tarfile.REGTYPE, b"evil"),
    "symbolic link": ("evil", tarfile.SYMTYPE, "/etc/passwd"),
    "hard link": ("evil", tarfile.LNKTYPE, "../../outside"),
    "device": ("evil", tarfile.CHRTYPE, ""),
    "pipe": ("evil", tarfile.FIFOTYPE, ""),
}
MALICIOUS_ZIPS = {
    "absolute path": ("/tmp/albert-evil", b"evil", 0),
    "parent folder": ("a/../../evil", b"evil", 0),
    "symbolic link": ("evil", b"/etc/passwd", stat.S_IFLNK | 0o777),
}


@pytest.mark.parametrize(
    "kind, what",
    [("tar.gz", what) for what in MALICIOUS_TARS] + [("zip", what) for what in MALICIOUS_ZIPS],
)
def test_malicious_archive_is_refused_and_leaves_nothing(tmp_path, kind, what):
    inner = tmp_path / "inner"
    inner.mkdir()
    if kind == "zip":
        archive = zip_of(tmp_path / "bad.zip", ("good.txt", b"text", 0), MALICIOUS_ZIPS[what])
    else:
        archive = tar_of(tmp_path / "bad.tar.gz", GOOD, MALICIOUS_TARS[what])
    with pytest.raises(UsageError, match=r"bad\.\S+ is refused: '\S+' (lies outside|is neither)"):
        archives.unpack(archive, str(inner / "new"))
    assert names_in(inner) == []
    assert names_in(tmp_path) == [os.path.basename(archive), "inner"]
    assert not os.path.exists("/tmp/albert-evil")


@pytest.mark.parametrize("damage", ["cut", "changed", "a page of the web"])
def test_damaged_archive_is_refused_and_leaves_nothing(good_archive, tmp_path, damage):
    whole = content_of(good_archive)
    place = whole.index(b"text") if b"text" in whole else -8  # of the zip's text, the tar's CRC
    changed = bytearray(whole)
    changed[place] ^= 1
    damaged = {
        "cut": whole[: len(whole) // 2],
        "changed": bytes(changed),
        "a page of the web": b"<html>Sign in</html>",
    }[damage]
    pathlib.Path(good_archive).write_bytes(damaged)
    with pytest.raises(UsageError, match=r"good\.\S+ is damaged or no such archive"):
        archives.unpack(good_archive, str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


# --- Ctrl-C


def test_interrupted_download_ends_with_130_and_goes_on_next_time(tmp_path):
    table = b"sentence\tlabel\n" * 20000
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        for name in ("train", "dev", "test"):
            zipped.writestr(f"RTE/{name}.tsv", table)
    with file_server.serving({"RTE.zip": content.getvalue()}) as server:
        server.faults["RTE.zip"] = [("cut", 98304), ("late", 60)]
        command = [sys.executable, str(REPOSITORY / "download_glue_data.py"), "--tasks=RTE"]
        command += [f"--base_url={server.url}", "--wait=0"]
        more = {"cwd": str(tmp_path), "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(command, **more)
        give_up = time.monotonic() + 60
        while len(server.requests) < 2 and time.monotonic() < give_up:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in stderr
        last = stderr.splitlines()[-1]
        assert last == "download_glue_data.py: interrupted; the same command goes on from there."
        assert names_in(tmp_path / "glue_data") == [".downloads"]
        finished = subprocess.run(command, timeout=60, **more)
        assert finished.returncode == 0, finished.stderr
        assert server.requests[-1] == ("RTE.zip", "bytes=98304-")
    assert content_of(tmp_path / "glue_data" / "RTE" / "dev.tsv") == table
