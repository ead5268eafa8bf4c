"""Log-ins as they go over the wire, with real clients and a real sshd: who, and was he let in."""

import contextlib
import ftplib
import getpass
import imaplib
import poplib
import shutil
import smtplib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.ldap import LDAP, LDAP_Authentication_simple, LDAP_BindRequest, LDAP_BindResponse

from collectors.network.ldap import LdapReader
from collectors.network.ldap import looks_like as looks_like_ldap
from collectors.network.reading import Reader
from collectors.network.ssh import SshReader
from collectors.network.text_logins import TextLoginReader
from tests.collectors.network.packets import of, sensed
from tests.conftest import need

Fields = dict[str, Any]
_TIMEOUT = 20


class Listener:
    """Stands between a client and a server, and gives what it passes on to a reader."""

    def __init__(self, reader: Reader, port: int) -> None:
        self.said: list[Fields] = []
        self._reader, self._port = reader, port
        self._lock = threading.Lock()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self._thread = threading.Thread(target=self._pass_on)
        self._thread.start()

    def _pass_on(self) -> None:
        with self._door.accept()[0] as client, socket.create_connection(("127.0.0.1", self._port)) as server:
            back = threading.Thread(target=self._one_way, args=(server, client, False))
            back.start()
            self._one_way(client, server, True)
            back.join(_TIMEOUT)

    def _one_way(self, one: socket.socket, other: socket.socket, from_source: bool) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                with self._lock:
                    self.said += [each.fields for each in self._reader.take(from_source, data, 1)]
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)

    def end(self) -> list[Fields]:
        """The connection is over: what was learned of it."""
        self._thread.join(_TIMEOUT)
        self._door.close()
        self.said += [each.fields for each in self._reader.end()]
        return self.said


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """A real sshd: its port, and the key that it lets in."""
    program = shutil.which("sshd") or "/usr/sbin/sshd"
    need(Path(program).exists() and shutil.which("ssh-keygen") is not None, "sshd and ssh-keygen")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": folder / "host", "PidFile": "none", "UsePAM": "no",
        "StrictModes": "no", "AuthorizedKeysFile": folder / "user.pub", "PermitRootLogin": "yes",
    }  # fmt: skip
    (folder / "config").write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    Path("/run/sshd").mkdir(exist_ok=True)
    with subprocess.Popen([program, "-D", "-e", "-f", folder / "config"], stderr=subprocess.DEVNULL) as server:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield port, folder / "user"
        server.terminate()


def _ssh(listener: Listener, *options: str) -> list[Fields]:
    known = [
        "-F",
        "none",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "BatchMode=yes",
    ]
    at = ["-o", "IdentitiesOnly=yes", "-p", str(listener.port), f"{getpass.getuser()}@127.0.0.1", "true"]
    subprocess.run(["ssh", *known, *options, *at], timeout=_TIMEOUT, capture_output=True, check=False)
    return listener.end()


@pytest.mark.parametrize("cipher", ["chacha20-poly1305@openssh.com", "aes128-ctr", "aes256-gcm@openssh.com"])
def test_ssh_lets_in_or_refuses(sshd: tuple[int, Path], cipher: str) -> None:
    port, key = sshd
    (let_in,) = _ssh(Listener(SshReader(), port), "-c", cipher, "-i", str(key))
    assert (let_in["ssh.auth.success"], let_in["event.outcome"]) == (True, "success")
    assert let_in["ssh.client.version"].startswith("SSH-2.0-OpenSSH")
    (refused,) = _ssh(Listener(SshReader(), port), "-c", cipher, "-i", str(key.with_name("host")))
    assert (refused["ssh.auth.success"], refused["event.outcome"]) == (False, "failure")


def test_ssh_without_a_log_in_says_nothing_of_one(sshd: tuple[int, Path]) -> None:
    listener = Listener(SshReader(), sshd[0])
    subprocess.run(
        ["ssh-keyscan", "-t", "ed25519", "-p", str(listener.port), "127.0.0.1"], capture_output=True, check=False
    )
    (scan,) = listener.end()
    assert "ssh.auth.success" not in scan
    assert scan["ssh.server.version"].startswith("SSH-2.0-OpenSSH")


#: What a server answers to lines that begin so; None: it goes on without an answer.
_FTP = {"USER": "331 x", "PASS right": "230 x", "PASS": "530 x", "QUIT": "221 x", "AUTH": "502 x"}
_POP3 = {"USER": "+OK", "PASS right": "+OK", "PASS": "-ERR x", "QUIT": "+OK"}
_SMTP = {"ehlo": "250-x\r\n250 AUTH PLAIN LOGIN", "AUTH LOGIN": "334 VXNlcm5hbWU6", "AUTH PLAIN": "535 x", "cmlnaHQ=": "235 x",
         "YW4=": "334 UGFzc3dvcmQ6", "d3Jvbmc=": "535 x", "quit": "221 x", "*": "501 x"}  # fmt: skip


