"""Draw restart.svg, the animated picture of the README: `python docs/pictures/draw_restart.py`.

A bot answers, is killed in the middle of its answer, starts again, and finishes it. The picture
is one SVG without scripts or fonts of its own. It stands still for readers who asked their system
for less motion, and shows the end then.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["picture"]

SECONDS: Final = 14.0
"""One round; the last two seconds show the end."""
WORD: Final = 0.3
"""Seconds from one word of the model to the next."""

STYLE: Final = """
  text { font: 15px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .small { font-size: 12px; fill: #656d76 }
  .shell { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #e6edf3 }
  .red { fill: #ff7b72 }
  .card { fill: #ffffff; stroke: #d0d7de }
  .dark { fill: #161b22; stroke: #30363d }
  .me { fill: #d3e8ff }
  .bot { fill: #eaeef2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .small { fill: #8d96a0 }
    .card { fill: #0d1117; stroke: #30363d } .me { fill: #1f4a7d } .bot { fill: #2a313a }
  }
"""


class Film:
    """Collect what appears in the picture, and when."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._moments: dict[str, tuple[float, float | None]] = {}

    def show(self, svg: str, since: float, until: float | None = None) -> None:
        """Paint a piece of SVG from this second of the round on, perhaps until a later one."""
        self.parts.append(f'<g class="{self.name_of(since, until)}">{svg}</g>')

    def say(self, x: int, y: int, text: str, since: float, *, first: str = "") -> float:
        """Paint words one by one behind the words of `first`; return when the last one is there.

        The words flow in one text, so that the width of none has to be known.
        """
        spans = first
        for word in text.split():
            spans += f'<tspan class="{self.name_of(since)}">{word} </tspan>'
            since += WORD
        self.parts.append(f'<text x="{x}" y="{y}">{spans}</text>')
        return since

    def name_of(self, since: float, until: float | None = None) -> str:
        """Return the class of what is shown for this time."""
        name = f"t{since * 100:.0f}" + (f"-{until * 100:.0f}" if until else "")
        self._moments[name] = since, until
        return name

    def rules(self) -> str:
        """Return the animations: each is a step, with nothing in between."""
        moving, still = list[str](), list[str]()
        for name, (since, until) in self._moments.items():
            shown, end = 100 * since / SECONDS, 100 * (until or SECONDS) / SECONDS
            steps = f"0%{{opacity:0}} {shown:.2f}%{{opacity:1}} {end:.2f}%,100%{{opacity:"
            steps += "0}" if until else "1}"
            moving.append(f"@keyframes {name}{{{steps}}}")
            moving.append(f".{name}{{animation:{name} {SECONDS:g}s step-end infinite}}")
            still += [f".{name}{{opacity:0}}"] if until else []
        media = "@media (prefers-reduced-motion:"
        return f"{media}no-preference){{{' '.join(moving)}}}\n  {media}reduce){{{' '.join(still)}}}"


def bubble(who: str, x: int, y: int, width: int, height: int) -> str:
    return f'<rect class="{who}" x="{x}" y="{y}" width="{width}" height="{height}" rx="14"/>'


def typed(y: int, text: str, style: str = "shell") -> str:
    """Return a line of the terminal."""
    return f'<text class="{style}" x="412" y="{y}">{text}</text>'


def play(film: Film) -> None:
    """Paint all that happens, in its order."""
    film.parts.append(typed(76, "$ python bot.py"))
    film.show(bubble("me", 176, 62, 168, 36) + '<text x="192" y="85">My name is Ada.</text>', 0.2)
    film.show(bubble("bot", 40, 110, 262, 60), 1.8)
    at = film.say(56, 134, "Nice to meet you, Ada. Shall I", 1.8)
    killed = at + 2 * WORD
    # The word before the kill and those after the restart stand in one line.
    before = f'<tspan class="{film.name_of(at)}">remember </tspan>'
    film.show(typed(104, "$ kill -9 4242"), killed - WORD)
    film.show(typed(126, "Killed", "shell red"), killed)
    film.show('<text class="small" x="56" y="190">the bot is dead</text>', killed, killed + 1.8)
    film.show(typed(154, "$ python bot.py"), killed + 1.8)
    at = film.say(56, 156, "that for you?", killed + 2.8, first=before) + 0.8
    asked = bubble("me", 164, 200, 180, 36) + '<text x="180" y="223">What is my name?</text>'
    film.show(asked, at)
    film.show(bubble("bot", 40, 248, 160, 36), at + 0.8)
    film.say(56, 271, "Your name is Ada.", at + 0.8)


def picture() -> str:
    """Return the SVG."""
    film = Film()
    play(film)
    body = "\n".join(film.parts)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 310" role="img"
  aria-label="A bot is killed in the middle of its answer, starts again, and finishes it.">
<style>{STYLE}  {film.rules()}
</style>
<rect class="card" x="20" y="10" width="348" height="290" rx="12"/>
<text class="small" x="40" y="36">Telegram</text>
<rect class="dark" x="390" y="10" width="310" height="290" rx="12"/>
<text class="shell" x="412" y="36">the server</text>
{body}
</svg>
"""


if __name__ == "__main__":
    (Path(__file__).parent / "restart.svg").write_text(picture())
