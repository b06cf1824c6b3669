"""Where sessions are kept: the protocol in `base`, and one module per storage."""
