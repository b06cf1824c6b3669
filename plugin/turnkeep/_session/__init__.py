"""A session in hand: the questions to one conversation, and the changes of it."""
