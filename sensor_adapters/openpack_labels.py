"""What OpenPack's numbers mean: operations, actions, people.

Yoshimura et al., "OpenPack: A Large-scale Dataset for Recognizing Packaging Works in
IoT-enabled Logistic Environments", PerCom 2024, and the data set's documentation of v1.0.0.
"""

OPERATIONS = {
    100: "Picking",
    200: "Relocate Item Label",
    300: "Assemble Box",
    400: "Insert Items",
    500: "Close Box",
    600: "Attach Box Label",
    700: "Scan Label",
    800: "Attach Shipping Label",
    900: "Put on Back Table",
    1000: "Fill out Order",
}
"""Id to name, in the order of the class indices."""

ACTIONS = {
    101: "Pick Up Sheet",
    103: "Pick Up Item from Box",
    107: "Pick Up Box Sheet",
    108: "Walk to Work Bench",
    109: "Put Packed Box",
    201: "Remove Item Label",
    202: "Attach to Order Sheet",
    203: "Hold Pen",
    204: "Write Check Mark",
    205: "Put Item Small Bag (Relocate Item Label)",
    301: "Pick Cardboard",
    302: "Bend Flap (Assemble Box)",
    303: "Attach Tape (Assemble Box)",
    304: "Turn Over Box",
    305: "Pick Up Assembled Box",
    401: "Insert Item into Box",
    402: "Air Cushion",
    403: "Separate Air Cushion",
    404: "Put Item Small Bag (Insert Items)",
    501: "Bend Flap (Close Box)",
    502: "Attach Tape (Close Box)",
    601: "Attach Box Label",
    701: "Pick Up HT",
    702: "Scan Order Sheet (handheld terminal)",
    703: "Scan Box",
    704: "Scan Item",
    705: "Hold Scanner",
    706: "Scan Order Sheet (white scanner)",
    707: "Scan Printer",
    801: "Pick Up Shipping Label",
    802: "Attach Shipping Label",
    901: "Pick Up Packed Box",
    902: "Put Packed Box (Put on Back Table)",
    1001: "Pick Up Pen",
    1002: "Write Sign",
    1003: "Push Order Sheet into Tray",
}
"""Id to name; where two actions share one, the part in brackets tells them apart."""

FIRST_NULL = 8000
"""Ids from here on say that nothing, or nothing known, was done: no segment, no target."""


def operation_name(number: int) -> str:
    """Return the operation's name, ``id <n>`` if unknown.

    >>> operation_name(700), operation_name(650)
    ('Scan Label', 'id 650')
    """
    return OPERATIONS.get(number, f"id {number}")


def action_name(number: int) -> str:
    """Return the action's name, ``id <n>`` if unknown, as some of release 0.3 are.

    >>> action_name(704), action_name(709)
    ('Scan Item', 'id 709')
    """
    return ACTIONS.get(number, f"id {number}")


def parent(action: str) -> str | None:
    """Return the operation that an action's label belongs to; None if it is unknown.

    >>> parent("Scan Item"), parent("id 709"), parent("Juggle")
    ('Scan Label', 'Scan Label', None)
    """
    for number, name in ACTIONS.items():
        if name == action:
            return OPERATIONS[number // 100 * 100]
    digits = action.removeprefix("id ")
    return OPERATIONS.get(int(digits) // 100 * 100) if digits.isdecimal() else None


SAME_PERSON = {
    "U0202": "U0105",
    "U0203": "U0108",
    "U0204": "U0110",
    "U0205": "U0107",
    "U0210": "U0103",
}
"""Second user id to first: one person took part in two scenarios."""
