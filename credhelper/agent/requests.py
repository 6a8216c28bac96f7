"""One request of the agent's protocol: parsed, and applied to the memory."""

import os

from credhelper import wire
from credhelper.clocks import ExpiryThresholds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from credhelper.agent.memory import Memory, Peer


class Request:
    """A request line of a peer. `length` is the number of bytes that follow it.

    Raises ValueError or IndexError for what the protocol does not have, also from `run`.
    """

    __slots__ = ("_grant", "_memory", "_peer", "_rest", "_words", "length", "verb")

    def __init__(self, memory: "Memory", peer: "Peer", line: bytes) -> None:
        self._memory = memory
        self._peer = peer
        self.verb, _, self._rest = line.partition(b" ")
        self.length = 0
        if self.verb not in (b"put", b"fail", b"open", b"drop", b"asking"):
            return
        has_body = self.verb in (b"put", b"fail")
        self._words = self._rest.decode("utf-8").split(" ", -1 if has_body else 0)
        grant = memory.lease(peer, int(self._words[0]))
        if has_body:
            self.length = int(self._words[1 if self.verb == b"put" else 2])
        if grant is None or not 0 <= self.length <= wire.LARGEST_BODY:
            raise ValueError
        self._grant = grant

    def run(self, body: bytearray) -> None:
        """Do it. The peer gets its answer now, or waits."""
        memory, verb = self._memory, self.verb
        if verb in (b"get", b"renew", b"mint") and self._rest:
            memory.ask(self._peer, verb.decode("ascii"), self._rest)
        elif verb == b"put":
            memory.put(
                self._grant, body, _thresholds(self._words[2:7]), self._words[7], " ".join(self._words[8:])
            )
        elif verb == b"fail":
            memory.fail(self._grant, int(self._words[1]), body)
        elif verb == b"open":
            memory.open(self._grant)
        elif verb == b"drop":
            memory.drop(self._grant)
        elif verb == b"asking":
            memory.asking(self._grant)
        elif verb == b"clear":
            self._peer.reply("ok", memory.clear(self._rest.decode("utf-8").split()))
        elif verb == b"status":
            text = "\n".join([f"{os.getpid()} {len(memory)} {memory.size}", *memory.lines()])
            self._peer.reply("ok", len(memory), text.encode()[: wire.LARGEST_BODY])
        elif verb == b"stop":
            self._peer.reply("ok")
        else:
            raise ValueError


def _thresholds(words: list[str]) -> ExpiryThresholds:
    ends, boot_ends, refresh, fresh, servable = words
    return ExpiryThresholds(
        _number(ends),
        None if boot_ends == "-" else _number(boot_ends),
        float("-inf") if refresh == "-" else _number(refresh),
        _number(fresh),
        _number(servable),
    )


def _number(text: str) -> float:
    """A finite number. Raises ValueError."""
    number = float(text)
    if not -1e15 < number < 1e15:
        raise ValueError
    return number
