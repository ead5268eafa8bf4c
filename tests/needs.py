"""What the tests need of the system enters as a list; it is there at the end, or a clear list of what is missing leaves.

As root with apt, missing packages are installed. `syslog-ng` cannot be installed beside `rsyslog`, so its packages are
only unpacked, into `.cache/syslog-ng`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

#: A program, and the Debian package that brings it.
PROGRAMS = {"rsyslogd": "rsyslog", "logger": "bsdutils", "openssl": "openssl", "curl": "curl", "chromium": "chromium"}
#: A file without a program, and its package.
FILES = {"/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_gtls.so": "rsyslog-gnutls"}
_SYSLOG_NG = Path(__file__).parent.parent / ".cache" / "syslog-ng"
_SYSLOG_NG_PACKAGES = ("syslog-ng-core", "libivykis0", "libnet1", "libpcre3", "libwrap0")


def main() -> int:
    """Install or list what is missing; 0 when everything is there."""
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program, path=_path()) is None]
    missing += [
        package for file, package in FILES.items() if not Path(file).exists() and Path("/etc/debian_version").exists()
    ]
    unpacked = (_SYSLOG_NG / "usr/sbin/syslog-ng").exists()
    if not missing and unpacked:
        return 0
    if os.geteuid() == 0 and shutil.which("apt-get"):
        _apt("update", "-q")
        if missing:
            _apt("install", "-y", "-q", "--no-install-recommends", *missing)
        if not unpacked:
            _unpack_syslog_ng()
        return 0
    if not unpacked and shutil.which("syslog-ng", path=_path()) is None:
        missing.append("syslog-ng-core")
    if not missing:
        return 0
    sys.stdout.write(f"The tests need these packages of the system: {' '.join(missing)}\n")
    sys.stdout.write(f"On Debian or Ubuntu: sudo apt install {' '.join(missing)}\n")
    if os.environ.get("CI") == "true":
        return 1
    sys.stdout.write("Going on without; tests that need them are skipped, and say so.\n")
    return 0


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