def _served(greeting: str, answers: dict[str, str], talk: Callable[[int], object]) -> list[Fields]:
    """Let a client talk to a server with these answers; what was learned of it."""
    door = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with door, door.accept()[0] as client, client.makefile("rwb") as lines:
            lines.write(greeting.encode() + b"\r\n")
            lines.flush()
            for line in lines:
                said = line.decode().rstrip()
                tag, _, rest = said.partition(" ")
                if not answers and rest.startswith(("LOGIN", "CAPABILITY", "LOGOUT")):
                    extra = "* CAPABILITY IMAP4rev1\r\n" if rest == "CAPABILITY" else ""
                    reply = f"{extra}{tag} {'NO' if 'wrong' in rest else 'OK'} x"
                else:
                    reply = next((answer for begin, answer in answers.items() if said.startswith(begin)), "500 x")
                lines.write(reply.encode() + b"\r\n")
                lines.flush()

    server = threading.Thread(target=serve)
    server.start()
    listener = Listener(TextLoginReader(), door.getsockname()[1])
    with contextlib.suppress(ftplib.Error, poplib.error_proto, imaplib.IMAP4.error, smtplib.SMTPException, OSError):
        talk(listener.port)
    server.join(_TIMEOUT)
    return listener.end()


def _ftp(password: str) -> Callable[[int], object]:
    def talk(port: int) -> None:
        with ftplib.FTP() as client:
            client.connect("127.0.0.1", port)
            client.login("an", password)

    return talk


def _pop3(password: str) -> Callable[[int], object]:
    def talk(port: int) -> None:
        client = poplib.POP3("127.0.0.1", port)
        client.user("an")
        try:
            client.pass_(password)
        finally:
            client.quit()

    return talk


def _imap(password: str) -> Callable[[int], object]:
    def talk(port: int) -> None:
        with imaplib.IMAP4("127.0.0.1", port) as client:
            client.login("an", password)

    return talk


def _smtp(password: str) -> Callable[[int], object]:
    def talk(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.ehlo()
            client.user, client.password = "an", password
            client.auth("LOGIN", client.auth_login)

    return talk


@pytest.mark.parametrize(
    ("protocol", "greeting", "answers", "talk"),
    [
        ("ftp", "220 x", _FTP, _ftp),
        ("pop3", "+OK x", _POP3, _pop3),
        ("imap", "* OK x", {}, _imap),
        ("smtp", "220 x", _SMTP, _smtp),
    ],
)
@pytest.mark.parametrize("password", ["right", "wrong"])
def test_log_ins_in_lines(
    protocol: str, greeting: str, answers: dict[str, str], talk: Callable[[str], Callable[[int], object]], password: str
) -> None:
    (login,) = _served(greeting, answers, talk(password))
    outcome = "success" if password == "right" else "failure"
    assert (login["network.protocol"], login["user.name"], login["event.outcome"]) == (protocol, "an", outcome)
    assert "right" not in str(login)
    assert "wrong" not in str(login)


def test_a_recorded_pop3_log_in_that_failed(shared_data: Path) -> None:
    logins = of(sensed((shared_data / "pcap" / "ndpi" / "pop3.pcap").read_bytes()), "network.pop3")
    assert sorted(each["event.outcome"] for each in logins) == ["failure", "success", "success", "success"]
    assert {each["event.code"] for each in logins} == {"PASS", "PLAIN"}


@pytest.mark.parametrize(("code", "outcome"), [(0, "success"), (49, "failure")])
def test_ldap_binds(code: int, outcome: str) -> None:
    asked = bytes(
        LDAP(messageID=7, protocolOp=LDAP_BindRequest(
            bind_name="cn=an,dc=example", authentication=LDAP_Authentication_simple(b"secret")
        ))
    )  # fmt: skip
    answered = bytes(LDAP(messageID=7, protocolOp=LDAP_BindResponse(resultCode=code)))
    assert looks_like_ldap(asked)
    reader = LdapReader()
    said = []
    for at in range(len(asked)):  # byte by byte
        said += list(reader.take(True, asked[at : at + 1], 5))
    ((time, kind, fields),) = [*said, *reader.take(False, answered, 6)]
    assert (time, kind, fields["user.name"], fields["event.outcome"]) == (5, "ldap", "cn=an,dc=example", outcome)
    assert "secret" not in str(fields)
