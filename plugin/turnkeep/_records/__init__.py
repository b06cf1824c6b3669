"""The stored data: keys, turns, media, and the record of a session."""
