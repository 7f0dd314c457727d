"""How many files and sockets this process may have open."""

from __future__ import annotations

import resource

from core.errors import InvalidSettingError


def allow_descriptors(needed: int) -> None:
    """Raise the soft limit to `needed` where it is lower; the processes forked from now on have it too.

    Raises:
        InvalidSettingError: the hard limit is lower still.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise InvalidSettingError(
            f"{needed} open files and sockets are needed, and this machine allows {hard}: raise it "
            "(`ulimit -Hn`), or let fewer connections in"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
