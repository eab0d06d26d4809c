"""How something stands, told once each time that it changes."""

import logging

import structlog

log = structlog.get_logger()


class Standing:
    """`state` is a word; `event` names the log line of its changes."""

    def __init__(self, event: str, state: str) -> None:
        self.state = state
        self._event = event
        self._reason = ""

    def became(self, state: str, *, level: int = logging.INFO, reason: str = "") -> None:
        """Logs when the state, or the reason for it, is new."""
        if (state, reason) != (self.state, self._reason):
            log.log(level, self._event, state=state, before=self.state, reason=reason)
        self.state, self._reason = state, reason
