"""What keeps the log whole: disks that fill, files that break, copies, and what may go."""
