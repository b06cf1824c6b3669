"""The damage found so far: told once a place, and counted."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from ..._records.key import SessionKey
from ..base import MAX_METADATA_BYTES
from ._blocks import count_lines
from ._disk import IrregularFileError, reading
from ._names import DAMAGED_SUFFIX

logger: Final = logging.getLogger("turnkeep")


class Damage:
    """The damaged places of a folder's files."""

    def __init__(self) -> None:
        self._places: dict[Path, set[int]] = {}
        """Offsets of damaged lines; of a torn end, which moves away, as `~offset`."""
        self._odd: set[Path] = set()
        self._aside: dict[Path, tuple[int, int]] = {}
        """How many bytes of what was set aside were looked at, and their lines."""

    def is_news(self, path: Path, place: int) -> bool:
        """Take note of a place; return whether it was not known yet."""
        known = self._places.setdefault(path, set())
        if place in known:
            return False
        known.add(place)
        return True

    def report(self, key: SessionKey, path: Path, offsets: Iterable[int]) -> None:
        """Log what is damaged, once a place, and in one line however much it is."""
        news = sorted(offset for offset in offsets if self.is_news(path, offset))
        if news:
            logger.warning(
                "session %s: lines of %s can't be read and are skipped and kept: %d, at byte %d%s",
                key,
                path,
                len(news),
                news[0],
                " and behind" if news[1:] else "",
            )

    def report_unreadable(self, path: Path, error: OSError) -> None:
        """Log, once, that a file was passed over."""
        if path not in self._odd:
            self._odd.add(path)
            logger.warning("%s: can't be read (%s) and is passed over", path, error)

    def report_foreign_metadata(self, path: Path) -> None:
        """Log, once, that a session has metadata that we write nowhere."""
        if path not in self._odd:
            self._odd.add(path)
            logger.warning(
                "%s: its metadata is over %d bytes, and left out", path, MAX_METADATA_BYTES
            )

    def count(self, path: Path) -> int:
        """Return the number of damaged places: those known in the file, and those set aside."""
        known = sum(1 for place in self._places.get(path, ()) if place >= 0)
        return known + self._set_aside(path.with_suffix(DAMAGED_SUFFIX))

    def _set_aside(self, beside: Path) -> int:
        """Return the number of lines that were set aside in this file, which only grows."""
        try:
            with reading(beside) as fd:
                size = os.fstat(fd).st_size
                counted, lines = self._aside.get(beside, (0, 0))
                if size < counted:
                    counted = lines = 0
                lines += count_lines(fd, counted, size)
        except FileNotFoundError:
            return 0
        except IrregularFileError:
            raise
        except OSError as error:  # who only reads the session needs none of it
            self.report_unreadable(beside, error)
            return self._aside.get(beside, (0, 0))[1]
        self._aside[beside] = size, lines
        return lines

    def move(self, path: Path, moved: Callable[[int], int]) -> None:
        """Follow the lines of a file that was written anew."""
        if path in self._places:
            self._places[path] = {
                place if place < 0 else moved(place) for place in self._places[path]
            }

    def forget(self, path: Path) -> None:
        """Forget what is known of a file that is gone or another one."""
        self._places.pop(path, None)
        self._aside.pop(path.with_suffix(DAMAGED_SUFFIX), None)
