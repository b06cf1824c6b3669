"""The window: pure functions from stored turns to the messages that a model gets."""
