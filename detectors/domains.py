"""Domain names: a name enters, the part of it that somebody has registered leaves; no list of all public suffixes."""

#: Second-level names that, below a country, are no domain of somebody.
_SECOND_LEVEL = frozenset((
    "ac", "biz", "co", "com", "edu", "go", "gob", "gouv", "gov", "govt", "health", "id", "info", "int", "io", "mil",
    "name", "ne", "net", "or", "org", "pro", "sch", "school",
))  # fmt: skip
#: Reverse look-ups, and names that never leave the site.
NOT_DOMAINS = ("in-addr.arpa", "ip6.arpa", "local", "localhost", "lan", "home.arpa")


def registered(name: str) -> tuple[str, str]:
    """Split a name into the part below and the domain that somebody has registered; ("", name) where nothing is below.

    Without a list of public suffixes: two labels, or three below a country's `com`, `gov` ….
    """
    labels = name.split(".")
    size = 3 if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL else 2
    return ".".join(labels[:-size]), ".".join(labels[-size:])


#: The provinces, below `vn` also no domain of somebody (publicsuffix.org, part "vn").
_PROVINCES = frozenset(
    [
        "angiang",
        "bacgiang",
        "backan",
        "baclieu",
        "bacninh",
        "baria-vungtau",
        "bentre",
        "binhdinh",
        "binhduong",
        "binhphuoc",
        "binhthuan",
        "camau",
        "cantho",
        "caobang",
        "daklak",
        "daknong",
        "danang",
        "dienbien",
        "dongnai",
        "dongthap",
        "gialai",
        "hagiang",
        "haiduong",
        "haiphong",
        "hanam",
        "hanoi",
        "hatinh",
        "haugiang",
        "hoabinh",
        "hungyen",
        "khanhhoa",
        "kiengiang",
        "kontum",
        "laichau",
        "lamdong",
        "langson",
        "laocai",
        "longan",
        "namdinh",
        "nghean",
        "ninhbinh",
        "ninhthuan",
        "phutho",
        "phuyen",
        "quangbinh",
        "quangnam",
        "quangngai",
        "quangninh",
        "quangtri",
        "soctrang",
        "sonla",
        "tayninh",
        "thaibinh",
        "thainguyen",
        "thanhhoa",
        "thanhphohochiminh",
        "thuathienhue",
        "tiengiang",
        "travinh",
        "tuyenquang",
        "vinhlong",
        "vinhphuc",
        "yenbai",
    ]
)


def is_suffix(name: str) -> bool:
    """Say whether nobody has registered this name: everybody registers names below it."""
    labels = name.split(".")
    if len(labels) == 1:
        return True
    if len(labels) > 2:
        return False
    country, second = labels[1], labels[0]
    return (len(country) == 2 and second in _SECOND_LEVEL) or (country == "vn" and second in _PROVINCES | {"ai"})
