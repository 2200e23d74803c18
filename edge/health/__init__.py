"""How the board is: its streams, queues, disk, heat and models; and who is told."""
