"""Set of mail addresses that takes eight octets for each."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from hashlib import blake2b
from heapq import merge

from mail_proxy.wire.addresses import comparable


class AddressSet:
    """Immutable set of addresses, whatever their case, as a sorted array of hashes.

    Every delivering process keeps the lists of all tenants in memory, a million addresses in
    8 MB. A hash has 64 bits: with a million addresses, one mail in 10^13 is taken for another.
    """

    __slots__ = ("_hashes",)

    def __init__(self, hashes: Iterable[int] = ()) -> None:
        """``hashes`` are sorted, each once."""
        self._hashes = array("Q", hashes)

    def __contains__(self, address: str) -> bool:
        wanted = _hash(address)
        at = bisect_left(self._hashes, wanted)
        return at < len(self._hashes) and self._hashes[at] == wanted

    def __len__(self) -> int:
        return len(self._hashes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AddressSet) and self._hashes == other._hashes

    __hash__ = None  # type: ignore[assignment]

    def changed(self, added: Iterable[str], removed: Iterable[str]) -> AddressSet:
        """Return a set with some addresses added and others removed."""
        gone = {_hash(address) for address in removed}
        new = {_hash(address) for address in added}
        kept = (each for each in self._hashes if each not in gone and each not in new)
        return AddressSet(merge(kept, sorted(new)))


NO_ADDRESSES = AddressSet()


def _hash(address: str) -> int:
    octets = comparable(address).encode()
    return int.from_bytes(blake2b(octets, digest_size=8).digest())
