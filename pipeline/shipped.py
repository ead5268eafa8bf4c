"""Where what we ship beside the code lies."""

from pathlib import Path

#: What the settings call our own packet rules, in place of a path.
SHIPPED = Path("haidang")


def shipped_rules() -> Path:
    """Return the folder of the rules that we ship."""
    return _shipped("rules")


def shipped_dashboards() -> Path:
    """Return the folder of Grafana's dashboards that we ship: a folder for each language, and provisioning files."""
    return _shipped("dashboards/grafana")


def _shipped(name: str) -> Path:
    """Return a folder: beside the packages in a checkout, as data in a wheel."""
    root = Path(__file__).parents[1]
    checkout = root / name
    return checkout if checkout.is_dir() else root / "haidang_data" / name
