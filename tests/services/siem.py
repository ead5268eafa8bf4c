"""A real syslog-ng as another SIEM: it takes RFC 5424 over TLS and TCP, and writes what it has read into a file."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import free_port
from tests.e2e.senders import running, syslog_ng_program
from tests.services.receiver import authority

_CONFIG = """
@version: {version}
options {{ keep-hostname(yes); use-dns(no); log-msg-size(2000000); }};
source s_tls {{ syslog(ip("127.0.0.1") port({tls}) transport("tls")
  tls(key-file("{folder}/key.pem") cert-file("{folder}/cert.pem") peer-verify(optional-untrusted))); }};
source s_tcp {{ syslog(ip("127.0.0.1") port({tcp}) transport("tcp")); }};
source s_udp {{ syslog(ip("127.0.0.1") port({udp}) transport("udp")); }};
source s_ready {{ unix-dgram("{folder}/in.sock"); }};
destination d_file {{ file("{folder}/got"
  template("$(format-json pri=$PRI time=$ISODATE host=$HOST program=$PROGRAM id=$MSGID text=$MSG)\\n")); }};
log {{ source(s_tls); source(s_tcp); source(s_udp); source(s_ready); destination(d_file); }};
"""


class Siem:
    """Its ports, and what it has read."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self.folder, self.ports = folder, ports

    @property
    def ca(self) -> Path:
        """Who signed its certificate."""
        return self.folder / "ca.pem"

    def got(self) -> list[dict[str, Any]]:
        """The messages, in order."""
        file = self.folder / "got"
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


@contextmanager
def siem(folder: Path, ports: dict[str, int] | None = None) -> Iterator[Siem]:
    """Run it; with the ports of one that was before, it is the same again."""
    folder.mkdir(parents=True, exist_ok=True)
    binary, modules, environment, version = syslog_ng_program()
    if not (folder / "key.pem").exists():
        made, _ = authority(folder)
        own = made.issue_cert("localhost")
        own.private_key_pem.write_to_path(folder / "key.pem")
        own.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    ports = ports or {name: free_port() for name in ("tls", "tcp", "udp")}
    (folder / "syslog-ng.conf").write_text(_CONFIG.format(version=version, folder=folder, **ports))
    (folder / "in.sock").unlink(missing_ok=True)
    command = [
        binary, "--no-caps", "-F", "-f", str(folder / "syslog-ng.conf"), f"--persist-file={folder / 'persist'}",
        f"--control={folder / 'control'}", f"--pidfile={folder / 'pid'}",
        *([f"--module-path={modules}"] if modules else []),
    ]  # fmt: skip
    with running(command, folder, environment, folder / "in.sock"):
        yield Siem(folder, ports)
