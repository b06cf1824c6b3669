"""The default storage: one readable JSONL file per session.

Where to find what, from the verbs down to the disk:

- verbs: `_storage` turns, `_record_verbs` the record, `_several` several sessions, `_claiming`
  claims, `_opened` opening and closing;
- in memory: `_chats` the sessions in use, `_chat` one of them, `_known` duplicates, `_claims`;
- threads: `_writer` the one that writes, `_appender` what it does, `_workers` the others;
- a folder: `_folder` what changes files, `_folder_list` what reads several, `_folder_reader`
  one, `_listing` and `_index` the order, `_rename`, `_alias`, `_rewrite`, `_search`, `_damage`,
  `_journal` and `_replay`, `_lock`;
- a file: `_lines` the format, `_names` its name, `_read` from the end, `_blocks`, `_place`,
  `_claims_file`, `_nanobot` the older format, `_disk` what is done to any file.
"""

from ._storage import JsonlStorage

__all__ = ["JsonlStorage"]
