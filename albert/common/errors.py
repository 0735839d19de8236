"""The one exception class for mistakes of the user, as opposed to bugs."""

import re
from typing import Any, Callable


class UsageError(Exception):
    """A mistake the user can act on.

    Its message is one line: the setting or file:line, what was received, what is allowed. Programs
    print it without a traceback and exit with status 1; every other exception is a bug and keeps
    its traceback.

    Settings stand in the message in angle brackets and are given by name. Modules know settings,
    only the command line knows which flag sets one:

        UsageError("<train_steps> must be 1 or more.", train_steps=0)

    reads `train_steps=0 must be 1 or more.`, and where a runner reports it, `--train_step=0 must
    be 1 or more.`

    Args:
        message: str.
        settings: {name: value}; a value of None stands for the name alone.
    """

    def __init__(self, message: str, **settings: Any) -> None:
        super().__init__(message)
        self._message = message
        self._settings = settings

    def __str__(self) -> str:
        return self.text(str)

    def text(self, shown_name: Callable[[str], str]) -> str:
        """Returns the message with each setting written as `shown_name(name)=value`."""

        def shown(match):
            name = match.group(1)
            if name not in self._settings:  # angle brackets of a path, say
                return match.group()
            value = self._settings[name]
            return shown_name(name) if value is None else f"{shown_name(name)}={value}"

        return re.sub(r"<(\w+)>", shown, self._message)
