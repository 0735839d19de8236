"""Tests of albert.downloads.archives."""

import errno
import io
import os
import pathlib
import shutil
import stat
import struct
import tarfile
import zipfile

import pytest

from albert.common.errors import UsageError
from albert.downloads import archives


def content_of(path):
    return pathlib.Path(path).read_bytes()


def names_in(folder):
    return sorted(os.listdir(str(folder)))


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


def test_an_archive_replaces_what_the_folder_held(good_archive, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "old").touch()
    archives.unpack(good_archive, str(tmp_path / "new"))
    assert content_of(tmp_path / "new" / "a" / "b" / "c.txt") == b"text"
    assert names_in(tmp_path / "new") == ["a"]
    found = archives.folder_with(["c.txt"], str(tmp_path / "new"), good_archive)
    assert found == str(tmp_path / "new" / "a" / "b")


def test_an_archive_without_the_expected_files_is_refused(good_archive, tmp_path):
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
    "sparse file": ("evil", tarfile.GNUTYPE_SPARSE, ""),
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
def test_a_malicious_archive_is_refused_and_leaves_nothing(tmp_path, kind, what):
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


@pytest.mark.parametrize("damage", ["cut", "changed", "web page"])
def test_a_damaged_archive_is_refused_and_leaves_nothing(good_archive, tmp_path, damage):
    whole = content_of(good_archive)
    index = whole.index(b"text") if b"text" in whole else -8  # the zip's text, the tar's CRC
    changed = bytearray(whole)
    changed[index] ^= 1
    damaged = {
        "cut": whole[: len(whole) // 2],
        "changed": bytes(changed),
        "web page": b"<html>Sign in</html>",
    }[damage]
    pathlib.Path(good_archive).write_bytes(damaged)
    with pytest.raises(UsageError, match=r"good\.\S+ is damaged or not an archive"):
        archives.unpack(good_archive, str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def zip_with(path, number, *values, mark=b"PK\1\2"):
    """Writes a .zip with other values from one of the 16-bit numbers of its directory on.

    Args:
        mark: begins the record with the numbers: of a file, or PK 5 6 at the end of the archive.
    """
    zip_of(path, ("a.txt", b"text" * 99, 0))
    content = bytearray(content_of(path))
    struct.pack_into(f"<{len(values)}H", content, content.index(mark) + 2 * number, *values)
    path.write_bytes(content)
    return str(path)


def damaged_zip(path, method):
    """Writes a compressed .zip whose data are damaged."""
    with zipfile.ZipFile(str(path), "w", method) as zipped:
        zipped.writestr("a.txt", b"text" * 99)
    content = bytearray(content_of(path))
    content[39:49] = bytes(255 - byte for byte in content[39:49])  # those of the file begin at 35
    path.write_bytes(content)
    return str(path)


IMPOSSIBLE_ARCHIVES = {
    "a file after its end": lambda path: zip_with(path, 21, 0xFFFF, 0x7FFF),
    "a hole": lambda path: zip_with(path, 8, 0xFFFF, 0x7FFF, mark=b"PK\5\6"),
    "LZMA": lambda path: damaged_zip(path, zipfile.ZIP_LZMA),
    "bzip2": lambda path: damaged_zip(path, zipfile.ZIP_BZIP2),
    "deflate": lambda path: damaged_zip(path, zipfile.ZIP_DEFLATED),
    "unknown method": lambda path: zip_with(path, 5, 77),
    "encrypted": lambda path: zip_with(path, 4, 1),
    "no name": lambda path: zip_of(path, ("", b"text", 0)),
    "long name": lambda path: zip_of(path, ("a" * 300, b"text", 0)),
    "folder and file": lambda path: zip_of(path, ("a/b", b"text", 0), ("a", b"text", 0)),
    "file and folder": lambda path: zip_of(path, ("a", b"text", 0), ("a/b", b"text", 0)),
}


@pytest.mark.parametrize("what", IMPOSSIBLE_ARCHIVES)
def test_an_archive_with_impossible_contents_is_damaged(tmp_path, what):
    archive = IMPOSSIBLE_ARCHIVES[what](tmp_path / "bad.zip")
    with pytest.raises(UsageError) as raised:
        archives.unpack(archive, str(tmp_path / "new"))
    message = str(raised.value)
    assert message.startswith(f"{archive} is damaged or not an archive: ")
    assert len(message) > len(archive) + 35 and "\n" not in message
    assert not (tmp_path / "new").exists()


def test_a_full_disk_is_not_taken_for_a_damaged_archive(good_archive, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", fail)
    with pytest.raises(OSError, match="No space left"):
        archives.unpack(good_archive, str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()
