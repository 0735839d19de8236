"""Tests of albert.engine.checkpoints."""

import os
import pathlib
import shutil

import pytest
import tensorflow.compat.v1 as tf

from albert.common.errors import UsageError
from albert.engine import checkpoints

BEST = "model.ckpt-best"


class Crash(Exception):
    """Simulates a disk error, or the death of the process."""


class FailingDisk:
    """Patches os and shutil so that the k-th file operation fails half-way.

    With `is_fatal` every later one fails too, as if the process had been killed, so that nothing
    can be cleaned up.
    """

    def __init__(self, monkeypatch, fail_at, is_fatal):
        self._left = fail_at
        self._is_fatal = is_fatal
        for module, name in [(os, "replace"), (os, "remove"), (shutil, "copyfile")]:
            monkeypatch.setattr(module, name, self._guard(getattr(module, name)))

    @property
    def has_failed(self):
        return self._left <= 0

    def _guard(self, operation):
        def guarded(*args, **kwargs):
            self._left -= 1
            if self._left == 0 or (self._is_fatal and self._left < 0):
                if operation.__name__ == "copyfile":
                    pathlib.Path(args[1]).write_text("half")
                raise Crash
            return operation(*args, **kwargs)

        return guarded


def endings_of(num_shards, has_meta=True):
    shards = [f".data-{shard:05d}-of-{num_shards:05d}" for shard in range(num_shards)]
    return shards + [".index"] + ([".meta"] if has_meta else [])


def write_checkpoint(path, num_shards, content, has_meta=True):
    """Writes files with the names of a checkpoint's; returns {ending: content}."""
    written = {ending: content + ending for ending in endings_of(num_shards, has_meta)}
    for ending, text in written.items():
        pathlib.Path(str(path) + ending).write_text(text)
    return written


def best_files(folder):
    """Returns {ending: content} of all files that belong to the best checkpoint."""
    return {
        path.name[len(BEST) :]: path.read_text()
        for path in pathlib.Path(str(folder)).glob(BEST + "*")
    }


def save_sharded(path, value):
    """Saves two variables on two logical CPU devices, each in its own shard; and the step."""
    with tf.Graph().as_default():
        with tf.device("/cpu:0"):
            tf.get_variable("first", initializer=tf.constant([value, value]))
            tf.get_variable("global_step", initializer=tf.constant(7, tf.int64))
        with tf.device("/cpu:1"):
            tf.get_variable("second", initializer=tf.constant([-value]))
        config = tf.ConfigProto(device_count={"CPU": 2})
        with tf.Session(config=config) as session:
            session.run(tf.global_variables_initializer())
            return tf.train.Saver(sharded=True).save(session, str(path))


@pytest.fixture
def sharded(tmp_path):
    """Returns the prefix of a real checkpoint of step 7, in two shards."""
    return save_sharded(tmp_path / "model.ckpt-7", 1.5)


# Finding checkpoints


@pytest.mark.parametrize("ending", ["", ".index", ".meta", ".data-00001-of-00002"])
def test_prefix_removes_the_suffix_of_any_file(ending):
    assert checkpoints.prefix("dir.index/model.ckpt-12" + ending) == "dir.index/model.ckpt-12"


@pytest.mark.parametrize("path", ["model.indexes", "model.data-1-of-2", "model.ckpt-best"])
def test_prefix_does_not_change_other_names(path):
    assert checkpoints.prefix(path) == path


def test_checkpoint_exists_once_its_index_does(tmp_path):
    path = tmp_path / "model.ckpt-1"
    (tmp_path / "model.ckpt-1.data-00000-of-00001").write_text("")
    assert not checkpoints.exists(str(path))
    (tmp_path / "model.ckpt-1.index").write_text("")
    assert checkpoints.exists(str(path))


def test_saved_steps_are_sorted_by_number(tmp_path):
    for step in (100, 9, 10):
        write_checkpoint(tmp_path / f"model.ckpt-{step}", 1, "x")
    expected = [(step, str(tmp_path / f"model.ckpt-{step}")) for step in (9, 10, 100)]
    assert list(checkpoints.saved_steps(str(tmp_path)).items()) == expected


