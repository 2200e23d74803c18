"""One file for each kind of device that speaks in its own way; beside it, what it says."""
