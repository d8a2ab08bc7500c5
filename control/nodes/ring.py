"""Ring: the last seconds of a running flow in memory, kept as a bag of their own when something happens.

What the messages of before and after an incident cost is memory for some seconds, and a disk only when it counts.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable
from itertools import chain

from reflexarc.control.nodes.bag_writer import BagWriter, Message

__all__ = ["Ring"]

_LATCHED = 100
"""Of a topic whose old messages count as well, such as `/tf_static`, which has one per publisher."""


class Ring:
    """Keeps the last messages, and writes them with those that follow when it is told to.

    Args:
        before_s: How far back.
        after_s: How long an incident is followed; one more meanwhile makes it longer.
        open_bag: Makes the bag of an incident.
        on_closed: Called with each bag that is complete.
    """

    def __init__(
        self,
        before_s: float,
        after_s: float,
        open_bag: Callable[[str], BagWriter],
        on_closed: Callable[[BagWriter], None],
    ) -> None:
        self._before_ns, self._after_ns = round(before_s * 1e9), round(after_s * 1e9)
        self._open_bag, self._on_closed = open_bag, on_closed
        self._kept: deque[Message] = deque()
        self._latched: defaultdict[str, deque[Message]] = defaultdict(lambda: deque(maxlen=_LATCHED))
        self._bag: BagWriter | None = None
        self._until_ns = 0

    @property
    def size(self) -> int:
        """Bytes of the messages in memory."""
        return sum(len(message.data) for message in self._kept)

    def write(self, message: Message) -> None:
        """Take a message."""
        if message.channel.is_latched:
            self._latched[message.channel.topic].append(message)
        if self._bag is not None:
            if message.log_time_ns <= self._until_ns:
                self._bag.write(message)
                return
            self.close()
        if not message.channel.is_latched:
            self._kept.append(message)
        while self._kept and message.log_time_ns - self._kept[0].log_time_ns > self._before_ns:
            self._kept.popleft()

    def save(self, reason: str, now_ns: int) -> None:
        """Something has happened.

        Args:
            reason: What.
            now_ns: When, on the clock of the messages.
        """
        self._until_ns = now_ns + self._after_ns
        if self._bag is not None:
            return
        self._bag = self._open_bag(reason)
        for message in (*chain(*self._latched.values()), *self._kept):
            self._bag.write(message)
        self._kept.clear()

    def flush(self) -> None:
        """Hand what is written to the operating system, or end an incident that is over."""
        if self._bag is None:
            return
        if time.time_ns() > self._until_ns:
            self.close()
        else:
            self._bag.flush()

    def close(self) -> None:
        """Complete the bag that is being written, if there is one."""
        if self._bag is not None:
            bag, self._bag = self._bag, None
            bag.close()
            self._on_closed(bag)

    def abandon(self) -> None:
        """After an error."""
        if self._bag is not None:
            self._bag.abandon()
