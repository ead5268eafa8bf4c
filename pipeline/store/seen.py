"""Which ids an index holds: ids enter, the few that may be there already leave (a Bloom filter; no false negatives).

B. H. Bloom, "Space/time trade-offs in hash coding with allowable errors", CACM 13(7), 1970; in layers that grow as in
P. S. Almeida et al., "Scalable Bloom Filters", IPL 101(6), 2007. Ids are hashes themselves (`event.event_id`), so their
own bits serve as the hash values.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.event import event_id

#: Bits of a layer: 8 MiB.
_BITS = 1 << 26
#: Ids of a layer; at 4 probes of 2^26 bits that is 0.5 % false alarms.
_CAPACITY = 5_000_000
_PROBES = 4
_ID_DIGITS = 24


class Seen:
    """A growing Bloom filter over event ids."""

    def __init__(self) -> None:
        self._layers = [np.zeros(_BITS // 8, dtype=np.uint8)]
        self._held = 0

    def add(self, ids: Sequence[str]) -> list[bool]:
        """Take the ids in; say for each whether it may have been there (an id twice in `ids` counts only once here)."""
        if not ids:
            return []
        byte, bit = _probes(ids)
        known = np.zeros(len(ids), dtype=bool)
        for layer in self._layers:
            known |= ((layer[byte] & bit) != 0).all(axis=1)
        if self._held >= _CAPACITY:
            self._layers.append(np.zeros(_BITS // 8, dtype=np.uint8))
            self._held = 0
        np.bitwise_or.at(self._layers[-1], byte.ravel(), bit.ravel())
        self._held += len(ids)
        result: list[bool] = known.tolist()
        return result


def _probes(ids: Sequence[str]) -> "tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]":
    try:
        joined = bytes.fromhex("".join(ids))
        fits = len(joined) * 2 == _ID_DIGITS * len(ids)
    except ValueError:
        fits = False
    if not fits:  # ids of a foreign producer
        joined = bytes.fromhex("".join(event_id("seen", identifier) for identifier in ids))
    # 12 bytes an id, read as three 32-bit numbers; the fourth probe mixes two of them.
    parts = np.frombuffer(joined, dtype=">u4").reshape(len(ids), 3).astype(np.uint64)
    probes = np.empty((len(ids), _PROBES), dtype=np.uint64)
    probes[:, :3] = parts
    probes[:, 3] = parts[:, 0] * np.uint64(31) + (parts[:, 2] >> np.uint64(7))
    probes &= np.uint64(_BITS - 1)
    return (probes >> np.uint64(3)).astype(np.int64), np.left_shift(
        np.uint8(1), (probes & np.uint64(7)).astype(np.uint8)
    )
