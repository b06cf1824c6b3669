"""Convert a window to the shape of each provider's API and back: `to_shape`, `from_shape`."""

from ._anthropic import AnthropicWindow
from ._common import Messages, Shape
from ._convert import from_shape, to_shape
from ._google import GoogleWindow

__all__ = ["AnthropicWindow", "GoogleWindow", "Messages", "Shape", "from_shape", "to_shape"]
