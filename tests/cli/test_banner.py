import shlex

import click

from agentrt.cli import banner


def test_the_banner_says_where_which_model_and_why_and_gives_a_line_to_paste():
    text = click.unstyle(
        banner(
            url="http://127.0.0.1:8080",
            agent="default",
            model="offline/offline",
            why="nothing else is configured",
            data_dir="/data",
            skipped=["openai/gpt: openai is not configured: set OPENAI_API_KEY"],
            warnings=["anyone can reach this"],
        )
    )
    assert "agentrt listens on http://127.0.0.1:8080" in text
    assert "default uses offline/offline: nothing else is configured" in text
    assert "not openai/gpt: openai is not configured: set OPENAI_API_KEY" in text
    assert "warning anyone can reach this" in text
    curl = next(line for line in text.splitlines() if line.strip().startswith("curl"))
    assert shlex.split(curl)[:2] == ["curl", "http://127.0.0.1:8080/v1/chat/completions"]
