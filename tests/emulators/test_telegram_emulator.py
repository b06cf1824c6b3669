"""The Telegram emulator is believed by other tests, so a real aiogram checks it here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.methods import SendMessage
from aiogram.types import (
    BufferedInputFile,
    CallbackQuery,
    InputMediaPhoto,
    MediaUnion,
    Message,
    Update,
)
from aiogram.types import ReplyParameters as Reply
from aiogram.utils.backoff import BackoffConfig
from aiogram.webhook.aiohttp_server import SimpleRequestHandler
from aiohttp import web

from emulators.telegram import PHOTO, TelegramEmulator

ADA = 7
GROUP = -5
FORUM = -1001234567890


class QuickSession(AiohttpSession):
    """aiogram's session without the 250 ms it sleeps at its end for the sake of TLS."""

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


@asynccontextmanager
async def connected(telegram: TelegramEmulator, token: str = "") -> AsyncIterator[Bot]:
    """A real bot that believes the emulator to be Telegram."""
    session = QuickSession(api=TelegramAPIServer.from_base(telegram.url))
    async with Bot(token or telegram.token, session=session) as bot:
        yield bot


@asynccontextmanager
async def polling(
    telegram: TelegramEmulator, dispatcher: Dispatcher, *, handle_as_tasks: bool = True
) -> AsyncIterator[Bot]:
    """A real bot that polls in the background."""
    async with connected(telegram) as bot:
        quick = BackoffConfig(min_delay=0.01, max_delay=0.05, factor=1.3, jitter=0.0)
        run = dispatcher.start_polling(
            bot,
            handle_signals=False,
            close_bot_session=False,
            backoff_config=quick,
            handle_as_tasks=handle_as_tasks,
        )
        task = asyncio.create_task(run)
        try:
            await telegram.wait_for(lambda: telegram.polling)
            yield bot
        finally:
            await dispatcher.stop_polling()
            await task


