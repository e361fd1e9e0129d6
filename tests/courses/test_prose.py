"""Course text as HTML."""

from courses import prose


def test_what_scrolls_sideways_can_be_reached_with_the_keyboard():
    html = prose.html("| a | b |\n| - | - |\n| 1 | 2 |\n\n    code\n")

    assert '<table tabindex="0">' in html
    assert '<pre tabindex="0">' in html
