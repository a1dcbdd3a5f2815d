"""Settings of property tests that must take fewer examples than hypothesis's 100."""

from hypothesis import settings


def examples(count: int) -> settings:
    """Returns settings with `count` examples, scaled by the profile of conftest.py."""
    return settings(max_examples=count * settings().max_examples // 100)
