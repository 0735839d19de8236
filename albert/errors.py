"""The one exception class for mistakes of the user, as opposed to bugs."""


class UsageError(Exception):
    """A mistake the user can act on.

    Its message is one line: the flag or file:line, what was received, what is allowed. Runners
    print it without a traceback and exit with status 1; every other exception is a bug and keeps
    its traceback.
    """
