"""The gateway: what devices say in their own way to payloads for the board."""