@asynccontextmanager
async def webhook(telegram: TelegramEmulator, handler: Any) -> AsyncIterator[str]:
    """A web server that passes what Telegram posts to `handler`; yields its URL."""
    app = web.Application()
    app.router.add_post("/hook", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await telegram.updates.aclose()
        await runner.cleanup()


def echo() -> Dispatcher:
    """The smallest bot: it answers every message with its text."""
    dispatcher = Dispatcher()

    @dispatcher.message()
    async def answer(message: Message) -> None:
        await message.answer(message.text or message.caption or "-")

    return dispatcher


async def refused(
    call: Awaitable[object], kind: type[TelegramAPIError] = TelegramBadRequest
) -> str:
    """The words in which a call is refused."""
    with pytest.raises(kind) as caught:
        await call
    return str(caught.value)


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [message["text"] for message in messages]


# Polling.


@pytest.mark.asyncio
async def test_an_echo_bot_answers_over_a_real_socket() -> None:
    async with TelegramEmulator() as telegram, polling(telegram, echo()):
        telegram.say(ADA, "hello")
        (answer,) = await telegram.wait_sent(ADA, 1)
        assert (answer["text"], answer["message_id"]) == ("hello", 2)
        assert answer["from"]["id"] == 42


@pytest.mark.asyncio
async def test_updates_arrive_in_the_order_in_which_they_were_queued() -> None:
    seen: list[str | None] = []
    dispatcher = Dispatcher()

    @dispatcher.message()
    async def remember(message: Message) -> None:
        seen.append(message.text)

    async with TelegramEmulator() as telegram, polling(telegram, dispatcher):
        for number in range(150):
            telegram.say(ADA, str(number))
        await telegram.wait_for(lambda: len(seen) == 150)
    assert seen == [str(number) for number in range(150)]


@pytest.mark.asyncio
async def test_an_update_is_served_again_until_a_higher_offset_confirms_it() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        first, second = telegram.say(ADA, "one"), telegram.say(ADA, "two")
        for _ in range(2):
            served = await bot.get_updates(offset=first["update_id"])
            assert [update.update_id for update in served] == [
                first["update_id"],
                second["update_id"],
            ]
        served = await bot.get_updates(offset=second["update_id"])
        assert [update.update_id for update in served] == [second["update_id"]]
        assert telegram.pending() == 1
        assert await bot.get_updates(offset=second["update_id"] + 1) == []
        assert telegram.pending() == 0
        assert telegram.confirmed_offset == second["update_id"] + 1


@pytest.mark.asyncio
@pytest.mark.parametrize("handle_as_tasks", [True, False])
async def test_aiogram_confirms_before_it_answers_unless_it_handles_one_by_one(
    handle_as_tasks: bool,
) -> None:
    answer_now = asyncio.Event()
    dispatcher = Dispatcher()

    @dispatcher.message()
    async def answer(message: Message) -> None:
        await answer_now.wait()
        await message.answer("late")

    async with (
        TelegramEmulator() as telegram,
        polling(telegram, dispatcher, handle_as_tasks=handle_as_tasks),
    ):
        polls = len(telegram.called("getUpdates"))
        telegram.say(ADA, "hello")
        if handle_as_tasks:
            await telegram.wait_for(lambda: telegram.pending() == 0)
        else:
            await asyncio.sleep(0.1)
            assert (telegram.pending(), len(telegram.called("getUpdates"))) == (1, polls)
        assert telegram.sent(ADA) == []
        answer_now.set()
        await telegram.wait_sent(ADA, 1)


@pytest.mark.asyncio
async def test_a_negative_offset_forgets_all_but_the_last_updates() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        last = [telegram.say(ADA, str(number)) for number in range(3)][-1]
        assert [u.update_id for u in await bot.get_updates(offset=-1)] == [last["update_id"]]
        assert telegram.pending() == 1


@pytest.mark.asyncio
async def test_a_long_poll_waits_for_an_update_and_returns_at_its_timeout_without_one() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        poll = asyncio.create_task(bot.get_updates(timeout=50))
        await telegram.wait_for(lambda: telegram.polling)
        telegram.say(ADA, "late")
        (update,) = await poll
        assert await bot.get_updates(offset=update.update_id + 1, timeout=1) == []


@pytest.mark.asyncio
async def test_of_two_polls_the_older_one_ends_with_409() -> None:
    async with (
        TelegramEmulator() as telegram,
        connected(telegram) as old,
        connected(telegram) as new,
    ):
        older = asyncio.create_task(old.get_updates(timeout=50))
        await telegram.wait_for(lambda: telegram.polling)
        newer = asyncio.create_task(new.get_updates(timeout=50))
        assert "terminated by other getUpdates" in await refused(older, TelegramConflictError)
        telegram.say(ADA, "for the newer one")
        assert len(await newer) == 1


@pytest.mark.asyncio
async def test_a_poll_whose_client_is_gone_takes_nothing_from_its_successor() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as new:
        async with connected(telegram) as killed:
            poll = asyncio.create_task(killed.get_updates(timeout=50))
            await telegram.wait_for(lambda: telegram.polling)
            poll.cancel()
        await telegram.wait_for(lambda: not telegram.polling)
        said = telegram.say(ADA, "once")["update_id"]
        assert len(await new.get_updates()) == 1
        telegram.redeliver(telegram.say(ADA, "again"), same_update_id=True)
        served = [update.update_id for update in await new.get_updates(offset=said + 2)]
        assert served == [said + 1]


@pytest.mark.asyncio
async def test_allowed_updates_decide_when_an_update_is_made_and_last() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        edited = telegram.edit(telegram.say(ADA, "one"), "two")
        assert len(await bot.get_updates(allowed_updates=["message"])) == 2
        telegram.edit(edited, "three")
        assert len(await bot.get_updates()) == 2
        await bot.get_updates(allowed_updates=[])
        telegram.edit(edited, "four")
        assert len(await bot.get_updates()) == 3


@pytest.mark.asyncio
async def test_a_redelivery_brings_the_same_message_under_a_new_or_the_old_update_id() -> None:
    async with TelegramEmulator() as telegram, polling(telegram, echo()):
        update = telegram.say(ADA, "hello")
        await telegram.wait_sent(ADA, 1)
        again = telegram.redeliver(update)
        assert again["message"] == update["message"]
        assert again["update_id"] > update["update_id"]
        await telegram.wait_sent(ADA, 2)
        await telegram.wait_for(lambda: telegram.pending() == 0)
        assert telegram.redeliver(update, same_update_id=True) == update
        assert texts(await telegram.wait_sent(ADA, 3)) == ["hello"] * 3
        await telegram.wait_for(lambda: telegram.pending() == 0)


@pytest.mark.asyncio
async def test_a_bot_survives_an_outage_and_gets_what_was_said_meanwhile() -> None:
    async with TelegramEmulator() as telegram, polling(telegram, echo()):
        await telegram.stop()
        telegram.say(ADA, "are you there?")
        await telegram.start()
        assert texts(await telegram.wait_sent(ADA, 1)) == ["are you there?"]


# Messages.


@pytest.mark.asyncio
async def test_aiogram_reads_every_kind_of_update_the_emulator_makes() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        hello = telegram.say(ADA, "/start now")
        telegram.edit(hello, "/stop")
        telegram.say(ADA, photo=PHOTO, caption="look")
        telegram.album(ADA, ["both", ""])
        telegram.say(-1009999999999, "news", chat_type="channel")
        business = telegram.say(8, "hi", business_connection_id="b1")
        telegram.edit(business, "hi!")
        telegram.delete(business)
        telegram.press(hello, "yes")
        telegram.migrate(GROUP, FORUM)
        telegram.say(FORUM, "in a topic", thread_id=9)
        updates = await bot.get_updates()
    assert [update.event_type for update in updates] == [
        "message",
        "edited_message",
        "message",
        "message",
        "message",
        "channel_post",
        "business_message",
        "edited_business_message",
        "deleted_business_messages",
        "callback_query",
        "message",
        "message",
        "message",
    ]
    messages = [update.message for update in updates if update.message is not None]
    assert messages[0].entities is not None
    assert messages[0].entities[0].extract_from("/start now") == "/start"
    assert messages[2].media_group_id is not None
    assert messages[2].media_group_id == messages[3].media_group_id
    assert (messages[2].caption, messages[3].caption) == ("both", None)
    assert (messages[4].migrate_to_chat_id, messages[5].migrate_from_chat_id) == (FORUM, GROUP)
    assert messages[5].message_id == 1
    assert (messages[6].message_thread_id, messages[6].is_topic_message) == (9, True)


@pytest.mark.asyncio
async def test_message_ids_grow_per_chat_and_are_shared_with_the_bot() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        assert telegram.say(ADA, "a")["message"]["message_id"] == 1
        assert (await bot.send_message(ADA, "b")).message_id == 2
        assert telegram.say(ADA, "c")["message"]["message_id"] == 3
        assert telegram.say(8, "d")["message"]["message_id"] == 1


@pytest.mark.asyncio
async def test_an_edit_is_an_edited_message_with_the_old_id_and_a_date() -> None:
    async with TelegramEmulator() as telegram:
        said = telegram.say(ADA, "tpyo")["message"]
        edited = telegram.edit(said, "typo")["edited_message"]
        assert (edited["message_id"], edited["text"]) == (said["message_id"], "typo")
        assert edited["edit_date"] >= edited["date"]
        caption = telegram.say(ADA, photo=PHOTO, caption="on")
        assert telegram.edit(caption, "no")["edited_message"]["caption"] == "no"


@pytest.mark.asyncio
async def test_a_reply_in_a_plain_supergroup_carries_a_thread_id_and_is_no_topic() -> None:
    async with TelegramEmulator() as telegram:
        first = telegram.say(FORUM, "question")
        second = telegram.say(FORUM, "answer", reply_to=first)
        third = telegram.say(FORUM, "thanks", reply_to=second)["message"]
        assert third["message_thread_id"] == first["message"]["message_id"]
        assert "is_topic_message" not in third
        assert third["reply_to_message"]["text"] == "answer"
        assert "reply_to_message" not in third["reply_to_message"]


@pytest.mark.asyncio
async def test_a_bot_answers_in_a_topic_and_not_in_a_reply_chain() -> None:
    async with TelegramEmulator() as telegram, polling(telegram, echo()) as bot:
        telegram.say(FORUM, "in", thread_id=9)
        (inside,) = await telegram.wait_sent(FORUM, 1)
        assert (inside["message_thread_id"], inside["is_topic_message"]) == (9, True)
        telegram.say(FORUM, "out", thread_id=3, is_topic=False)
        outside = (await telegram.wait_sent(FORUM, 2))[1]
        assert "message_thread_id" not in outside
        send = bot.send_message(FORUM, "x", message_thread_id=3)
        assert "message thread not found" in await refused(send)


@pytest.mark.asyncio
async def test_a_message_in_a_topic_is_a_reply_to_the_one_that_opened_it() -> None:
    async with TelegramEmulator() as telegram:
        message = telegram.say(FORUM, "hi", thread_id=9)["message"]
        assert "forum_topic_created" in message["reply_to_message"]


@pytest.mark.asyncio
async def test_a_pressed_button_can_be_answered_and_an_unknown_query_cannot() -> None:
    dispatcher = Dispatcher()

    @dispatcher.callback_query()
    async def pressed(query: CallbackQuery) -> None:
        await query.answer(query.data)

    async with TelegramEmulator() as telegram, polling(telegram, dispatcher) as bot:
        telegram.open_chat(ADA)
        question = await bot.send_message(ADA, "well?")
        telegram.press(question.model_dump(include={"chat": {"id"}, "message_id": True}), "yes")
        await telegram.wait_for(lambda: telegram.called("answerCallbackQuery"))
        (call,) = telegram.called("answerCallbackQuery")
        assert (call.params["text"], call.error) == ("yes", None)
        assert "query is too old" in await refused(bot.answer_callback_query("1"))


# What the bot sends.


@pytest.mark.asyncio
async def test_sent_shows_what_users_see_after_edits_and_deletions() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.open_chat(ADA)
        kept, gone = await bot.send_message(ADA, "one"), await bot.send_message(ADA, "two")
        await bot.edit_message_text("1", chat_id=ADA, message_id=kept.message_id)
        await bot.delete_message(ADA, gone.message_id)
        assert texts(telegram.sent(ADA)) == ["1"]


@pytest.mark.asyncio
async def test_a_text_is_stored_parsed_and_trimmed() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.open_chat(ADA)
        source = '🎉 <b>bold <i>both</i></b> &lt;<pre><code class="language-py">1</code></pre>\n'
        message = await bot.send_message(ADA, source, parse_mode="HTML")
        assert message.text == "🎉 bold both <1"
        assert message.html_text.startswith("🎉 <b>bold <i>both</i></b> &lt;<pre><code ")
        assert message.entities is not None
        assert (message.entities[2].type, message.entities[2].language) == ("pre", "py")
        for wrong in ("<b>open", "a < b", "<p>no</p>", "</b>"):
            send = bot.send_message(ADA, wrong, parse_mode="HTML")
            assert "can't parse entities" in await refused(send)


@pytest.mark.asyncio
async def test_the_limit_is_4096_characters_however_wide() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.open_chat(ADA)
        message = await bot.send_message(ADA, "😀" * 4096)
        edit = bot.edit_message_text("x" * 4097, chat_id=ADA, message_id=message.message_id)
        assert "message is too long" in await refused(edit)
        assert "message is too long" in await refused(bot.send_message(ADA, "x" * 4097))


@pytest.mark.asyncio
async def test_what_telegram_refuses_is_refused_in_its_words() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        said = telegram.say(ADA, "hi")["message"]["message_id"]
        own = (await bot.send_message(ADA, "same")).message_id

        def edit(text: str, message_id: int) -> Awaitable[object]:
            return bot.edit_message_text(text, chat_id=ADA, message_id=message_id)

        answers = {
            "message text is empty": bot.send_message(ADA, " \n"),
            "chat not found": bot.send_message(99, "x"),
            "message to be replied not found": bot.send_message(
                ADA, "x", reply_parameters=Reply(message_id=77)
            ),
            "message is not modified": edit("same ", own),
            "message to edit not found": edit("x", 77),
            "message can't be edited": edit("x", said),
            "message to delete not found": bot.delete_message(ADA, 77),
            "TEXTDRAFT_PEER_INVALID": bot.send_message_draft(GROUP, 1, text="x"),
        }
        telegram.open_chat(GROUP)
        for words, call in answers.items():
            assert f"Bad Request: {words}" in await refused(call)


@pytest.mark.asyncio
async def test_a_wrong_token_gets_401_and_an_unknown_method_404() -> None:
    async with TelegramEmulator() as telegram:
        async with connected(telegram, "43:OTHER") as bot:
            await refused(bot.get_me(), TelegramUnauthorizedError)
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{telegram.url}/bot42:TEST/flyToTheMoon") as response,
        ):
            assert (response.status, (await response.json())["ok"]) == (404, False)


