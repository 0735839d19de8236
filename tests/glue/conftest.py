"""What tests of several modules of albert.glue use."""

import pytest
from sample_glue import write_glue

from albert import classifier_utils, tokenization


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("glue data")
    write_glue(root)
    return root


@pytest.fixture
def make_task(data_dir):
    tokenizer = tokenization.FullTokenizer(str(data_dir / "vocab.txt"))

    def make(name, folder=data_dir):
        return classifier_utils.make_task(name, str(folder), tokenizer, 16)

    return make
