"""Tests of albert.common.errors."""

from albert.common.errors import UsageError


def test_settings_are_shown_with_their_values():
    error = UsageError("<warmup_steps> exceeds <train_steps>.", warmup_steps=5, train_steps=3)
    assert str(error) == "warmup_steps=5 exceeds train_steps=3."


def test_the_command_line_shows_settings_as_flags():
    error = UsageError("<train_steps> must be 1 or more.", train_steps=0)
    assert error.text(lambda name: f"--{name[:-1]}") == "--train_step=0 must be 1 or more."


def test_a_value_stands_alone_where_no_name_is_shown():
    error = UsageError(
        "<config_file>: no such file. Is <data_dir> right?", config_file="a", data_dir=None
    )
    assert error.text(lambda name: "") == "a: no such file. Is data_dir right?"


def test_a_setting_without_a_value_is_named_alone():
    error = UsageError("nothing to do; give <do_train>.", do_train=None)
    assert error.text("--{}".format) == "nothing to do; give --do_train."


def test_angle_brackets_that_name_no_setting_stay():
    assert str(UsageError("<b>.txt: <unk> is missing, not <c>", c=1)) == (
        "<b>.txt: <unk> is missing, not c=1"
    )


def test_a_value_with_angle_brackets_is_shown_as_it_is():
    assert str(UsageError("<a> and <b>", a="<b>", b=1)) == "a=<b> and b=1"


def test_quoted_data_cannot_break_the_line():
    error = UsageError("question a\nb\r\x1b[31m of <path> has\u2028no\ttext é.", path="c\nd")
    assert str(error) == ("question a\\nb\\r\\x1b[31m of path=c\\nd has\\u2028no\\ttext é.")


def test_long_data_is_cut_but_for_what_comes_before_and_after_it():
    message = str(UsageError(f"a.tsv:3: label {'x' * 99999} is not one of 0, 1."))
    assert message.startswith("a.tsv:3: label xxx") and message.endswith("xxx is not one of 0, 1.")
    assert len(message) == 1005