@pytest.mark.asyncio
async def test_a_draft_shows_until_a_message_is_sent() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.open_chat(ADA)
        await bot.send_message_draft(ADA, 1, text="thin")
        await bot.send_message_draft(ADA, 1, text="thinking")
        assert (telegram.drafts, telegram.sent(ADA)) == ({(ADA, 1): "thinking"}, [])
        await bot.send_message(ADA, "thought")
        assert (telegram.drafts, len(telegram.sent(ADA))) == ({}, 1)


@pytest.mark.asyncio
async def test_files_go_up_and_come_down() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.open_chat(ADA)
        upload = BufferedInputFile(b"%PDF", "a.pdf")
        document = (await bot.send_document(ADA, upload, caption="see")).document
        assert document is not None
        content = await bot.download(document)
        assert content is not None
        assert content.read() == b"%PDF"
        album: list[MediaUnion] = [
            InputMediaPhoto(media=upload, caption="1"),
            InputMediaPhoto(media="photo"),
        ]
        first, second = await bot.send_media_group(ADA, album)
        assert first.media_group_id == second.media_group_id
        assert (await bot.send_voice(ADA, "photo")).voice is not None
        await refused(bot.send_photo(ADA, "no such file"))
        forwarded = await bot.forward_message(ADA, ADA, first.message_id)
        assert (forwarded.caption, forwarded.forward_origin is not None) == ("1", True)
        copied = await bot.copy_message(ADA, ADA, first.message_id)
        assert telegram.sent(ADA)[-1]["message_id"] == copied.message_id


