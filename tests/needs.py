"""What the tests need of the system enters as a list; it is there at the end, or a clear list of what is missing leaves.

As root with apt, missing packages are installed. `syslog-ng` cannot be installed beside `rsyslog`, so its packages are
only unpacked, into `.cache/syslog-ng`. Kafka, Elasticsearch and Keycloak are fetched into `.cache` by Maven.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.services import elasticsearch, kafka, keycloak

#: A program, and the Debian package that brings it.
PROGRAMS = {
    "rsyslogd": "rsyslog", "logger": "bsdutils", "openssl": "openssl", "curl": "curl", "chromium": "chromium",
    "softflowd": "softflowd", "nmap": "nmap", "iodine": "iodine", "sshd": "openssh-server",
    "java": "default-jre-headless", "mvn": "maven", "softhsm2-util": "softhsm2",
}  # fmt: skip
#: A pattern (from the root) of a file that is in no program path, and its package.
FILES = {
    "usr/lib/*/rsyslog/lmnsd_gtls.so": "rsyslog-gnutls",
    "usr/lib/postgresql/*/bin/postgres": "postgresql",
    "usr/lib/*/libpcap.so.0.8": "libpcap0.8",
}
#: Servers that come from Maven Central, into `.cache`.
SERVICES = (elasticsearch.fetch, kafka.fetch, keycloak.fetch)
_SYSLOG_NG = Path(__file__).parent.parent / ".cache" / "syslog-ng"
_SYSLOG_NG_PACKAGES = ("syslog-ng-core", "libivykis0", "libnet1", "libpcre3", "libwrap0")


def main() -> int:
    """Install or list what is missing; 0 when everything is there."""
    missing = _missing()
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        _apt("update", "-q")
        _apt("install", "-y", "-q", "--no-install-recommends", *(set(missing) - {*_SYSLOG_NG_PACKAGES}))
        if _SYSLOG_NG_PACKAGES[0] in missing:
            _unpack_syslog_ng()
        missing = _missing()
    if shutil.which("mvn"):
        for fetch in SERVICES:
            fetch()
    if not missing:
        return 0
    sys.stdout.write(f"The tests need these packages of the system: {' '.join(missing)}\n")
    sys.stdout.write(f"On Debian or Ubuntu: sudo apt install {' '.join(missing)}\n")
    if os.environ.get("CI") == "true":
        return 1
    sys.stdout.write("Going on without; tests that need them are skipped, and say so.\n")
    return 0


def _missing() -> list[str]:
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program, path=_path()) is None]
    if Path("/etc/debian_version").exists():
        missing += [package for pattern, package in FILES.items() if not any(Path("/").glob(pattern))]
    if not (_SYSLOG_NG / "usr/sbin/syslog-ng").exists() and shutil.which("syslog-ng", path=_path()) is None:
        missing.append(_SYSLOG_NG_PACKAGES[0])
    return missing


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _apt(*arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(["apt-get", *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stdout.write(done.stdout[-3000:] + done.stderr[-3000:])
        sys.exit(f"apt-get {' '.join(arguments)} failed")


def _unpack_syslog_ng() -> None:
    _SYSLOG_NG.mkdir(parents=True, exist_ok=True)
    found = [name for name in _SYSLOG_NG_PACKAGES if _known(name)]
    subprocess.run(["apt-get", "download", "-q", *found], cwd=_SYSLOG_NG, capture_output=True, check=True)
    for package in _SYSLOG_NG.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(_SYSLOG_NG)], check=True)
        package.unlink()


def _known(package: str) -> bool:
    return subprocess.run(["apt-cache", "show", package], capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
