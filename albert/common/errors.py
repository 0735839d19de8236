"""The one exception class for mistakes of the user, as opposed to bugs."""

import re
from typing import Any, Callable, Match


class UsageError(Exception):
    """A mistake that the user can correct.

    The message is one line: the setting or file:line, what was received, what is allowed. Programs
    print it without a traceback and exit with status 1; every other exception is a bug and keeps
    its traceback.

    A setting is written in angle brackets and passed by name, because only the command line knows
    which flag sets it. For example

        UsageError("<train_steps> must be 1 or more.", train_steps=0)

    reads `train_steps=0 must be 1 or more.`; a runner shows `--train_step=0 must be 1 or more.`

    Args:
        settings: {name: value}; None shows the name alone.
    """

    def __init__(self, message: str, **settings: Any) -> None:
        super().__init__(message)
        self._message = message
        self._settings = settings

    def __str__(self) -> str:
        return self.text(str)

    def text(self, shown_name: Callable[[str], str]) -> str:
        """Returns the message with each setting as `shown_name(name)=value`.

        Where the shown name is empty, the value stands alone.
        """

        def shown(match: Match[str]) -> str:
            name = match.group(1)
            if name not in self._settings:  # a path with angle brackets, say
                return match.group()
            value, shown_as = self._settings[name], shown_name(name)
            if value is None:
                return shown_as or name
            return f"{shown_as}={value}" if shown_as else str(value)

        return re.sub(r"<(\w+)>", shown, self._message)
