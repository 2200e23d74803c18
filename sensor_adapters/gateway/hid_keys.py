"""Keys that a barcode scanner presses, to the codes it read. Pure.

A scanner types a code as a keyboard would, and ends it with Enter or Tab. Some type every character
as its number on the keypad while Alt is held, as Windows understands it in all layouts. Sources:
linux/input-event-codes.h; docs.kernel.org/input/event-codes.html (a value of 1 is pressed, 0
released, 2 repeated by the kernel; after SYN_DROPPED what came is not whole).
"""

from dataclasses import dataclass, field

from sensor_adapters.gateway.hid_layouts import KEYPAD, Layout

ENDS = (15, 28, 96)
"""Tab, Enter, the keypad's Enter."""
SHIFTS, ALTGR, CAPS_LOCK = (42, 54), 100, 58
ALT = 56
COMMANDS = (29, 97, ALT, 125, 126)
"""Control, Alt and Meta: with one of them held, a key is no character."""
MODIFIERS = (*SHIFTS, ALTGR, *COMMANDS)
SILENT = (*MODIFIERS, CAPS_LOCK, 69, 70)
"""Keys that by themselves make nothing."""
PATIENCE_US = 500_000
"""A code whose next key is later than this after the last was not ended."""
MOST_CHARACTERS = 1000


@dataclass(frozen=True)
class Scanned:
    """A code, and when its first key was pressed."""

    text: str
    at_us: int


@dataclass
class KeyDecoder:
    """What one scanner typed so far."""

    layout: Layout
    unknown: int = 0
    """Keys that make nothing in this layout; they are left out of their codes."""
    unended: int = 0
    """Codes that were dropped: not ended in time, too long, or keys of theirs were lost."""
    _text: list[str] = field(default_factory=list)
    _alt: str = ""
    """Digits typed while Alt is held."""
    _held: set[int] = field(default_factory=set)
    _is_caps: bool = False
    _first_us: int = 0
    _last_us: int = 0

    @property
    def is_amid(self) -> bool:
        """Was a code begun that is not ended?"""
        return bool(self._text)

    def key(self, key: int, value: int, at_us: int) -> Scanned | None:
        """Take a key that was pressed or released; return the code that it ends."""
        if key in MODIFIERS:
            (self._held.add if value else self._held.discard)(key)
            if key == ALT and not value and self._alt:
                return self._made(_by_number(self._alt), at_us)
        if value != 1:
            return None
        if key == CAPS_LOCK:
            self._is_caps = not self._is_caps
        digit = KEYPAD[key].plain if key in KEYPAD else ""
        if key == ALT:
            self._alt = ""
        elif key in ENDS:
            return self._made("\n", at_us)
        elif ALT in self._held and digit.isdigit() and len(self._alt) < 4:
            self._alt += digit
        elif key not in SILENT:
            return self._made(self._character(key), at_us)
        return None

    def _made(self, character: str, at_us: int) -> Scanned | None:
        """Take a character, empty where a key made none."""
        self.expire(at_us)
        if not character:
            self.unknown += 1
        elif character in "\n\r\t":
            text, self._text = "".join(self._text), []
            return Scanned(text, self._first_us) if text else None
        else:
            if not self._text:
                self._first_us = at_us
            self._last_us = at_us
            self._text.append(character)
            if len(self._text) > MOST_CHARACTERS:
                self._drop()
        return None

    def expire(self, now_us: int) -> None:
        """Drop a code that was begun and is not ended by now."""
        if self._text and abs(now_us - self._last_us) > PATIENCE_US:
            self._drop()

    def lost(self) -> None:
        """Take note that keys were lost, or that the scanner went: nothing is held or begun."""
        self._held.clear()
        self._alt = ""
        self._is_caps = False
        if self._text:
            self._drop()

    def _drop(self) -> None:
        self._text = []
        self.unended += 1

    def _character(self, key: int) -> str:
        made = self.layout.get(key)
        if made is None or not self._held.isdisjoint(COMMANDS):
            return ""
        if ALTGR in self._held:
            return made.altgr
        is_shift = not self._held.isdisjoint(SHIFTS)
        if self._is_caps and made.plain.isalpha() and made.plain.upper() == made.shift:
            is_shift = not is_shift
        return made.shift if is_shift else made.plain


def _by_number(digits: str) -> str:
    """Return the character that Alt and these digits make; empty where it is none for a code.

    >>> _by_number("052"), _by_number("0223"), _by_number("225"), _by_number("7")
    ('4', 'ß', 'ß', '')
    """
    number = int(digits) % 256
    made = bytes([number]).decode("cp1252" if digits[0] == "0" else "cp437", errors="ignore")
    return made if made.isprintable() or made in "\n\r\t" else ""
