"""The one hierarchy of errors. Callers decide by `retriable` and `exit_code`, never by lists of names."""

from __future__ import annotations


class UnderstudyError(Exception):
    """Base of every error that Understudy raises on purpose.

    `retriable` says whether the same call may succeed later without a change of its input;
    `exit_code` is what the command line ends with.
    """

    retriable = False
    exit_code = 1


class InvalidInputError(UnderstudyError):
    """A value that came from outside cannot be used; the message names it."""

    exit_code = 2


class InvalidEventError(InvalidInputError):
    """An event breaks the schema. `reason` is a short, stable class for counting and dead letters."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class InvalidSettingError(InvalidInputError):
    """A setting is missing, misspelt or out of range; the message names the variable, never a secret."""


class InvalidBundleError(InvalidInputError):
    """A model bundle was refused before any of its content was used; the message names the file."""


class NotFoundError(InvalidInputError):
    """A named thing (version, release, viewer) does not exist; the message lists the nearest names."""


class RefusedError(UnderstudyError):
    """The state of the platform does not allow this; nothing was changed."""

    exit_code = 3


class ConflictError(RefusedError):
    """Somebody else changed the same row first (compare-and-swap lost): read again, decide again."""

    retriable = True


class DependencyError(UnderstudyError):
    """A server this process depends on (SQL, Kafka, MongoDB, an upstream) did not answer."""

    retriable = True
    exit_code = 4


class AccessDeniedError(DependencyError):
    """The server is there and does not let us in: our user, password or certificates are not right."""

    retriable = False
