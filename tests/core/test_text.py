"""What may be shown of a text from elsewhere."""

import sys
import unicodedata

import pytest

from foedus.core.text import hidden, visible

BLANK = (0x115F, 0x1160, 0x3164, 0xFFA0)


def test_whatever_unicode_has_for_control_and_format_is_an_escape():
    """Against Python's own tables, in which newer formats may be that this list lacks; there are none by now."""
    for code in range(sys.maxunicode + 1):
        c = chr(code)
        acts = unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        # Format characters that have a shape of their own, in scripts that few read: Egyptian and music.
        shaped = 0x13430 <= code <= 0x1343F or 0x1BCA0 <= code <= 0x1D17A or code in (0x110BD, 0x110CD)
        if acts and not shaped:
            shown = visible(f"a{c}b")
            assert shown.isprintable(), hex(code)
            assert shown.isascii(), hex(code)
        elif c.isprintable() and unicodedata.category(c) != "Cf" and code not in BLANK:
            assert visible(c) == c, hex(code)


@pytest.mark.parametrize(
    "text",
    [
        "plain, with 'quotes' and \\ backslashes",
        "Zürich, Malmö, 東京, Αθήνα, القاهرة, ירושלים, हिन्दी",
        "می\u200cخواهم",  # Persian joins by a letter without a width
        "क्\u200dष",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f",
        "e\u0301",
    ],
)
def test_names_in_any_script_stay_what_they_are(text):
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31m\x07\x7f", "\\x9b31m\\x07\\x7f"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\u202egpj.exe\u2066", "\\u202egpj.exe\\u2066"),
        ("hos\u200bpital\u200d", "hos\\u200bpital\\u200d"),
        ("\ufeffid\u2028", "\\ufeffid\\u2028"),
        ("caf\udce9 \ud800", "caf\\xe9 \\ud800"),
        ("\u3164", "\\u3164"),
        ("x\U000e0041", "x\\U000e0041"),
        ("\u200d", "\\u200d"),
    ],
)
def test_what_acts_or_hides_is_an_escape(text, shown):
    assert visible(text) == shown
    assert visible(shown) == shown
    assert hidden(shown) == []


def test_lines_may_stay():
    assert visible("a\nb\x1b", lines=True) == "a\nb\\x1b"
