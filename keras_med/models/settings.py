"""The types of the settings that builders share."""

from typing import Literal

Frozen = bool | str
Pooling = Literal["average", "maximum", "none"]
TransformerSize = Literal["tiny", "small", "base"]
