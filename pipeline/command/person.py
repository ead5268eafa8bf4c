"""Who gives a command: the process's user enters, the name that the audit keeps leaves."""

import os
import pwd

#: Users below this are the system's own, root among them: people have no log-in as one (login.defs, UID_MIN).
_FIRST_PERSON = 1000


def person() -> str:
    """Return whose command this is. Where sudo has made them root, or the user that the site runs as: who called it, so
    that two administrators can be told apart.

    Taken from the process, not from `LOGNAME`, which anybody sets as they like; people who run it as themselves cannot
    be another by `SUDO_USER` either.
    """
    user = os.geteuid()
    if user < _FIRST_PERSON and (caller := os.environ.get("SUDO_USER", "")):
        return caller[:100]
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:  # as in a container that runs as a number
        return f"uid {user}"