@pytest.mark.asyncio
async def test_a_business_chat_is_apart_from_the_bots_own_chat_with_the_same_id() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.say(ADA, "to the bot")
        telegram.say(ADA, "to the shop", business_connection_id="b1")
        message = await bot.send_message(ADA, "yes?", business_connection_id="b1")
        assert message.sender_business_bot is not None
        assert (telegram.sent(ADA), len(telegram.sent(ADA, "b1"))) == ([], 1)


# Failures.


@pytest.mark.asyncio
async def test_a_failure_hits_only_the_next_call_of_its_method_and_chat() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.open_chat(ADA)
        telegram.open_chat(8)
        telegram.fail_next("sendMessage", status=429, retry_after=3, chat_id=ADA)
        telegram.fail_next("sendMessage", status=403, chat_id=ADA)
        telegram.fail_next("getMe", status=502)
        await bot.send_message(8, "another chat")
        with pytest.raises(TelegramRetryAfter) as caught:
            await bot.send_message(ADA, "x")
        assert caught.value.retry_after == 3
        await refused(bot.send_message(ADA, "x"), TelegramForbiddenError)
        await refused(bot.get_me(), TelegramServerError)
        await bot.send_message(ADA, "x")
        errors = [call.error is not None for call in telegram.called("sendMessage")]
        assert errors == [False, True, True, False]


