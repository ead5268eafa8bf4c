"""The messages of NTLM ([MS-NLMP]) inside another protocol enter, who logs in leaves."""

from struct import Struct, error

from collectors.network.reading import Fields

_SIGN, _AUTHENTICATE = b"NTLMSSP\0", 3
_KIND, _PLACE = Struct("<8xI").unpack_from, Struct("<H2xI").unpack_from
_NAMES = ((28, "user.domain"), (36, "user.name"), (44, "source.domain"))
#: Bytes of a name.
MAX_NAME = 512


def log_in_of(token: bytes) -> Fields:
    """Read who logs in (2.2.1.3); nothing where this is no NTLM, or not yet its last message."""
    at = token.find(_SIGN)
    fields: Fields = {}
    if at < 0:
        return fields
    message = token[at:]
    try:
        if _KIND(message)[0] != _AUTHENTICATE:
            return fields
        for place, name in _NAMES:
            length, offset = _PLACE(message, place)
            if value := message[offset : offset + min(length, MAX_NAME)].decode("utf-16-le", "replace"):
                fields[name] = value
    except error:
        return fields
    return fields
