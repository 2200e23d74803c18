"""Which character a key makes, by the keyboard layout that a scanner was set to. Pure.

Keys are Linux's (linux/input-event-codes.h): the place on the keyboard, named after what a US
keyboard has there. Layouts: US; DIN 2137-T1; AFNOR's older azerty; JIS X 6002.
"""

from typing import NamedTuple

NONE = "\0"
"""In a row: this key makes nothing."""


class Made(NamedTuple):
    """What a key makes; an empty text where it makes nothing."""

    plain: str
    shift: str
    altgr: str = ""


Layout = dict[int, Made]
DIGITS, TOP, HOME, BOTTOM = range(2, 14), range(16, 28), range(30, 42), range(44, 54)
BACKSLASH, SPACE, THE_102ND, RO, YEN = 43, 57, 86, 89, 124
LETTERS = "abcdefghijklmnopqrstuvwxyz"
KEYPAD: Layout = {
    key: Made(made, made) for key, made in zip(
        (71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 55, 98, 117), "789-456+1230.*/=",
        strict=True,
    )
}  # fmt: skip
"""The same everywhere, and always digits: a scanner has no NumLock lamp."""


def _layout(*rows: tuple[range | int, str, str], altgr: dict[int, str] | None = None) -> Layout:
    found = dict(KEYPAD)
    found[SPACE] = Made(" ", " ")
    for keys, plain, shift in rows:
        places = keys if isinstance(keys, range) else (keys,)
        for key, *made in zip(places, plain, shift, strict=True):
            found[key] = Made(*("" if one == NONE else one for one in made))
    for key, made_ in (altgr or {}).items():
        found[key] = found[key]._replace(altgr=made_)
    return found


LAYOUTS: dict[str, Layout] = {
    "us": _layout(
        (DIGITS, "1234567890-=", "!@#$%^&*()_+"), (TOP, "qwertyuiop[]", "QWERTYUIOP{}"),
        (HOME, "asdfghjkl;'`", 'ASDFGHJKL:"~'), (BACKSLASH, "\\", "|"),
        (BOTTOM, "zxcvbnm,./", "ZXCVBNM<>?"), (THE_102ND, "<", ">"),
    ),
    "de": _layout(
        (DIGITS, "1234567890ß´", '!"§$%&/()=?`'), (TOP, "qwertzuiopü+", "QWERTZUIOPÜ*"),
        (HOME, "asdfghjklöä^", "ASDFGHJKLÖÄ°"), (BACKSLASH, "#", "'"),
        (BOTTOM, "yxcvbnm,.-", "YXCVBNM;:_"), (THE_102ND, "<", ">"),
        altgr={3: "²", 4: "³", 8: "{", 9: "[", 10: "]", 11: "}", 12: "\\", 16: "@", 18: "€",
               27: "~", 50: "µ", 86: "|"},
    ),
    "fr": _layout(
        (DIGITS, "&é\"'(-è_çà)=", "1234567890°+"), (TOP, "azertyuiop^$", "AZERTYUIOP¨£"),
        (HOME, "qsdfghjklmù²", f"QSDFGHJKLM%{NONE}"), (BACKSLASH, "*", "µ"),
        (BOTTOM, "wxcvbn,;:!", "WXCVBN?./§"), (THE_102ND, "<", ">"),
        altgr={3: "~", 4: "#", 5: "{", 6: "[", 7: "|", 8: "`", 9: "\\", 10: "^", 11: "@", 12: "]",
               13: "}", 18: "€"},
    ),
    "jp": _layout(
        (DIGITS, "1234567890-^", f"!\"#$%&'(){NONE}=~"), (TOP, "qwertyuiop@[", "QWERTYUIOP`{"),
        (HOME, f"asdfghjkl;:{NONE}", f"ASDFGHJKL+*{NONE}"), (BACKSLASH, "]", "}"),
        (BOTTOM, "zxcvbnm,./", "ZXCVBNM<>?"), (RO, "\\", "_"), (YEN, "\\", "|"),
    ),
}  # fmt: skip
