"""A session in hand: what a bot asks of one conversation and does with it."""
