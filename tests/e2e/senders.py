"""Real senders of syslog, each with a configuration of its own: rsyslogd, syslog-ng, logger, openssl."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import eventually, need

_LIBRARY = Path("/usr/lib/x86_64-linux-gnu")
_SYSLOG_NG = Path(__file__).parents[2] / ".cache" / "syslog-ng"
_RSYSLOG = """
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{folder}/in.sock" CreatePath="on" UseSysTimeStamp="off")
global(workDirectory="{folder}" DefaultNetstreamDriverCAFile="{certificate}" net.enableDNS="off")
template(name="plain" type="string" string="%syslogtag%%msg:::drop-last-lf%\\n")
{actions}
"""
_SYSLOG_NG_CONFIG = """
@version: {version}
options {{ keep-hostname(yes); use-dns(no); create-dirs(yes); }};
source s_in {{ unix-dgram("{folder}/in.sock"); }};
{actions}
"""


def program(name: str) -> str:
    """The path of a program that a test needs."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    need(found is not None, name)
    return str(found)


def log_through(socket: Path, *messages: str) -> None:
    """Write messages into a sender's local socket, as programs do, with `logger`."""
    for message in messages:
        subprocess.run(
            [program("logger"), "-u", str(socket), "--socket-errors=on", "-p", "auth.info", "-t", "thu", message],
            check=True,
            timeout=10,
        )  # fmt: skip


@contextmanager
def rsyslog(folder: Path, certificate: Path, *actions: str) -> Iterator[Path]:
    """Run rsyslogd with these `omfwd` parameters; yields the socket that it reads."""
    if any("gtls" in action for action in actions):
        need((_LIBRARY / "rsyslog" / "lmnsd_gtls.so").exists(), "rsyslog-gnutls")
    folder.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(f'*.* action(type="omfwd" {action})' for action in actions)
    (folder / "rsyslog.conf").write_text(_RSYSLOG.format(folder=folder, certificate=certificate, actions=lines))
    command = [program("rsyslogd"), "-n", "-f", str(folder / "rsyslog.conf"), "-i", str(folder / "pid")]
    with running(command, folder, {}, folder / "in.sock"):
        yield folder / "in.sock"


def syslog_ng_program() -> tuple[str, Path | None, dict[str, str], str]:
    """The program, the folder of its modules and the variables that it needs, and the version of its configuration."""
    unpacked = _SYSLOG_NG / "usr/sbin/syslog-ng"
    binary = str(unpacked) if unpacked.exists() else program("syslog-ng")
    libraries = [
        _SYSLOG_NG / "usr/lib/x86_64-linux-gnu",
        _SYSLOG_NG / "lib/x86_64-linux-gnu",
        _SYSLOG_NG / "usr/lib/syslog-ng",
    ]
    modules = next((path.parent for path in _SYSLOG_NG.rglob("libafsocket.so")), None)
    environment = {"LD_LIBRARY_PATH": ":".join(map(str, libraries))} if modules else {}
    told = subprocess.run(
        [binary, "--version"], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    ).stdout
    version = told.partition("Config version: ")[2].split()[0]
    return binary, modules, environment, version


@contextmanager
def syslog_ng(folder: Path, certificate: Path, *destinations: str) -> Iterator[Path]:
    """Run syslog-ng with these destinations; yields the socket that it reads."""
    folder.mkdir(parents=True, exist_ok=True)
    binary, modules, environment, version = syslog_ng_program()
    authorities = folder / "ca"
    authorities.mkdir()
    shutil.copy(certificate, authorities / "ca.pem")
    digest = subprocess.run(
        [program("openssl"), "x509", "-noout", "-hash", "-in", str(certificate)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (authorities / f"{digest}.0").symlink_to(authorities / "ca.pem")
    actions = "\n".join(
        f"log {{ source(s_in); destination {{ {text.replace('CA_DIR', str(authorities))} }}; }};"
        for text in destinations
    )
    (folder / "syslog-ng.conf").write_text(_SYSLOG_NG_CONFIG.format(version=version, folder=folder, actions=actions))
    command = [
        binary, "--no-caps", "-F", "-f", str(folder / "syslog-ng.conf"), f"--persist-file={folder / 'persist'}",
        f"--control={folder / 'control'}", f"--pidfile={folder / 'pid'}",
        *([f"--module-path={modules}"] if modules else []),
    ]  # fmt: skip
    with running(command, folder, environment, folder / "in.sock"):
        yield folder / "in.sock"


@contextmanager
def running(command: list[str], folder: Path, environment: dict[str, str], there: Path) -> Iterator[None]:
    """Run a program; it is ready when the file `there` is."""
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )

    def listens() -> bool:
        assert process.poll() is None, (folder / "said").read_text("utf-8", "replace")
        return there.exists()

    try:
        eventually(listens)
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
