"""SMB, DCE/RPC, Kerberos and RDP in recorded attacks: what the intruder did stands in the events."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collectors.network.kerberos import KerberosReader
from collectors.network.rdp import RdpReader
from collectors.network.smb import SmbReader
from tests.collectors.network.packets import of, sensed

Events = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def recorded(shared_data: Path) -> Events:
    """The events of a capture by a part of its name."""

    def events(name: str) -> list[dict[str, Any]]:
        (path,) = [each for each in (shared_data / "pcap" / "attack").rglob("*.pcap*") if name in each.name]
        return sensed(path.read_bytes())

    return events


def calls(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each.get("dce_rpc.endpoint", ""), each["dce_rpc.operation"]) for each in of(events, "network.dce_rpc")]


def test_psexec_writes_to_an_admin_share_and_starts_a_service(recorded: Events) -> None:
    events = recorded("LM_psexec")
    smb = of(events, "network.smb")
    (login,) = [each for each in smb if each["smb.command"] == "SESSION_SETUP"]
    assert (login["user.domain"], login["user.name"], login["smb.status"]) == ("3B", "backdoor", "SUCCESS")
    (written,) = [each for each in smb if each.get("smb.access") == "write"]
    assert (written["smb.share"], written["file.name"]) == ("\\\\172.16.66.36\\ADMIN$", "PSEXESVC.exe")
    assert "PSEXESVC" in {each.get("smb.pipe") for each in smb}
    assert {("svcctl", "OpenSCManagerW"), ("svcctl", "StartServiceW")} <= set(calls(events))
    assert {each["smb.version"] for each in smb} == {"3.1.1"}


def test_zerologon_and_the_printer_bug_are_named_by_their_calls(recorded: Events) -> None:
    netlogon = [name for endpoint, name in calls(recorded("zerologon")) if endpoint == "netlogon"]
    assert netlogon == ["NetrServerReqChallenge", "NetrServerAuthenticate2", "NetrServerPasswordSet2"]
    spooler = recorded("CA_LM_SpoolSample")
    assert ("spoolss", "RpcRemoteFindFirstPrinterChangeNotificationEx") in calls(spooler)
    assert of(spooler, "network.dce_rpc")[0]["dce_rpc.pipe"] == "spoolss"
    refused = [each for each in of(spooler, "network.smb") if each["event.outcome"] == "failure"]
    assert "ACCESS_DENIED" in {each["smb.status"] for each in refused}


def test_what_began_before_the_recording_is_told_by_its_calls(recorded: Events) -> None:
    assert ("drsuapi", "DRSGetNCChanges") in calls(recorded("DCSync"))
    (started,) = [each for each in recorded("mmc20") if "dce_rpc.class" in each]
    assert (started["dce_rpc.class"], started["destination.port"]) == ("MMC20.Application", 135)
    (opened,) = [each for each in recorded("masterkey") if each.get("dce_rpc.endpoint") == "BackupKey"]
    assert (opened["dce_rpc.operation"], opened["dce_rpc.bytes"]) == ("BackuprKey", 452)


def test_kerberos_requests_have_names_and_ciphers(recorded: Events) -> None:
    tickets = of(recorded("skeleton"), "network.kerberos")
    first = tickets[0]
    assert (first["kerberos.request"], first["kerberos.client"]) == ("AS", "backdoor")
    assert (first["user.name"], first["user.domain"]) == ("backdoor", "3b")
    assert (first["kerberos.service"], first["kerberos.ciphers"][:3]) == (
        "krbtgt/3b",
        ["aes256-cts-hmac-sha1-96", "aes128-cts-hmac-sha1-96", "rc4-hmac"],
    )
    assert "cifs/01566s-win16-ir" in {each["kerberos.service"] for each in tickets}
    assert any(each.get("kerberos.cipher") for each in tickets)
    shown = [
        (each["kerberos.preauthentication"], each["event.outcome"])
        for each in tickets
        if each["kerberos.request"] == "AS"
    ]
    assert shown == [(False, "failure"), (True, "success")]


def test_rdp_says_who_asks_and_how() -> None:
    asked = b"\x03\x00\x00\x2b\x26\xe0\0\0\0\0\0Cookie: mstshash=admin\r\n\x01\x00\x08\x00\x0b\0\0\0"
    ((_, kind, fields),) = RdpReader().take(True, asked, 1)
    assert (kind, fields["rdp.cookie"], fields["rdp.security"]) == ("rdp", "admin", "rdstls")


@pytest.mark.parametrize("cut", range(0, 400, 7))
def test_smb_in_any_pieces_says_the_same(shared_data: Path, cut: int) -> None:
    negotiate = b"\xfeSMB" + b"\x40\0" + b"\0" * 58
    tree = b"\xfeSMB\x40\0\0\0\0\0\0\0\3\0" + b"\0" * 10 + b"\7" + b"\0" * 39
    path = "\\\\s\\C$".encode("utf-16-le")
    tree = tree[:64] + b"\x09\0\0\0\x48\0" + bytes((len(path), 0)) + path
    data = b"".join(b"\0" + len(each).to_bytes(3, "big") + each for each in (negotiate, tree))
    reader = SmbReader()
    found = [*reader.take(True, data[:cut], 1), *reader.take(True, data[cut:], 2), *reader.end()]
    assert [each.fields.get("smb.share") for each in found] == ["\\\\s\\C$"]


def test_kerberos_that_is_none_is_nothing() -> None:
    for message in (
        b"",
        b"\x6a",
        b"\x6a\x84\xff\xff\xff\xff" + b"\xa4\x80" * 200,
        b"\x7e\x30" + b"\xa6\x03\x02\x01\x18",
    ):
        reader = KerberosReader()
        found = [*reader.take(True, message, 1), *reader.end()]
        assert all(each.kind == "kerberos" for each in found)
