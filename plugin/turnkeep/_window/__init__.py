"""The window: pure functions from stored turns to the messages for a model."""
