"""A folder for PYTHONPATH: its `sitecustomize` sends an unmodified discord.py to the emulator."""
