import msgspec


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one or more model calls. `input` includes what was read from a cache (`cached`), what was written to one
    (`cache_write`), sound and images; `output` includes reasoning, sound and images."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    cache_write: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_output: int = 0
    estimated: bool = False

    @property
    def total(self) -> int:
        return self.input + self.output

    @property
    def cache_hit_ratio(self) -> float | None:
        """The share of the input that was read from a cache; None where there was no input."""
        return round(self.cached / self.input, 4) if self.input else None

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cached + other.cached,
            self.reasoning + other.reasoning,
            self.cache_write + other.cache_write,
            self.audio_input + other.audio_input,
            self.audio_output + other.audio_output,
            self.image_input + other.image_input,
            self.image_output + other.image_output,
            self.estimated or other.estimated,
        )
