"""The page in Chromium: nothing on the console, no request, nothing wider than the screen."""

from pathlib import Path

WIDTHS = (390, 1280)


def test_the_page_fits_both_widths_and_asks_for_nothing(page: str, tmp_path: Path, browse) -> None:
    found, console = browse(tmp_path, page)
    assert console == []
    for width in WIDTHS:
        measured = found[str(width)]
        assert measured["wide"] == []
        assert measured["scroll"] <= width
        assert measured["seen"] > 3000


def test_this_test_sees_a_request_and_an_overflow(page: str, tmp_path: Path, browse) -> None:
    planted = '<p style="width:800px">wide</p><img src="https://example.org/a.png" alt="">'
    found, console = browse(tmp_path, page.replace("<main>", f"<main>{planted}"))
    assert any("example.org" in line and "Content Security Policy" in line for line in console)
    assert found["390"]["scroll"] > 390 and found["390"]["wide"]
    assert not found["1280"]["wide"]
