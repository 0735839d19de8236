"""Tests of albert.downloads.transfer."""

import io
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile

import file_server
import pytest

from albert.common.errors import UsageError
from albert.downloads import transfer

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
URL = "https://example.org/data/file.bin"
CONTENT = bytes(random.Random(0).getrandbits(8) for _ in range(300000))


@pytest.fixture
def server():
    with file_server.serving({"file.bin": CONTENT}) as served:
        yield served


@pytest.fixture
def fetch(server, tmp_path):
    """Returns a function of (retries, timeout) that fetches file.bin from the server."""

    def fetched(retries=2, timeout=5):
        config = transfer.DownloadConfig(server.url, timeout, retries, wait=0)
        return transfer.fetch(URL, str(tmp_path), config)

    return fetched


def content_of(path):
    return pathlib.Path(path).read_bytes()


def names_in(folder):
    return sorted(os.listdir(str(folder)))


# --- Transfers


def test_a_file_comes_from_the_mirror_under_its_base_name(fetch, server, tmp_path):
    assert fetch() == str(tmp_path / "file.bin")
    assert content_of(tmp_path / "file.bin") == CONTENT
    assert names_in(tmp_path) == ["file.bin"]
    assert server.requests == [("file.bin", None)]


def test_without_a_mirror_the_official_url_is_used():
    assert transfer.DownloadConfig().source_of(URL) == URL


def test_a_transfer_that_breaks_off_is_resumed(fetch, server, tmp_path):
    server.faults["file.bin"] = [("cut", 98304), ("cut", 49152)]
    assert content_of(fetch()) == CONTENT
    assert [asked for _, asked in server.requests] == [None, "bytes=98304-", "bytes=147456-"]
    assert names_in(tmp_path) == ["file.bin"]


def test_only_attempts_without_progress_count_as_retries(fetch, server):
    server.faults["file.bin"] = [("cut", 32768)] * 8
    assert content_of(fetch(retries=1)) == CONTENT


def test_the_next_call_resumes_where_the_last_one_gave_up(fetch, server, tmp_path):
    server.faults["file.bin"] = [("cut", 98304)]
    with pytest.raises(UsageError, match="broke off after 98304 of 300000 bytes"):
        fetch(retries=0)
    assert names_in(tmp_path) == ["file.bin.part", "file.bin.part.version"]
    assert content_of(fetch()) == CONTENT
    assert server.requests[1:] == [("file.bin", "bytes=98304-")]


def test_a_file_that_has_changed_on_the_server_is_fetched_from_the_start(fetch, server):
    server.faults["file.bin"] = [("cut", 98304)]
    with pytest.raises(UsageError):
        fetch(retries=0)
    server.files["file.bin"] = CONTENT[::-1]
    assert content_of(fetch()) == CONTENT[::-1]


@pytest.mark.parametrize(
    "version, asked",
    [
        (("ETag", 'W/"1"'), None),
        (("ETag", ""), None),
        (("Last-Modified", "Wed, 25 Nov 2026 19:00:00 GMT"), "bytes=98304-"),
    ],
)
def test_only_a_version_that_promises_the_same_bytes_is_resumed(fetch, server, version, asked):
    server.version = lambda name: version
    server.faults["file.bin"] = [("cut", 98304)]
    with pytest.raises(UsageError):
        fetch(retries=0)
    if asked is None:  # what a weak ETag identifies may have other bytes
        server.files["file.bin"] = CONTENT[::-1]
    assert content_of(fetch()) == server.files["file.bin"]
    assert server.requests[1:] == [("file.bin", asked)]


def test_a_body_shorter_than_its_content_length_is_not_taken_for_the_file(fetch, server):
    server.faults["file.bin"] = [("short", 98304)]
    assert content_of(fetch()) == CONTENT
    assert server.requests[1:] == [("file.bin", "bytes=98304-")]


def test_a_server_without_ranges_sends_the_whole_file_again(fetch, server):
    server.knows_ranges = False
    server.faults["file.bin"] = [("cut", 98304), ("cut", 100)]
    assert content_of(fetch()) == CONTENT


def test_a_server_that_always_breaks_off_ends_in_one_line(fetch, server, tmp_path):
    server.knows_ranges = False
    server.faults["file.bin"] = [("cut", 98304)] * 9
    with pytest.raises(UsageError) as raised:
        fetch()
    message = raised.value.text("--{}".format)
    assert "98304 of 300000 bytes, also after --retries=2." in message
    assert len(server.requests) == 3
    assert "file.bin" not in names_in(tmp_path)


