"""The one exception class for mistakes of the user, as opposed to bugs."""

import re
from typing import Any, Callable, Match

_LONGEST = 1000  # characters of a message, which may quote what was received
_NOT_ON_A_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


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

        Where the shown name is empty, the value stands alone. Line ends and other control
        characters, which quoted data may have, are escaped; a long text is cut in its middle.
        """

        def shown(match: Match[str]) -> str:
            name = match.group(1)
            if name not in self._settings:  # a path with angle brackets, say
                return match.group()
            value, shown_as = self._settings[name], shown_name(name)
            if value is None:
                return shown_as or name
            return f"{shown_as}={value}" if shown_as else str(value)

        text = re.sub(r"<(\w+)>", shown, self._message)
        text = _NOT_ON_A_LINE.sub(lambda match: repr(match.group())[1:-1], text)
        half = _LONGEST // 2
        return text if len(text) <= _LONGEST else f"{text[:half]} ... {text[-half:]}"
