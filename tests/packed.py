"""Small archives and files in the layout of those on the servers of GLUE, SQuAD and ALBERT."""

import io
import json
import pathlib
import tarfile
import zipfile

VOCABULARY = ("30k-clean.model", "30k-clean.vocab")
SQUAD = json.dumps(
    {"data": [{"paragraphs": [{"context": "a", "qas": [{"id": "1", "question": "b"}]}]}]}
).encode()


def contents_of(folder):
    """Returns {relative path: bytes} of the files in a folder, without hidden files and folders."""
    folder = pathlib.Path(folder)
    paths = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {
        str(name): path.read_bytes()
        for name, path in paths.items()
        if not any(part.startswith(".") for part in name.parts)
    }


def zip_of(contents):
    """Returns the zip archive of {name: bytes}."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as zipped:
        for name, content in contents.items():
            zipped.writestr(name, content)
    return packed.getvalue()


def tar_of(contents):
    """Returns the tar.gz archive of {name: bytes}."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def task_zip(folder, names=("train", "dev", "test")):
    """Returns the archive of a GLUE task."""
    return zip_of({f"{folder}/{name}.tsv": b"a\tb\n" for name in names})


def model_archive(size, *contents):
    """Returns the archive of a model with the files {name: bytes} of each argument."""
    return tar_of(
        {f"albert_{size}/{name}": data for part in contents for name, data in part.items()}
    )
