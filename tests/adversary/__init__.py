"""Attackers against a board behind its broker, while an honest station works."""
