"""Indicators of compromise: lists of attackers' addresses, names, hashes enter, alerts on events leave.

`indicator.py` is what one says, `formats.py` (with `misp.py`, `stix.py`) reads lists, `fetching.py` brings them,
`refreshing.py` and `kept.py` keep them in the state, `index.py` and `ready.py` make them searchable, `allow.py` says
what must never alert, `matcher.py` looks events up, `alerting.py` makes the alerts, `retro.py` searches what is stored,
`following.py` puts all of it into the detectors' stage.
"""
