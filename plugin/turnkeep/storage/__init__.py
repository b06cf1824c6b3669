"""The storages: the protocol in `base`, and one module or folder per storage."""
