"""The second factor: a code of an app (TOTP, RFC 6238) or a recovery code enters, whether it is right leaves.

The secret that an app shares is kept encrypted (Fernet: AES-128-CBC and HMAC-SHA-256) with a key that lies in a file of
the site and not in the state: who reads the database alone cannot make codes. Of recovery codes digests are kept.
"""

import base64
import contextlib
import hmac
import io
import os
import secrets
import time
from pathlib import Path

import pyotp
import segno
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import Connection, Engine, select, update

from pipeline.access import digest
from pipeline.messages import HaidangError
from pipeline.settings import Settings
from pipeline.state.tables import users

#: The folder of the site's own keys, in the data directory.
KEYS = "keys"
_FILE = "secrets.key"
_ISSUER = "Hải Đăng"
#: Clocks of telephones may be off by so many steps of 30 seconds (RFC 6238 section 5.2).
_STEPS = (0, -1, 1)
_STEP_SECONDS = 30
#: So random that a plain digest of them is kept (ASVS 5.0 6.5.2 asks for 112 bits).
_RECOVERY_CODES, _RECOVERY_BYTES = 10, 15


def is_set(engine: Engine, user: str) -> bool:
    """Say whether a user has a second factor that counts."""
    with engine.connect().execution_options(read_only=True) as connection:
        return connection.scalar(select(users.c.totp).where(users.c.name == user)) is not None


def begin(connection: Connection, settings: Settings, name: str) -> dict[str, str]:
    """Make a new secret for a user, which counts once a code of it was shown; return it as text, URI and drawing."""
    secret = pyotp.random_base32()
    kept = cipher(settings).encrypt(secret.encode()).decode()
    connection.execute(update(users).where(users.c.name == name).values(totp_new=kept))
    uri = pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=_ISSUER)
    drawn = io.BytesIO()
    segno.make(uri, error="m").save(drawn, kind="svg", scale=4, xmldecl=False, svgns=True)
    image = "data:image/svg+xml;base64," + base64.b64encode(drawn.getvalue()).decode()
    return {"secret": secret, "uri": uri, "image": image}


def confirm(connection: Connection, settings: Settings, name: str, code: str) -> list[str]:
    """Let the new secret count, for a code of it was shown; return the recovery codes, which nobody sees again.

    Raises:
        HaidangError: the code is wrong, or no secret was made.
    """
    row = connection.execute(select(users.c.totp_new).where(users.c.name == name)).first()
    step = _step_of(_opened(settings, row.totp_new), code) if row and row.totp_new else None
    if row is None or step is None:
        raise HaidangError("user.wrong_code")
    codes = [base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode() for _ in range(_RECOVERY_CODES)]
    made = {"totp": row.totp_new, "totp_new": None, "totp_step": step, "recovery": [digest(each) for each in codes]}
    connection.execute(update(users).where(users.c.name == name).values(made))
    return ["-".join(each[start : start + 4] for start in range(0, len(each), 4)) for each in codes]


def is_right(connection: Connection, settings: Settings, name: str, code: str) -> bool:
    """Say whether a code of the app, or a recovery code, is the user's; each is so once."""
    query = select(users.c.totp, users.c.totp_step, users.c.recovery).where(users.c.name == name).with_for_update()
    row = connection.execute(query).first()
    if row is None or not row.totp:
        return False
    step = _step_of(_opened(settings, row.totp), code)
    if step is not None:
        later = (users.c.name == name) & (users.c.totp_step < step)  # RFC 6238 section 5.2: never twice
        return bool(connection.execute(update(users).where(later).values(totp_step=step)).rowcount)
    given = digest(code.replace("-", "").replace(" ", "").upper())
    left = [each for each in row.recovery or () if not hmac.compare_digest(each, given)]
    if len(left) == len(row.recovery or ()):
        return False
    connection.execute(update(users).where(users.c.name == name).values(recovery=left))
    return True


def take_away(connection: Connection, name: str) -> None:
    """Forget a user's second factor."""
    none = {"totp": None, "totp_new": None, "totp_step": 0, "recovery": None}
    connection.execute(update(users).where(users.c.name == name).values(none))


def _step_of(secret: str, code: str) -> int | None:
    code = code.replace(" ", "")
    now = int(time.time()) // _STEP_SECONDS
    made = pyotp.TOTP(secret)
    right = [
        now + step
        for step in _STEPS
        if hmac.compare_digest(made.generate_otp(now + step), code.encode("ascii", "replace").decode())
    ]
    return right[0] if right else None


def _opened(settings: Settings, kept: str) -> str:
    try:
        return cipher(settings).decrypt(kept.encode()).decode()
    except InvalidToken as error:
        raise HaidangError("user.key_changed", file=_key_file(settings)) from error


def _key_file(settings: Settings) -> Path:
    return settings.access.key_file or settings.data_dir / KEYS / _FILE


def cipher(settings: Settings) -> Fernet:
    """Return the site's cipher; its key is made when there is none.

    Raises:
        HaidangError: the file cannot be read or made, or holds no key.
    """
    file = _key_file(settings)
    try:
        if not file.exists():
            _make_key(file)
        return Fernet(file.read_bytes().strip())
    except (OSError, ValueError) as error:
        raise HaidangError("user.bad_key_file", file=file, fault=error) from error


def _make_key(file: Path) -> None:
    """Make the key's file, whole or not at all; another process may have been quicker."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as written:
            written.write(Fernet.generate_key())
            written.flush()
            os.fsync(written.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()
