"""A new file that can be cut back to where it last was whole, as when the disk is full."""

import os
from pathlib import Path


class WholeFile:
    """Written without a buffer, so that what is in the file is known; never an existing one."""

    def __init__(self, path: Path) -> None:
        """Make the file.

        Raises:
            OSError: it is there, or can not be made.
        """
        self._raw = path.open("xb", buffering=0)
        self._end = self._whole = 0

    def write(self, data: bytes) -> int:
        """Write all of it; return how much that is.

        Raises:
            OSError: the disk takes no more; a part may be written.
        """
        view = memoryview(data)
        while view:
            written = self._raw.write(view)
            view = view[written:]
            self._end += written
        return len(data)

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._end

    def flush(self) -> None:
        """Wait until the disk has it."""
        os.fsync(self._raw.fileno())

    def mark(self) -> None:
        """Take note that the file is whole as it is."""
        self._whole = self._end

    def cut_back(self) -> None:
        """Cut off what came after the last mark."""
        self._raw.truncate(self._whole)

    def close(self) -> None:
        """Close the file."""
        self._raw.close()
