"""The words of the privacy commands, in the languages that come along."""

# ruff: noqa: RUF001 (Cyrillic letters are meant)

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["PrivacyTexts", "privacy_texts"]


@dataclass(frozen=True, kw_only=True)
class PrivacyTexts:
    """The words of `/forget` and `/export`; the defaults are English."""

    nothing: str = "Nothing is kept of you here."
    forgotten: str = "What was kept of you here is erased."
    left: str = (
        "Messages that others wrote, or that you wrote from another account, stay here: {count}. "
        "Use /forget there too."
    )
    done: str = "Done."
    """Said to a group when the person can't be reached in private."""
    sent: str = "I have answered you in private."
    write_first: str = "I can't write to you in private yet. Start a chat with me, then ask again."
    forget: str = "Erase what is kept of you here."
    """The description of the command `/forget`."""
    export: str = "Get what is kept of you here as a file."
    """The description of the command `/export`."""


_ENGLISH: Final = PrivacyTexts()
_LANGUAGES: Final = {
    "en": _ENGLISH,
    "es": PrivacyTexts(
        nothing="Aquí no se guarda nada sobre ti.",
        forgotten="Se ha borrado lo que se guardaba aquí sobre ti.",
        left=(
            "Aquí quedan mensajes que escribieron otras personas, o tú desde otra cuenta: "
            "{count}. Usa /forget también allí."
        ),
        done="Hecho.",
        sent="Te he respondido en privado.",
        write_first=(
            "Todavía no puedo escribirte en privado. Inicia un chat conmigo y vuelve a pedirlo."
        ),
        forget="Borra lo que se guarda aquí sobre ti.",
        export="Recibe en un archivo lo que se guarda aquí sobre ti.",
    ),
    "pt": PrivacyTexts(
        nothing="Nada sobre você está guardado aqui.",
        forgotten="O que estava guardado aqui sobre você foi apagado.",
        left=(
            "Ficam aqui mensagens que outras pessoas escreveram, ou você por outra conta: "
            "{count}. Use /forget lá também."
        ),
        done="Pronto.",
        sent="Respondi para você em particular.",
        write_first=(
            "Ainda não consigo escrever para você em particular. Inicie uma conversa comigo e "
            "peça de novo."
        ),
        forget="Apaga o que está guardado aqui sobre você.",
        export="Receba em um arquivo o que está guardado aqui sobre você.",
    ),
    "ru": PrivacyTexts(
        nothing="О вас здесь ничего не хранится.",
        forgotten="Всё, что хранилось здесь о вас, удалено.",
        left=(
            "Здесь остались сообщения, которые написали другие люди или вы с другого аккаунта: "
            "{count}. Отправьте /forget и оттуда."
        ),
        done="Готово.",
        sent="Ответ отправлен вам в личные сообщения.",
        write_first=("Пока не могу написать вам лично. Начните чат со мной и повторите команду."),
        forget="Удалить всё, что хранится здесь о вас.",
        export="Получить файл со всем, что хранится здесь о вас.",
    ),
    "uk": PrivacyTexts(
        nothing="Про вас тут нічого не зберігається.",
        forgotten="Усе, що зберігалося тут про вас, видалено.",
        left=(
            "Тут залишилися повідомлення, які написали інші люди або ви з іншого акаунта: "
            "{count}. Надішліть /forget і звідти."
        ),
        done="Готово.",
        sent="Відповідь надіслано вам в особисті повідомлення.",
        write_first="Поки не можу написати вам особисто. Почніть чат зі мною і повторіть команду.",
        forget="Видалити все, що зберігається тут про вас.",
        export="Отримати файл з усім, що зберігається тут про вас.",
    ),
}


def privacy_texts(language: str | None) -> PrivacyTexts:
    """Return the words in a user's language, or in English if there are none in it.

    There are English, Spanish, Portuguese, Russian and Ukrainian.

    >>> privacy_texts("pt-BR").done
    'Pronto.'
    """
    return _LANGUAGES.get((language or "en").partition("-")[0].lower(), _ENGLISH)
