"""What must never alert: an indicator, or a value of an event, enters, whether it is covered leaves.

An address or network covers addresses and networks within it, a domain covers names at and below it, a URL or a hash
only itself.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path

from detectors.indicators.indicator import Indicator, RefusedIndicator, guess, name, normal
from pipeline.messages import HaidangError
from pipeline.networks import Networks
from pipeline.settings import Indicators as Settings

#: The list that is shipped.
BUILT_IN = Path(__file__).parent / "allowed.txt"


class Allow:
    """An allow-list."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Raises:
        HaidangError: an entry is no address, network, domain, URL or hash.
        """
        networks: list[str] = []
        names: set[str] = set()
        others: set[str] = set()
        for entry in entries:
            try:
                networks.append(str(ip_network(entry, strict=False)))
                continue
            except ValueError:
                pass
            try:
                if guess(entry) == "domain":
                    names.add(name(entry.removeprefix("*").removeprefix(".")))
                else:
                    others.update(value for _, value in normal(entry))
            except RefusedIndicator as error:
                raise HaidangError("indicators.bad_allow", value=entry) from error
        self.entries = (*networks, *sorted(names), *sorted(others))
        self._parsed = [ip_network(text) for text in networks]
        self.has_address = Networks(networks).holds
        self._names = frozenset(names)
        self._others = frozenset(others)
        self.has_name = lru_cache(65_536)(self._has_name)

    def covers(self, indicator: Indicator) -> bool:
        """Say whether an indicator is not used."""
        kind, value = indicator.kind, indicator.value
        if kind == "address":
            return self.has_address(value)
        if kind == "network":
            network = ip_network(value)
            return any(
                network.version == each.version and network.subnet_of(each)  # type: ignore[arg-type]
                for each in self._parsed
            )
        if kind in ("domain", "host"):
            return self.has_name(value)
        return value in self._others

    def has_text(self, value: str) -> bool:
        """Say whether a URL, hash or e-mail address is covered."""
        return value in self._others

    def _has_name(self, text: str) -> bool:
        return any(each in self._names for each in parents(text))


def parents(text: str) -> list[str]:
    """Return a name and all names above it, the top one last."""
    found = [text]
    while (dot := text.find(".")) >= 0:
        text = text[dot + 1 :]
        found.append(text)
    return found


def of_settings(settings: Settings) -> Allow:
    """Return the allow-list of a site: the shipped one, that of the settings, and that of its files.

    Raises:
        HaidangError: an entry is none, or a file cannot be read.
    """
    entries = [*_of_file(BUILT_IN)] if settings.built_in_allow else []
    entries += settings.allow
    for path in settings.allow_files:
        try:
            entries += _of_file(path)
        except (OSError, UnicodeDecodeError) as error:
            raise HaidangError("indicators.cannot_read", source=path, fault=error) from error
    return Allow(entries)


def _of_file(path: Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return [line for line in lines if line]
