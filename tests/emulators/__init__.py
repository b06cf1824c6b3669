"""Emulators of chat platforms; a package, so that `openai.py` here cannot shadow `openai`."""
