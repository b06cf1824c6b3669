"""What is stored: keys, turns, media and the record of a session."""
