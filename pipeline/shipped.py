"""Where what we ship beside the code lies."""

from pathlib import Path

#: What the settings call our own packet rules, in place of a path.
SHIPPED = Path("haidang")


def shipped_rules() -> Path:
    """Return the folder of the rules that we ship."""
    return _shipped("rules", "rules")


def shipped_dashboards() -> Path:
    """Return the folder of the dashboards that we ship."""
    return _shipped("dashboards/ready", "dashboards")


def shipped_grafana() -> Path:
    """Return the folder of Grafana's dashboards that we ship: a folder for each language, and provisioning files."""
    return _shipped("dashboards/grafana", "grafana")


def shipped_console() -> Path:
    """Return the folder of the built console; empty in a checkout where nobody has built it."""
    return _shipped("dashboards/console/dist", "console")


def _shipped(checkout: str, wheel: str) -> Path:
    """Return a folder: beside the packages in a checkout, as data in a wheel."""
    root = Path(__file__).parents[1]
    data = root / "haidang_data" / wheel
    return data if data.is_dir() else root / checkout
