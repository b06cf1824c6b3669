"""A model's Markdown as the blocks of a Telegram rich message.

Blocks, and not `InputRichMessage.markdown`: Telegram has nothing to parse then, HTML is shown as it
is written, and no image of a model's is fetched, which would carry what the model knows to whoever
named its address (https://core.telegram.org/bots/api#inputrichmessage).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from aiogram.types import InputRichMessage
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from turnkeep.adapter import code_parts

__all__ = ["rich_message"]

LINKED: Final = ("http://", "https://", "mailto:", "tel:", "tg://", "ton://")
_STYLES: Final = {"strong": "bold", "em": "italic", "s": "strikethrough"}
_MAX_COLUMNS: Final = 20
_TASK: Final = re.compile(r"\[([ xX])\] +")
_ALIGN: Final = re.compile(r"text-align:(left|center|right)")

# As in `_markdown`: code blocks are found by `code_parts`, and HTML is text.
_OFF: Final = ["fence", "lheading", "html_block", "html_inline", "reference"]
_RULES: Final = ["strikethrough", "table"]
_FIRST: Final = MarkdownIt("commonmark").enable(_RULES).disable(_OFF)
_LATER: Final = MarkdownIt("commonmark").enable(_RULES).disable(["code", *_OFF])

_PLAIN: Final = frozenset({"paragraph", "pre"})


def rich_message(text: str) -> InputRichMessage | None:
    """Return a piece of Markdown as a rich message.

    Return None if it has nothing that an ordinary message cannot show as well: headings, tables,
    lists, rules, and nested quotes. Ordinary messages are shown by older clients, too.
    """
    blocks: list[dict[str, Any]] = []
    markdown = _FIRST
    for content, block in code_parts(text):
        if block is None:
            blocks += _blocks(SyntaxTreeNode(markdown.parse(content)))
        elif content.strip():
            language = {"language": block.info} if block.info else {}
            blocks.append({"type": "pre", "text": content.rstrip("\n"), **language})
            markdown = _LATER
    if all(_is_ordinary(block) for block in blocks) or not _says_anything(blocks):
        return None
    return InputRichMessage.model_validate({"blocks": blocks})


def _is_ordinary(block: dict[str, Any]) -> bool:
    if block["type"] == "blockquote":
        return all(inner["type"] in _PLAIN for inner in block["blocks"])
    return block["type"] in _PLAIN


def _says_anything(part: Any) -> bool:
    if isinstance(part, dict):
        return any(_says_anything(part.get(name)) for name in ("text", "blocks", "items", "cells"))
    return (
        any(map(_says_anything, part)) if isinstance(part, list) else bool(str(part or "").strip())
    )


def _blocks(node: SyntaxTreeNode) -> list[dict[str, Any]]:
    return [block for child in node.children for block in _block(child)]


def _block(node: SyntaxTreeNode) -> Iterator[dict[str, Any]]:
    match node.type:
        case "heading":
            text = _rich(node.children[0])
            if text:
                yield {"type": "heading", "text": text, "size": int(node.tag[1:])}
        case "hr":
            yield {"type": "divider"}
        case "code_block":
            yield {"type": "pre", "text": node.content.rstrip("\n")}
        case "blockquote":
            if inner := _blocks(node):
                yield {"type": "blockquote", "blocks": inner}
        case "bullet_list" | "ordered_list":
            yield {"type": "list", "items": [*_items(node)]}
        case "table":
            yield from _table(node)
        case _:
            if node.children and (text := _rich(node.children[0])):
                yield {"type": "paragraph", "text": text}


def _items(node: SyntaxTreeNode) -> Iterator[dict[str, Any]]:
    number = int(node.attrs.get("start", 1))
    for place, child in enumerate(node.children):
        blocks = _blocks(child) or [{"type": "paragraph", "text": " "}]
        item: dict[str, Any] = {"blocks": blocks}
        if node.type == "ordered_list":
            item |= {"value": number + place, "type": "1"}
        elif (checked := _take_box(blocks[0])) is not None:
            item |= {"has_checkbox": True, "is_checked": checked}
        yield item


def _take_box(block: dict[str, Any]) -> bool | None:
    """Take the box of a task off an item's text; return whether it is checked, None without one."""
    text = block.get("text")
    if block["type"] != "paragraph" or not isinstance(text, list) or not isinstance(text[0], str):
        return None
    box = _TASK.match(text[0])
    if box is None or not (rest := [*filter(None, [text[0][box.end() :], *text[1:]])]):
        return None
    block["text"] = rest
    return box[1] != " "


def _table(node: SyntaxTreeNode) -> Iterator[dict[str, Any]]:
    heads_and_bodies = [row for part in node.children for row in part.children]
    rows = [[_cell(cell) for cell in row.children] for row in heads_and_bodies]
    if rows and len(rows[0]) <= _MAX_COLUMNS:
        yield {"type": "table", "cells": rows, "is_bordered": True}
        return
    for line in rows:
        yield {"type": "paragraph", "text": [part for cell in line for part in (cell["text"], " ")]}


def _cell(node: SyntaxTreeNode) -> dict[str, Any]:
    align = _ALIGN.search(str(node.attrs.get("style", "")))
    text = _rich(node.children[0]) if node.children else []
    cell = {"align": align[1] if align else "left", "valign": "top", "text": text or " "}
    return {**cell, "is_header": True} if node.type == "th" else cell


def _rich(node: SyntaxTreeNode) -> list[Any]:
    """Return the words of a paragraph, a heading or a cell, and their formatting."""
    found: list[Any] = []
    for child in node.children:
        for part in _words(child):
            if isinstance(part, str) and found and isinstance(found[-1], str):
                found[-1] += part
            elif part:
                found.append(part)
    return found


def _words(node: SyntaxTreeNode) -> Iterator[Any]:
    match node.type:
        case "softbreak" | "hardbreak":
            yield "\n"
        case "code_inline":
            yield {"type": "code", "text": node.content}
        case "strong" | "em" | "s":
            if inner := _rich(node):
                yield {"type": _STYLES[node.type], "text": inner}
        case "link":
            yield from _link(_rich(node), str(node.attrs.get("href", "")))
        case "image":
            address = str(node.attrs.get("src", ""))
            yield from _link([node.content or address], address)
        case _:
            yield node.content


def _link(words: list[Any], address: str) -> Iterator[Any]:
    if words and address.startswith(LINKED):
        yield {"type": "url", "text": words, "url": address}
    else:
        yield from words
        if address:
            yield f" ({address})"
