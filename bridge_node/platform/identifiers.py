"""Ids of rows: UUIDs of version 7 (RFC 9562 §5.7), so that newer rows have greater ids and indexes grow at one end."""

import secrets
import uuid


def new_id(now_ms: int) -> str:
    """A new id for a row made at `now_ms`."""
    value = (now_ms & (1 << 48) - 1) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))
