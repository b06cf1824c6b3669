"""The default storage: one readable JSONL file per session.

Where to find what: `_storage` the verbs, `_chat` a session in use and `_chats` all of them,
`_lines` the format, `_names` the file names, `_read` reading from the end, `_writer` the
writing thread, `_workers` the other threads, `_files` whole files, `_rename` and `_listing`
what concerns several, `_disk` what is done to any file, `_lock` the ownership of the folder,
`_nanobot` the older format.
"""

from ._storage import JsonlStorage

__all__ = ["JsonlStorage"]
