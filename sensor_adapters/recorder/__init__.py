"""Recording what a broker says into MCAP, and reading it again."""
