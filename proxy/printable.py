"""Text from anywhere, made safe to show: a terminal obeys no character of it.

The rule of this file: what is escaped is escaped as JSON has it, so that JSON may be passed through as well, and means
the same afterwards.
"""

from __future__ import annotations


def escape_unprintable(text: str, *, keep: str = "") -> str:
    """Escape C0 and C1 controls, line separators, what turns the direction of text, and all else that has no look.

    Args:
        text: What is to be shown.
        keep: Characters that stay as they are: line ends, in a text of several lines.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else _escape(one) for one in text)


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))
