"""Updates that are kept for a restart are the JSON that Telegram sent."""

from __future__ import annotations

from typing import Any

import pytest
from aiogram import types
from aiogram.types import TelegramObject, Update
from pydantic import BaseModel

from turnkeep_aiogram._as_json import as_json

DATE = 1_780_000_000
ADA = {"id": 7, "is_bot": False, "first_name": "Ada"}
CHAT = {"id": -100, "type": "supergroup", "title": "Lovers of tea"}
TEXT = {"message_id": 1, "date": DATE, "chat": CHAT, "from": ADA, "text": "Hello *you*"}
PHOTO = {"file_id": "a", "file_unique_id": "b", "width": 1, "height": 2}
UPDATES: dict[str, dict[str, Any]] = {
    "a text": {"message": TEXT},
    "entities": {"message": {**TEXT, "entities": [{"type": "bold", "offset": 0, "length": 5}]}},
    "a mention": {
        "message": {
            **TEXT,
            "entities": [{"type": "text_mention", "offset": 0, "length": 5, "user": ADA}],
        }
    },
    "a reply": {"message": {**TEXT, "reply_to_message": {**TEXT, "message_id": 0}}},
    "a forward": {
        "message": {
            **TEXT,
            "forward_origin": {"type": "user", "date": DATE - 1, "sender_user": ADA},
        }
    },
    "photos": {"edited_message": {**TEXT, "edit_date": DATE + 1, "photo": [PHOTO, PHOTO]}},
    "a place": {"channel_post": {**TEXT, "location": {"longitude": 1.5, "latitude": -0.25}}},
    "a keyboard": {
        "message": {
            **TEXT,
            "reply_markup": {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]},
        }
    },
    "a button": {
        "callback_query": {
            "id": "1",
            "from": ADA,
            "chat_instance": "x",
            "data": "y",
            "message": {"message_id": 4, "date": 0, "chat": CHAT},
        }
    },
    "a poll": {
        "poll_answer": {
            "poll_id": "1",
            "user": ADA,
            "option_ids": [0, 2],
            "option_persistent_ids": ["a", "c"],
        }
    },
    "a reaction": {
        "message_reaction": {
            "chat": CHAT,
            "message_id": 1,
            "user": ADA,
            "date": DATE,
            "old_reaction": [],
            "new_reaction": [{"type": "emoji", "emoji": "👍"}],
        }
    },
    "nothing where something may be": {"message": {**TEXT, "caption": None}},
    "what this aiogram does not know": {
        "message": {**TEXT, "mood": "fine", "moods": ["fine", 3, None], "mind": {"at": [1, {}]}}
    },
}


@pytest.mark.parametrize("name", UPDATES)
def test_an_update_is_the_json_that_pydantic_makes_of_it(name: str) -> None:
    update = Update.model_validate({"update_id": 5, **UPDATES[name]})
    kept = as_json(update)
    assert kept == update.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert Update.model_validate(kept) == update


def test_no_field_of_aiogram_has_a_form_of_its_own_in_json_but_times() -> None:
    models = [one for one in vars(types).values() if _is_model(one)]
    odd = {
        f"{model.__name__}.{name}"
        for model in models
        for name, field in model.model_fields.items()
        if [one for one in field.metadata if "_datetime_serializer" not in repr(one)]
        or field.alias != field.serialization_alias
    }
    made = [one for one in models if _serializers(one)]
    assert len(models) > 200
    assert (odd, made) == (set(), [])


def _is_model(one: object) -> bool:
    return isinstance(one, type) and issubclass(one, TelegramObject)


def _serializers(model: type[BaseModel]) -> list[str]:
    found = model.__pydantic_decorators__
    return [*found.field_serializers, *found.model_serializers, *found.computed_fields]
