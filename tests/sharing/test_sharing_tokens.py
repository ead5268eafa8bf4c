"""A key that never leaves its token: SoftHSM signs, the simulated authority takes it; a wrong PIN is said to be one."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.messages import HaidangError
from sharing import book
from sharing.drafting import build
from tests.conftest import need
from tests.sharing.conftest import Party, c2_alert
from tests.sharing.test_sharing_faults import courier_of

_MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new token; returns its library."""
    need(_MODULE.is_file() and shutil.which("softhsm2-util") is not None, "softhsm2")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    _util("--init-token", "--free", "--label", "don-vi", "--pin", "123456", "--so-pin", "12345678")
    return _MODULE


def _util(*arguments: str) -> None:
    subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True, env=os.environ)


def test_a_key_in_a_token_signs_what_the_authority_takes(party: Party, token: Path) -> None:
    plain = party.profile()  # makes key and certificate, and registers it
    key = party.folder / "bo-signing.key"
    _util("--import", str(key), "--token", "don-vi", "--label", "ky", "--id", "01", "--pin", "123456")
    key.unlink()
    (party.folder / "pin").write_text("123456\n")
    of_token = {
        "signing__key": None, "signing__pkcs11_module": str(token), "signing__pkcs11_token": "don-vi",
        "signing__pkcs11_key": "ky", "signing__pin_file": "pin",
    }  # fmt: skip
    named = party.confirm(party.profile(**of_token))
    assert named.digest != plain.digest
    build(party.engine, party.settings, named)
    party.raise_alerts(c2_alert(1))
    build(party.engine, party.settings, named)
    sender = courier_of(party, named)
    assert sender.sign() == 1 and sender.send()
    assert [each["status"] for each in party.messages()] == ["sent"]
    assert len(party.simulator.book.arrived()) == 1
    party.raise_alerts(c2_alert(2))
    build(party.engine, party.settings, named)
    (party.folder / "pin").write_text("654321\n")
    with pytest.raises(HaidangError, match="don-vi ky") as refused:
        sender.sign()
    assert "654321" not in str(refused.value) and book.one(party.engine, 2)["status"] == "approved"