@pytest.mark.asyncio
async def test_a_lost_answer_leaves_the_message_sent_and_the_bot_ignorant() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.open_chat(ADA)
        telegram.fail_next("sendMessage", lost=True)
        await refused(bot.send_message(ADA, "x"), TelegramNetworkError)
        assert texts(telegram.sent(ADA)) == ["x"]


@pytest.mark.asyncio
async def test_a_migrated_group_names_its_successor_to_whoever_writes_to_it() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.say(GROUP, "hi")
        new, old = telegram.migrate(GROUP, FORUM, new_first=True)[::-1]
        assert new["update_id"] < old["update_id"]
        with pytest.raises(TelegramMigrateToChat) as caught:
            await bot.send_message(GROUP, "x")
        await bot.send_message(caught.value.migrate_to_chat_id, "x")
        assert len(telegram.sent(FORUM)) == 1
        with pytest.raises(ValueError, match="has become"):
            telegram.say(GROUP, "ghost")


# Webhooks.


@pytest.mark.asyncio
async def test_a_webhook_gets_the_secret_and_its_reply_is_carried_out() -> None:
    dispatcher = Dispatcher()

    @dispatcher.message()
    async def answer(message: Message) -> SendMessage:
        return message.answer(f"<b>{message.text}</b>", parse_mode="HTML")

    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        handler = SimpleRequestHandler(
            dispatcher, bot, handle_in_background=False, secret_token="s3cret"
        )
        async with webhook(telegram, handler.handle) as url:
            await bot.set_webhook(url, secret_token="s3cret")
            telegram.say(ADA, "hello")
            assert texts(await telegram.wait_sent(ADA, 1)) == ["hello"]
            assert "webhook is active" in await refused(bot.get_updates(), TelegramConflictError)
            await bot.set_webhook(url, secret_token="wrong")
            telegram.say(ADA, "stranger")
            await telegram.wait_for(lambda: telegram.updates.deliveries[-1][1] == 401)
            await bot.delete_webhook()
            assert len(await bot.get_updates()) == 1