@pytest.mark.parametrize("fault", [416, ("elsewhere", 7)])
def test_a_file_that_the_server_cannot_resume_is_fetched_from_the_start(fetch, server, fault):
    server.faults["file.bin"] = [("cut", 98304), fault]
    assert content_of(fetch()) == CONTENT
    assert server.requests[-1] == ("file.bin", None)


def test_a_part_of_an_unknown_version_is_discarded(fetch, server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"old")
    assert content_of(fetch()) == CONTENT


@pytest.mark.parametrize("fault", [503, 500, 429, ("late", 1)])
def test_a_temporary_failure_is_retried(fetch, server, fault):
    server.faults["file.bin"] = [fault, fault]
    assert content_of(fetch(timeout=0.2)) == CONTENT


@pytest.mark.parametrize(
    "fault, reason",
    [(503, "the server answers 503"), (("late", 1), "no answer within --timeout=0.1 seconds")],
)
def test_a_lasting_failure_ends_in_one_line_with_the_url(fetch, server, fault, reason):
    server.faults["file.bin"] = [fault] * 9
    with pytest.raises(UsageError) as raised:
        fetch(timeout=0.1)
    message = raised.value.text("--{}".format)
    assert message.startswith(f"{server.url}/file.bin: {reason}")
    assert "\n" not in message
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [404, 403])
def test_a_permanent_failure_is_not_retried(fetch, server, status):
    server.faults["file.bin"] = [status] * 9
    with pytest.raises(UsageError, match=f"the server answers {status}"):
        fetch()
    assert len(server.requests) == 1


def test_a_server_that_cannot_be_reached_is_reported_in_one_line(tmp_path):
    config = transfer.DownloadConfig("http://127.0.0.1:1", retries=0)
    with pytest.raises(UsageError) as raised:
        transfer.fetch(URL, str(tmp_path), config)
    message = str(raised.value)
    assert message.startswith("http://127.0.0.1:1/file.bin: no connection ([Errno 111] Connection")
    assert len(message) < 120


@pytest.fixture
def use(server, tmp_path):
    """Returns a function that passes file.bin, fetched from the server, to a function."""

    def used(function):
        config = transfer.DownloadConfig(server.url, retries=0)
        transfer.fetch_and_use([URL], str(tmp_path), config, function)

    return used


def test_a_file_is_removed_once_it_was_used(use, server, tmp_path):
    seen = []
    use(lambda paths: seen.extend(map(content_of, paths)))
    assert (seen, names_in(tmp_path), len(server.requests)) == ([CONTENT], [], 1)


def test_a_refused_file_is_fetched_again_once(use, server, tmp_path, caplog):
    (tmp_path / "file.bin").write_bytes(b"left by an interrupted call, and damaged since")
    seen = []

    def refuse_the_damaged(paths):
        seen.append(content_of(paths[0]))
        if b"damaged" in seen[-1]:
            raise UsageError("file.bin is damaged.")

    use(refuse_the_damaged)
    assert seen[1:] == [CONTENT]
    assert "file.bin is damaged. Trying again." in caplog.messages
    assert (names_in(tmp_path), len(server.requests)) == ([], 1)


def test_a_file_that_is_refused_twice_ends_in_one_line_and_leaves_nothing(use, server, tmp_path):
    def refuse(paths):
        raise UsageError("file.bin is damaged.")

    with pytest.raises(UsageError, match="^file.bin is damaged.$"):
        use(refuse)
    assert (names_in(tmp_path), len(server.requests)) == ([], 2)


def test_a_file_is_kept_for_the_next_call_if_ctrl_c_ends_its_use(use, server, tmp_path):
    def interrupt(paths):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use(interrupt)
    use(lambda paths: None)
    assert len(server.requests) == 1


def test_each_retry_waits_twice_as_long_as_the_last(server, tmp_path, monkeypatch):
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
def test_a_setting_out_of_range_is_refused(changes, message):
    with pytest.raises(UsageError) as raised:
        transfer.DownloadConfig(**changes)
    assert raised.value.text("--{}".format).startswith(message)


def test_one_process_at_a_time_works_in_a_folder(tmp_path):
    entered, order = threading.Event(), []

    def second():
        entered.wait()
        with transfer.locked_work_folder(str(tmp_path)):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with transfer.locked_work_folder(str(tmp_path)):
        entered.set()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


# --- Ctrl-C


def test_an_interrupted_download_ends_with_status_130_and_is_resumed_next_time(tmp_path):
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
        assert last == "download_glue_data.py: interrupted; the same command resumes from there."
        assert names_in(tmp_path / "glue_data") == [".downloads"]
        finished = subprocess.run(command, timeout=60, **more)
        assert finished.returncode == 0, finished.stderr
        assert server.requests[-1] == ("RTE.zip", "bytes=98304-")
    assert content_of(tmp_path / "glue_data" / "RTE" / "dev.tsv") == table
