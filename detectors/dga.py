"""Generated names: DNS answers enter, alerts on hosts that ask for many domains that do not exist leave.

Malware that makes up the names of its servers asks for many until one exists. So it is not one name that decides, but
ten domains of one host within ten minutes that do not exist, at least half of which look made up: letters that seldom
follow each other in words. Names that are put together from words are not found.

How seldom a letter follows another was counted in our own texts, English and Vietnamese without marks (4,206 words).
Of 84,000 names of software packages, 6.5 % look made up by it; of uniformly random names of 8 to 24 letters or digits
94 to 97 %.
"""

from collections.abc import Iterable

from detectors.behaviour import MINUTE, About, Behaviour, Seen, alert, listed, recents, text
from detectors.domains import NOT_DOMAINS, registered
from pipeline.event import Event
from pipeline.networks import Site
from pipeline.settings import Behaviours

DGA = About("dga", "medium", ("attack.command-and-control", "attack.t1568.002"))

#: A name whose mean cost a letter is above looks made up; one with fewer letters says nothing.
_MADE_UP, _SHORT = 5.0, 6
#: What a letter costs after another, in half bits (0 to 9, a to z); a row for each letter, in it one for each next one.
_COSTS = (
    "da88feah9ld786dal786acghai",  # after a
    "6c9c5cef79f6ff7gf99b8gggbf",  # after b
    "6fad6dh6bk89dh5dk9b7afhidj",  # after c
    "7bca4cff6iiaae7eia7e9ggici",  # after d
    "9d87bcdgfih9a6hbf568dac9fk",  # after e
    "6cac77af4gdaef6dg9b99gegdg",  # after f
    "8ddd4ea96hhbca7dg78c7ggfhe",  # after g
    "4fef5hii6iehdf4dfbf98hggei",  # after h
    "ae897c9kike8947ajb87faigke",  # after i
    "7bcc4bccccccca69cc6c9ccccc",  # after j
    "9efd3dd66fdaf9defc6badffbf",  # after k
    "7ef94dig6jh7ed5ejf9a9ffibi",  # after l
    "5ada4igi6hgcaf77if8dbfggeh",  # after m
    "7f976b599hecfa9ejh76cdhgdk",  # after n
    "9c99fc9laic994a9j6998b9dii",  # after o
    "6idb6fe99if7gc69i697ahdebi",  # after p
    "baccbcccccc5cccccccc2ccccc",  # after q
    "7faa4ebi7kcdcb6ekc789aejak",  # after r
    "8f8f5ff87kbccf99cd759cbibk",  # after s
    "6fbd5ef75lhcde8ck78aahdhai",  # after t
    "8a9a9fcgajh89699j666ejjfbi",  # after u
    "6dac3gfg5gfgfbaagddbbgggff",  # after v
    "6dda5ge76gffb87cg97ddgbfgg",  # after w
    "7d6b5cdd9edbada6ecc6bedd9d",  # after x
    "ab9c6eceaeeca986ee48eebddc",  # after y
    "7ccb5cbb5ccccc8c9c8b9bccbb",  # after z
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_COST = {
    a + b: int(row[place], 36) / 2 for a, row in zip(_LETTERS, _COSTS, strict=True) for place, b in enumerate(_LETTERS)
}
#: What a digit costs beside a letter, and after a digit (one of 26, so that digits alone are not made up).
_MIXED, _DIGITS = 6.0, 4.7


def cost(label: str) -> float:
    """The mean cost of a letter in a label, in bits; 0 where it is too short to tell."""
    letters = label.replace("-", "")
    if len(letters) < _SHORT:
        return 0.0
    pairs = [letters[place : place + 2] for place in range(len(letters) - 1)]
    return sum(_COST.get(pair, _DIGITS if pair.isdigit() else _MIXED) for pair in pairs) / len(pairs)


class Dga(Behaviour):
    """Domains that are made up by a program."""

    name = "dga"
    kinds = frozenset(("dns",))

    def __init__(self, settings: Behaviours, site: Site) -> None:
        super().__init__(settings, site)
        self._names, self._span = settings.dga.names, int(settings.dga.minutes * MINUTE)
        self._share = settings.dga.share
        self._endings = tuple(f".{name}" for name in NOT_DOMAINS)
        self._windows = recents(self.most, self._span)
        self.tables |= {"windows": self._windows}

    def take(self, seen: Seen) -> Iterable[Event]:
        if text(seen.event, "dns.response_code").upper() != "NXDOMAIN" or not seen.source:
            return
        name = text(seen.event, "dns.question.name").rstrip(".").lower()
        if "." not in name or name.endswith(self._endings) or name.rpartition(".")[2] == "arpa":
            return
        domain = registered(name)[1]
        window = self._windows.touch(seen.source, seen.time)
        if window.add(domain, seen.time, seen.id, self._span, 2 * self._names) < self._names:
            return
        made_up = [each for each in window.values if cost(each.partition(".")[0]) >= _MADE_UP]
        if len(made_up) < self._share * len(window.values) or not self.is_news((seen.source,), seen.time):
            return
        values = {
            "source": seen.source, "count": len(window.values), "made_up": len(made_up),
            "minutes": round((seen.time - window.since) / MINUTE, 1), "examples": listed(made_up, 5),
        }  # fmt: skip
        entities = {"source.ip": seen.source, "destination.ip": seen.destination}
        yield alert(DGA, seen, (seen.source,), entities, values, window)
