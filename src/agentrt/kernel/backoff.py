import random


def delay(attempt: int, *, base: float = 0.5, most: float = 30.0) -> float:
    """Seconds to wait before attempt `attempt` + 1 (the first is 1): exponential with full jitter in its upper half."""
    ceiling = min(most, base * 2 ** min(attempt - 1, 60))
    return ceiling * (0.5 + random.random() / 2)