@pytest.mark.asyncio
async def test_a_webhook_that_fails_gets_the_update_again_and_nothing_overtakes_it() -> None:
    statuses = [500, 503, 200]
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        update = Update.model_validate(await request.json())
        assert update.message is not None
        seen.append(f"{update.message.chat.id} {update.message.text}")
        return web.json_response({}, status=statuses.pop(0) if "first" in seen[-1] else 200)

    async with (
        TelegramEmulator() as telegram,
        connected(telegram) as bot,
        webhook(telegram, handler) as url,
    ):
        await bot.set_webhook(url)
        for chat_id, text in ((ADA, "first"), (ADA, "second"), (8, "elsewhere")):
            telegram.say(chat_id, text)
        await telegram.wait_for(lambda: telegram.pending() == 0)
    assert [line for line in seen if "7" in line] == ["7 first"] * 3 + ["7 second"]
    assert seen.index("8 elsewhere") < seen.index("7 second")


@pytest.mark.asyncio
async def test_setting_a_webhook_ends_a_poll_and_can_drop_what_was_pending() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        poll = asyncio.create_task(bot.get_updates(timeout=50))
        await telegram.wait_for(lambda: telegram.polling)
        await bot.set_webhook("http://127.0.0.1:9/")
        assert "terminated by setWebhook" in await refused(poll, TelegramConflictError)
        telegram.say(ADA, "x")
        await bot.delete_webhook(drop_pending_updates=True)
        assert await bot.get_updates() == []
        assert "unallowed characters" in await refused(bot.set_webhook("", secret_token="ü"))


# Waiting.


@pytest.mark.asyncio
async def test_a_wait_in_vain_shows_what_the_bot_did() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        await bot.get_me()
        with pytest.raises(TimeoutError, match=r"(?s)2 messages of the bot in chat 7.*getMe"):
            await telegram.wait_sent(ADA, 2, timeout=0.1)
