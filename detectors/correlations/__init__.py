"""Correlations: events that rules have matched enter, in any order, alerts of correlation rules leave.

Time is the events' own. Events wait, sorted by their time, until the *watermark* has passed them: the latest time that
was seen, less a lateness bound. Only then are they evaluated, in order, so the alerts are the same for every order of
arrival within the bound; an event behind the watermark is too late and is counted. With `early`, what only grows with
more events (`GROWING`) is also said at once, as soon as what is known satisfies it. The evaluation in order then raises
no second alert for that burst: it finds a window that ends at most one timespan before the one that was said.

After an alert a group is silent for one timespan, so the windows of two alerts of a group never overlap.

No input, no output, no clock: the caller brings the times, saves what `dump` gives and goes on from it with `load`.

`engine.py` is the whole: it brings events to the groups and their bursts on to others. `groups.py` has the events of
one correlation, each group (`group.py`) until nothing can come of it; `waking.py` knows which of them to look at when,
`scope.py` how far time has come. `hits.py` is what is held of an event, `measures.py` what is counted of a window,
`bounds.py` what bounds all of it, `saving.py` how it is saved.
"""

from detectors.correlations.bounds import AHEAD, SECOND, Counts, Limits
from detectors.correlations.engine import Correlations

__all__ = ["AHEAD", "SECOND", "Correlations", "Counts", "Limits"]
