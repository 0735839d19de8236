"""Tests of albert.downloads.models."""

import hashlib

import packed
import pytest
import tiny

from albert.common.errors import UsageError
from albert.downloads import models as download_models


@pytest.fixture
def vocabulary(monkeypatch):
    """Returns {name: bytes} of a small vocabulary that is accepted as ALBERT's."""
    contents = {name: name.encode() for name in packed.VOCABULARY}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(download_models, "_VOCABULARY", hashes)
    return contents


@pytest.fixture
def install(download_config, tmp_path):
    def installed(request):
        (tmp_path / "top").mkdir(exist_ok=True)
        download_models.install(
            request, str(tmp_path / "pretrained_model"), str(tmp_path / "top"), download_config
        )

    return installed


def test_a_model_is_installed_once_together_with_its_vocabulary(
    server, install, tiny_model, vocabulary, tmp_path
):
    server.files["albert_base_v2.tar.gz"] = packed.model_archive("base", tiny_model, vocabulary)
    for _ in range(2):
        install("base_v2")
        made = packed.contents_of(tmp_path / "pretrained_model")
        whole = dict(tiny_model, **vocabulary)
        assert made == {f"albert_base_v2/{name}": data for name, data in whole.items()}
        assert packed.contents_of(tmp_path / "top") == vocabulary
        assert len(server.requests) == 1


def test_a_chinese_model_is_installed_under_its_own_name(server, install, tiny_model, tmp_path):
    server.files["albert_large_zh.tar.gz"] = packed.model_archive(
        "large", tiny_model, {"vocab_chinese.txt": b"[CLS]"}
    )
    install("large_zh")
    assert (tmp_path / "pretrained_model" / "albert_large_zh" / "vocab_chinese.txt").is_file()
    assert packed.contents_of(tmp_path / "top") == {}


def test_a_local_archive_is_used_and_kept(server, install, tiny_model, vocabulary, tmp_path):
    archive = tmp_path / "albert_xlarge_v1.tar.gz"
    archive.write_bytes(packed.model_archive("xlarge", tiny_model, vocabulary))
    install(str(archive))
    assert (tmp_path / "pretrained_model" / "albert_xlarge_v1" / "albert_config.json").is_file()
    assert archive.is_file()
    assert server.requests == []


def test_a_vocabulary_that_is_not_alberts_is_refused(
    server, install, tiny_model, vocabulary, tmp_path
):
    german = dict(vocabulary, **{"30k-clean.model": b"deutsch"})
    server.files["albert_base_v2.tar.gz"] = packed.model_archive("base", tiny_model, german)
    with pytest.raises(UsageError, match=r"30k-clean.model \(7 bytes\) is not ALBERT's.*German"):
        install("base_v2")
    assert (
        packed.contents_of(tmp_path / "pretrained_model")
        == packed.contents_of(tmp_path / "top")
        == {}
    )
    # Before anything is fetched, if the wrong file is at the top level already.
    (tmp_path / "top" / "30k-clean.model").write_bytes(b"deutsch")
    with pytest.raises(UsageError, match=r"top/30k-clean.model \(7 bytes\) is not ALBERT's"):
        install("base_v2")
    assert len(server.requests) == 2  # the first call fetched it twice


def test_a_checkpoint_that_lacks_a_variable_is_refused_with_its_name(
    server, install, vocabulary, tmp_path
):
    (tmp_path / "lacking").mkdir()
    tiny.write_model(tmp_path / "lacking", left_out="bert/pooler/dense/bias")
    server.files["albert_base_v2.tar.gz"] = packed.model_archive(
        "base", packed.contents_of(tmp_path / "lacking"), vocabulary
    )
    with pytest.raises(UsageError, match="model.ckpt-best lacks bert/pooler/dense/bias"):
        install("base_v2")
    assert packed.contents_of(tmp_path / "pretrained_model") == {}


def test_an_error_in_the_model_names_the_file_and_no_setting_of_the_runners(
    server, install, tiny_model, vocabulary, monkeypatch
):
    def refuse(path):
        raise UsageError("<init_checkpoint> cannot be read.", init_checkpoint=path)

    monkeypatch.setattr(download_models.pretrained, "check", refuse)
    server.files["albert_base_v2.tar.gz"] = packed.model_archive("base", tiny_model, vocabulary)
    with pytest.raises(UsageError, match="^[^=]*/model.ckpt-best cannot be read.$"):
        install("base_v2")


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_model_is_reported_and_left_as_it_is(
    server, install, tiny_model, vocabulary, tmp_path, damage
):
    server.files["albert_base_v2.tar.gz"] = packed.model_archive("base", tiny_model, vocabulary)
    install("base_v2")
    data = tmp_path / "pretrained_model" / "albert_base_v2" / "model.ckpt-best.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    data.unlink()
    if damage == "cut":
        data.write_bytes(content[:100])
    elif damage == "changed":
        content[200] ^= 1
        data.write_bytes(content)
    before = packed.contents_of(tmp_path)
    with pytest.raises(
        UsageError, match="is damaged: .* Remove .*albert_base_v2 to have it downloaded"
    ):
        install("base_v2")
    assert packed.contents_of(tmp_path) == before


@pytest.mark.parametrize("request_", ["base_v3", "tiny_v2", "bert.tar.gz"])
def test_a_model_that_does_not_exist_is_refused(install, request_):
    with pytest.raises(UsageError, match=f"{request_} is not a model; allowed"):
        install(request_)
