"""Where what we ship beside the code lies."""

from pathlib import Path

#: What the settings call our own packet rules, in place of a path.
SHIPPED = Path("haidang")


def shipped_rules() -> Path:
    """Return the folder of the rules that we ship: beside the packages in a checkout, as data in a wheel."""
    return _shipped("rules", "rules")


def shipped_dashboards() -> Path:
    """Return the folder of the dashboards that we ship."""
    return _shipped("dashboards/ready", "dashboards")


def _shipped(in_checkout: str, in_wheel: str) -> Path:
    root = Path(__file__).parents[1]
    checkout = root / in_checkout
    return checkout if checkout.is_dir() else root / "haidang_data" / in_wheel
