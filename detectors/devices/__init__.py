"""The inventory of devices, built passively: events enter, devices with their kind and the evidence for it leave.

`sightings.py` reads an event, `evidence.py` weighs what was seen (`kinds.toml`), `inventory.py` puts sightings together
to devices, `keeping.py` saves them. What people say of devices, and what is asked of them, is in `pipeline/devices/`.
"""