def test_saved_steps_ignore_everything_but_complete_numbered_checkpoints(tmp_path):
    write_checkpoint(tmp_path / "model.ckpt-3", 1, "x")
    write_checkpoint(tmp_path / BEST, 1, "x")
    names = ["model.ckpt-4.data-00000-of-00001", "old-model.ckpt-5.index", "model.ckpt-6.index.tmp"]
    for name in names:
        (tmp_path / name).write_text("")
    assert list(checkpoints.saved_steps(str(tmp_path))) == [3]


def test_a_missing_folder_has_no_saved_steps(tmp_path):
    assert checkpoints.saved_steps(str(tmp_path / "absent")) == {}


def test_files_of_a_sharded_checkpoint_end_with_the_index(tmp_path):
    path = tmp_path / "model.ckpt-1"
    write_checkpoint(path, 3, "x")
    write_checkpoint(tmp_path / "model.ckpt-10", 1, "x")
    (tmp_path / "model.ckpt-1.index.1234.part").write_text("")
    endings = [".data-00000-of-00003", ".data-00001-of-00003", ".data-00002-of-00003"]
    endings += [".meta", ".index"]
    assert checkpoints.files_of(str(path)) == [str(path) + ending for ending in endings]


@pytest.mark.parametrize(
    "state",
    [
        None,
        "",
        'model_checkpoint_path: "/tmp/mod',
        'model_checkpoint_path: "model.ckpt-9"\n',
        'model_checkpoint_path: "{elsewhere}/model.ckpt-7"\n',
    ],
    ids=["missing", "empty", "cut short", "an earlier one", "of another folder"],
)
def test_latest_has_the_highest_step_whatever_the_file_of_tensorflow_says(tmp_path, sharded, state):
    folder = tmp_path / "moved"
    folder.mkdir()
    for step in (9, 10):
        write_checkpoint(folder / f"model.ckpt-{step}", 1, "x")
    if state is not None:
        (folder / "checkpoint").write_text(state.format(elsewhere=tmp_path))
    assert checkpoints.latest(str(folder)) == str(folder / "model.ckpt-10")


