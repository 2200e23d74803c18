"""The console script ``solosense-bridge``: says that the bridge is not in this release yet."""

import sys

NOT_YET = 3


def main() -> int:
    """Say so on stderr and return 3; nothing is opened, read or sent."""
    print(
        "solosense-bridge: the serial bridge is not in this release yet; "
        "devices publish to the MQTT broker themselves (see firmware_bridge/README.md)",
        file=sys.stderr,
    )
    return NOT_YET


if __name__ == "__main__":
    sys.exit(main())
