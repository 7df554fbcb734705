"""Times as people write them."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """`1:02:03.4` or `02:03.4`, rounded to a tenth."""
    tenths = round(seconds * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    tail = f"{minutes:02d}:{tenths // 10:02d}.{tenths % 10}"
    return f"{hours}:{tail}" if hours else tail