def test_latest_in_the_folder_of_another_program_is_the_one_that_tensorflow_names(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("v", initializer=1.0)
        session.run(tf.global_variables_initializer())
        for name in ("first", "second"):
            tf.train.Saver().save(session, str(tmp_path / name))
    assert checkpoints.latest(str(tmp_path)) == str(tmp_path / "second")


def test_latest_is_not_looked_for_in_another_folder(tmp_path, sharded):
    folder = tmp_path / "copy"
    folder.mkdir()
    shutil.copy(str(tmp_path / "checkpoint"), str(folder))
    assert tf.train.latest_checkpoint(str(folder)) == sharded
    assert checkpoints.latest(str(folder)) is None


def test_latest_of_an_empty_folder_is_none(tmp_path):
    assert checkpoints.latest(str(tmp_path)) is None


def test_best_is_none_without_an_index(tmp_path):
    (tmp_path / (BEST + ".data-00000-of-00001")).write_text("")
    assert checkpoints.best(str(tmp_path)) is None


def test_best_is_the_prefix_of_the_best_checkpoint(tmp_path):
    write_checkpoint(tmp_path / BEST, 1, "x")
    assert checkpoints.best(str(tmp_path)) == str(tmp_path / BEST)


# Reading checkpoints


def test_read_scalar_gives_a_python_int(sharded):
    step = checkpoints.read_scalar(sharded, "global_step")
    assert type(step) is int and step == 7


def test_the_checkpoint_of_these_tests_is_sharded(sharded):
    assert [os.path.basename(path) for path in checkpoints.files_of(sharded)] == [
        "model.ckpt-7.data-00000-of-00002",
        "model.ckpt-7.data-00001-of-00002",
        "model.ckpt-7.meta",
        "model.ckpt-7.index",
    ]


# Damaged checkpoints

INDEX, DATA = ".index", ".data-00001-of-00002"


def cut(path):
    os.truncate(path, os.path.getsize(path) - 1)


def flip(path):
    """Flips a bit of the first byte, which is a value in a data file, a name in an index."""
    with open(path, "r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))


def replace_by_folder(path):
    os.remove(path)
    os.mkdir(path)


every_damage = pytest.mark.parametrize("damage", [os.remove, cut, flip, replace_by_folder])
every_file = pytest.mark.parametrize("ending", [INDEX, DATA])


def damaged(path, damage=cut, ending=DATA):
    """Returns the prefix of a checkpoint, one of whose files was damaged."""
    damage(path + ending)
    return path


def test_a_whole_checkpoint_has_no_damage(sharded):
    assert checkpoints.find_damage(sharded) is None
    checkpoints.check(sharded)


@every_damage
@every_file
def test_damage_is_one_line_that_names_the_file(sharded, damage, ending):
    found = checkpoints.find_damage(damaged(sharded, damage, ending))
    assert found.startswith({INDEX: "model.ckpt-7.index", DATA: "model.ckpt-7.data-*: "}[ending])
    assert "\n" not in found


def test_an_index_that_asks_for_more_memory_than_there_is_is_damaged(sharded, monkeypatch):
    def load(path):
        raise MemoryError("std::bad_alloc")

    monkeypatch.setattr(tf.train, "load_checkpoint", load)
    monkeypatch.setattr(tf.train, "list_variables", load)
    assert checkpoints.find_damage(sharded) == f"{os.path.basename(sharded)}.index: std::bad_alloc"
    with pytest.raises(UsageError, match="is damaged .*index: std::bad_alloc"):
        checkpoints.has_variable(sharded, "global_step")


def test_a_lack_of_memory_for_the_weights_is_no_damage(sharded, monkeypatch):
    class Reader:
        def get_variable_to_shape_map(self):
            return {"weight": [1]}

        def get_tensor(self, name):
            raise MemoryError

    monkeypatch.setattr(tf.train, "load_checkpoint", lambda path: Reader())
    with pytest.raises(MemoryError):
        checkpoints.find_damage(sharded)


@every_damage
@every_file
def test_the_newest_whole_checkpoint_is_found_below_a_damaged_one(
    tmp_path, sharded, damage, ending
):
    newer = damaged(save_sharded(tmp_path / "model.ckpt-10", 2.0), damage, ending)
    start, damages = checkpoints.newest_whole(str(tmp_path))
    assert start == sharded
    assert list(damages) == [newer]


@every_damage
@every_file
def test_a_scalar_of_a_damaged_checkpoint_is_an_error_that_names_it(
    tmp_path, sharded, damage, ending
):
    best = damaged(checkpoints.keep_as_best(sharded), damage, ending)
    expected = "model.ckpt-best is damaged .* The newest whole checkpoint there is model.ckpt-7: "
    with pytest.raises(UsageError, match=expected + "move model.ckpt-best.[*] away") as error:
        checkpoints.read_scalar(best, "second")
    assert "\n" not in str(error.value)


def test_a_scalar_that_a_whole_checkpoint_lacks_is_not_called_damage(sharded):
    with pytest.raises(tf.errors.NotFoundError):
        checkpoints.read_scalar(sharded, "batches_consumed")


def test_an_error_says_so_where_no_other_checkpoint_is_whole(tmp_path, sharded):
    damaged(sharded)
    best = damaged(save_sharded(tmp_path / "model.ckpt-best", 1.0))
    with pytest.raises(UsageError, match="and no other checkpoint there is whole"):
        checkpoints.check(best)


def test_training_is_refused_where_no_checkpoint_is_whole(tmp_path, sharded):
    damaged(sharded)
    damaged(save_sharded(tmp_path / "model.ckpt-10", 2.0))
    before = sorted(os.listdir(str(tmp_path)))
    with pytest.raises(UsageError, match="holds no checkpoint that is whole.*: model.ckpt-10.data"):
        checkpoints.newest_whole(str(tmp_path))
    assert sorted(os.listdir(str(tmp_path))) == before


def test_a_damaged_checkpoint_of_step_0_is_no_loss(tmp_path):
    path = damaged(save_sharded(tmp_path / "model.ckpt-0", 1.0), os.remove, INDEX)
    start, damages = checkpoints.newest_whole(str(tmp_path))
    assert (start, list(damages)) == (None, [path])


def test_a_new_folder_has_no_whole_checkpoint(tmp_path):
    assert checkpoints.newest_whole(str(tmp_path)) == (None, {})


# Preparing a folder for training


def prepare(folder):
    checkpoints.prepare_training(str(folder), *checkpoints.newest_whole(str(folder)))


def test_a_damaged_checkpoint_is_set_aside_whole_with_one_warning(tmp_path, sharded, caplog):
    newer = damaged(save_sharded(tmp_path / "model.ckpt-10", 2.0), cut, INDEX)
    files = [os.path.basename(path) for path in checkpoints.files_of(newer)]
    prepare(tmp_path)
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith(f"{newer} is damaged (model.ckpt-10.index: ")
    assert message.endswith(
        "): set aside as damaged-model.ckpt-10; training goes on from model.ckpt-7."
    )
    assert checkpoints.latest(str(tmp_path)) == sharded
    aside = {path.name for path in tmp_path.glob("damaged-*")}
    assert aside == {f"damaged-{name}" for name in files}


def test_tensorflow_resumes_from_the_start_and_knows_all_checkpoints(tmp_path, sharded):
    save_sharded(tmp_path / "model.ckpt-9", 1.0)
    damaged(save_sharded(tmp_path / "model.ckpt-10", 2.0))
    moved = tmp_path.parent / (tmp_path.name + " moved")
    tmp_path.rename(moved)
    prepare(moved)
    state = tf.train.get_checkpoint_state(str(moved))
    assert state.model_checkpoint_path == str(moved / "model.ckpt-9")
    assert list(state.all_model_checkpoint_paths) == [
        str(moved / "model.ckpt-7"),
        str(moved / "model.ckpt-9"),
    ]


def test_tensorflow_starts_anew_where_its_file_names_another_folder(tmp_path, sharded):
    folder = tmp_path / "copy"
    folder.mkdir()
    shutil.copy(str(tmp_path / "checkpoint"), str(folder))
    prepare(folder)
    assert tf.train.latest_checkpoint(str(folder)) is None


def test_what_a_full_disk_left_of_a_checkpoint_is_removed_and_nothing_else(tmp_path, sharded):
    before = sorted(os.listdir(str(tmp_path)))
    unfinished = "0123456789abcdef" * 2
    for folder in (f"model.ckpt-3_temp_{unfinished}", "model.ckpt-3_temp"):  # of 1.15, and of 2.15
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "part-00000-of-00001.data-00000-of-00001").write_text("half")
    for name in ("checkpoint", "graph.pbtxt", "model.ckpt-3.meta"):
        (tmp_path / f"{name}.tmp{unfinished}").write_text("half")
    (tmp_path / "model.ckpt-3.index.tempstate123456").write_text("half")
    own = ["model.ckpt-3_temporary", "checkpoint.tmp", "notes.tmp" + unfinished]
    for name in own:
        (tmp_path / name).write_text("of the user")
    prepare(tmp_path)
    assert sorted(os.listdir(str(tmp_path))) == sorted(before + own)


# Keeping the best


def test_best_of_a_sharded_checkpoint_holds_all_its_variables(sharded):
    best = checkpoints.keep_as_best(sharded)
    for path in checkpoints.files_of(sharded):
        os.remove(path)
    assert tf.train.load_variable(best, "first").tolist() == [1.5, 1.5]
    assert tf.train.load_variable(best, "second").tolist() == [-1.5]


def test_keep_as_best_returns_the_prefix_of_the_best(tmp_path):
    write_checkpoint(tmp_path / "model.ckpt-1", 1, "x")
    assert checkpoints.keep_as_best(str(tmp_path / "model.ckpt-1")) == str(tmp_path / BEST)


def test_keep_as_best_leaves_the_numbered_checkpoint(tmp_path):
    path = tmp_path / "model.ckpt-1"
    content = write_checkpoint(path, 2, "x")
    checkpoints.keep_as_best(str(path))
    assert {end: pathlib.Path(str(path) + end).read_text() for end in content} == content


@pytest.mark.parametrize("num_old, num_new", [(1, 1), (2, 1), (1, 2)])
def test_a_new_best_removes_every_file_of_the_old_one(tmp_path, num_old, num_new):
    write_checkpoint(tmp_path / BEST, num_old, "old")
    new = write_checkpoint(tmp_path / "model.ckpt-2", num_new, "new", has_meta=False)
    checkpoints.keep_as_best(str(tmp_path / "model.ckpt-2"))
    assert best_files(tmp_path) == new
    assert len(os.listdir(str(tmp_path))) == 2 * len(new)


def test_finish_keeping_of_a_missing_folder_does_nothing(tmp_path):
    checkpoints.finish_keeping(str(tmp_path / "absent"))
    assert os.listdir(str(tmp_path)) == []


def test_finish_keeping_renames_no_half_copied_file(tmp_path):
    write_checkpoint(tmp_path / BEST, 1, "old")
    new = write_checkpoint(tmp_path / ".incoming-best", 1, "new")
    (tmp_path / ".incoming-best.data-00000-of-00001.0123.part").write_text("half")
    assert checkpoints.is_keeping(str(tmp_path))
    checkpoints.finish_keeping(str(tmp_path))
    assert not checkpoints.is_keeping(str(tmp_path))
    assert best_files(tmp_path) == new
    assert len(os.listdir(str(tmp_path))) == len(new)


def test_finish_keeping_does_not_change_a_complete_best(tmp_path):
    content = write_checkpoint(tmp_path / BEST, 2, "x")
    checkpoints.finish_keeping(str(tmp_path))
    assert best_files(tmp_path) == content


# (shards of the old best, shards of the new best), each with and without a .meta file
LAYOUTS = [(old, new, meta) for old in (0, 1, 2) for new in (1, 2, 3) for meta in (True, False)]


def make_layout(folder, num_old, num_new, has_meta):
    """Writes the old best and a checkpoint of step 2; returns the contents of both."""
    folder.mkdir()
    old = write_checkpoint(folder / BEST, num_old, "old", True) if num_old else {}
    return old, write_checkpoint(folder / "model.ckpt-2", num_new, "new", has_meta)


def crash(monkeypatch, action, fail_at, is_fatal):
    """Runs action() with a failure of the k-th file operation; returns whether it got that far."""
    with monkeypatch.context() as patch:
        disk = FailingDisk(patch, fail_at, is_fatal)
        try:
            action()
        except Crash:
            pass
        return disk.has_failed


@pytest.mark.parametrize("is_fatal", [False, True], ids=["error", "kill"])
@pytest.mark.parametrize("num_old, num_new, has_meta", LAYOUTS)
def test_failure_of_any_file_operation_leaves_the_old_or_the_new_best_whole(
    tmp_path, monkeypatch, num_old, num_new, has_meta, is_fatal
):
    outcomes, fail_at, has_failed = [], 0, True
    while has_failed:
        fail_at += 1
        folder = tmp_path / str(fail_at)
        old, new = make_layout(folder, num_old, num_new, has_meta)
        path = str(folder / "model.ckpt-2")
        has_failed = crash(
            monkeypatch, lambda path=path: checkpoints.keep_as_best(path), fail_at, is_fatal
        )
        if checkpoints.best(str(folder)):  # before anything is repaired
            assert best_files(folder) in (old, new)
        checkpoints.finish_keeping(str(folder))
        assert best_files(folder) in (old, new)
        assert not list(folder.glob(".*"))
        outcomes.append(best_files(folder))
    assert fail_at > 2 * len(new)  # each file is copied, then renamed at least once
    assert outcomes[0] == old and outcomes[-1] == new
    if is_fatal:  # once the new one is complete, it is never lost
        assert outcomes == sorted(outcomes, key=lambda outcome: outcome == new)


@pytest.mark.parametrize("num_old, num_new", [(1, 1), (2, 1), (2, 3)])
def test_failure_while_finishing_leaves_the_old_or_the_new_best_whole(
    tmp_path, monkeypatch, num_old, num_new
):
    fail_at, has_failed = 0, True
    while has_failed:
        fail_at += 1
        again_at, has_failed_again = 0, True
        while has_failed_again:
            again_at += 1
            folder = tmp_path / f"{fail_at}-{again_at}"
            old, new = make_layout(folder, num_old, num_new, has_meta=True)
            path = str(folder / "model.ckpt-2")
            has_failed = crash(
                monkeypatch, lambda path=path: checkpoints.keep_as_best(path), fail_at, True
            )
            has_failed_again = crash(
                monkeypatch,
                lambda folder=folder: checkpoints.finish_keeping(str(folder)),
                again_at,
                True,
            )
            checkpoints.finish_keeping(str(folder))
            assert best_files(folder) in (old, new)
            assert not list(folder.glob(".*"))


def test_the_next_best_after_a_failure_is_complete(tmp_path, monkeypatch):
    fail_at, has_failed = 0, True
    while has_failed:
        fail_at += 1
        folder = tmp_path / str(fail_at)
        make_layout(folder, 2, 3, has_meta=True)
        path = str(folder / "model.ckpt-2")
        has_failed = crash(
            monkeypatch, lambda path=path: checkpoints.keep_as_best(path), fail_at, True
        )
        newest = write_checkpoint(folder / "model.ckpt-3", 1, "newest", has_meta=False)
        checkpoints.keep_as_best(str(folder / "model.ckpt-3"))
        assert best_files(folder) == newest
