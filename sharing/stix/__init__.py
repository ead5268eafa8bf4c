"""STIX 2.1: alerts, indicators and cases enter as plain data, content that partners read leaves.

`building.py` makes objects, `observables.py` what was seen, `patterns.py` what is looked for, `marking.py` TLP 2.0,
`ids.py` ids that are the same for the same thing, `checking.py` looks quickly whether an object is STIX at all.
Nothing leaves but the fields that are allowed, and the same facts are the same bytes.
"""

from sharing.stix.building import FIELDS, Made, Site, bundle_of, objects_of

__all__ = ["FIELDS", "Made", "Site", "bundle_of", "objects_of"]
