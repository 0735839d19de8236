"""The command line of a runner: its help, its log, and how it ends."""

import os
import sys
import traceback
from typing import Any, Callable, List, Mapping, Optional

from absl import app, flags

from albert.cli import flag_groups, program, quiet, shared_flags
from albert.common.errors import UsageError

FLAGS = flags.FLAGS


def run(
    main: Callable[[], None],
    description: Optional[str],
    same_flag: Mapping[str, str] = {},
    output_flag: str = "output_dir",
    resumes_from: str = "the last checkpoint",
) -> None:
    """Parses the flags, which are defined, calls `main()` and exits.

    Args:
        description: what --help opens with, in lines of at most 79 columns; a runner's docstring.
        same_flag: {setting: another one}, those that the flag of the other sets, too.
        output_flag: the one that says where to write.
        resumes_from: where the same command goes on after Ctrl-C.
    """
    app.define_help_flags()  # so that ours come after them
    flags.DEFINE_flag(_HelpFlag("help", "?", description or ""))
    flags.DEFINE_flag(_HelpFlag("helpshort", None, description or ""))
    program.run(
        os.path.basename(sys.argv[0]),
        lambda: app.run(lambda _: _log_and_run(main), flags_parser=_parse),
        flag_of=lambda setting: shared_flags.flag_of(same_flag.get(setting, setting)),
        explain=lambda error: _explain_full_disk(error, output_flag),
        interrupted=f"Interrupted. The same command resumes from {resumes_from}.",
    )


class _HelpFlag(flags.BooleanFlag):
    """Takes the place of absl's flag, which knows no groups and exits with status 1."""

    def __init__(self, name: str, short_name: Optional[str], description: str) -> None:
        super().__init__(name, False, "Show this help.", short_name=short_name, allow_override=True)
        self._description = description

    def parse(self, argument: Any) -> None:
        super().parse(argument)
        if self.value:
            print(flag_groups.help_text(self._description), end="", flush=True)
            sys.exit(0)


def _parse(arguments: List[str]) -> List[str]:
    try:
        rest = FLAGS(arguments)
    except flags.Error as error:
        raise UsageError(" ".join(str(error).split())) from error
    except (UnicodeDecodeError, RecursionError) as error:  # a flagfile that is not one
        raise UsageError(f"The flags cannot be read: {error}.") from error
    if len(rest) > 1:
        raise UsageError(f"Unexpected argument {rest[1]!r}; flags are written --name=value.")
    return rest


def _log_and_run(main: Callable[[], None]) -> None:
    """Calls `main()` while our log is shown, and TensorFlow's too if --verbosity is 1 or more."""
    quiet.show_log(FLAGS.verbosity)
    try:
        main()
    except UsageError:
        if FLAGS.verbosity > 0:  # the cause may lie in code of the user's own
            traceback.print_exc()
        raise


def _explain_full_disk(error: Exception, output_flag: str) -> Optional[str]:
    is_of_tensorflow = type(error).__module__.startswith("tensorflow")
    if not isinstance(error, OSError) and not is_of_tensorflow:
        return None
    if "No space left on device" not in str(error):
        return None
    return (
        f"The disk of --{output_flag}={FLAGS[output_flag].value} is full. What was saved before is "
        "whole: free some space, and the same command resumes from there."
    )
