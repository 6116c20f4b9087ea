"""Remembers which replica has seen the beginning of which conversation, because that replica's
prompt cache makes the next turn cheap. Pure.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import msgspec
import xxhash

_LONGEST_CHAIN: Final = 512
_BLOCK_BYTES: Final = 1024
_SYSTEM: Final = (b'"system"', b'"developer"')
_decode_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Link:
    """The beginning of a conversation up to one message: its hash and its length in bytes."""

    __slots__ = ("digest", "size")

    def __init__(self, digest: int, size: int) -> None:
        self.digest = digest
        self.size = size


def chain(expert: str, text: bytes, *, system: bytes = b"") -> list[Link]:
    """The beginnings of a conversation, shortest first, without what only a system prompt is:
    thousands of conversations share that, so that it says nothing about where this one was.

    ``text`` is the JSON of the messages, of the input or of the prompt.
    """
    state = xxhash.xxh3_64(expert.encode())
    state.update(system)
    links: list[Link] = []
    size = len(system)
    for place, piece in enumerate(_pieces(text)):
        state.update(piece)
        size += len(piece)
        if place == 0 and any(role in piece[:64] for role in _SYSTEM):
            continue
        links.append(Link(state.intdigest(), size))
    return links


def _pieces(text: bytes) -> Sequence[bytes]:
    if text[:1] == b"[":
        try:
            messages = [bytes(raw) for raw in _decode_list(text)[:_LONGEST_CHAIN]]
        except msgspec.DecodeError:
            messages = []
        if len(messages) > 1 or (messages and messages[0][:1] == b"{"):
            return messages
    text = text[1:-1]
    return [text[at : at + _BLOCK_BYTES] for at in range(0, min(len(text), 65536), _BLOCK_BYTES)]


class PrefixIndex:
    """Chains seen, by replica; the longest unused are forgotten first."""

    def __init__(self, size: int = 100_000) -> None:
        self._size = size
        self._seen: OrderedDict[int, tuple[str, ...]] = OrderedDict()

    def known(self, links: Sequence[Link]) -> dict[str, int]:
        """Bytes of the conversation that each replica has seen, by replica id."""
        depths: dict[str, int] = {}
        for link in links:
            holders = self._seen.get(link.digest)
            if holders is None:
                break
            for holder in holders:
                depths[holder] = link.size
        return depths

    def learn(self, links: Sequence[Link], replica: str) -> None:
        """A replica takes this conversation."""
        seen = self._seen
        for link in links:
            holders = seen.get(link.digest)
            if holders is None:
                seen[link.digest] = (replica,)
                continue
            seen.move_to_end(link.digest)
            if replica not in holders:
                seen[link.digest] = (*holders[-3:], replica)
        while len(seen) > self._size:
            seen.popitem(last=False)

    def __len__(self) -> int:
        return len(self._seen)
