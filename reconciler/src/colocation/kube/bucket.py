"""Token bucket with an injected clock."""

from __future__ import annotations


class Bucket:
    """At most ``rate`` a second on average, ``burst`` at once; ``rate`` 0 means no limit. Times in seconds."""

    def __init__(self, rate: float, burst: float, now: float, *, lifted: bool = False) -> None:
        """``lifted``: no limit either, until `impose` (but `close` counts)."""
        self.rate, self.burst = rate, max(1.0, burst)
        self._lifted = lifted
        self._tokens, self._at = self.burst, now
        self._closed_until = now

    def take(self, now: float) -> float:
        """Take one token and return 0, or take none and return the seconds until there may be one."""
        if now < self._closed_until:
            return self._closed_until - now
        if self.rate <= 0 or self._lifted:
            return 0.0
        self._tokens = min(self.burst, self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self.rate

    def give_back(self) -> None:
        """A token was taken and nothing was done with it."""
        self._tokens = min(self.burst, self._tokens + 1)

    def lift(self) -> None:
        """No limit any more, until `impose`."""
        self._lifted = True

    def impose(self, now: float) -> None:
        """From now on the limit holds, beginning with a whole burst."""
        if self._lifted:
            self._lifted, self._tokens, self._at = False, self.burst, now

    def close(self, until: float) -> None:
        """Give no token before ``until``: the server sent Retry-After, which applies to all writers."""
        self._closed_until = max(self._closed_until, until)
