"""English checked from outside: what no caption may look like."""

import re

import pytest

WRONG_ARTICLE = re.compile(r"\b[Aa] (?!uni|eu|one\b|use|ura|uti)[aeiouAEIOU]|\b[Aa]n (?!hour|honest|heir|8|11|18)[^aeiouAEIOU]")


@pytest.fixture(scope="session")
def well_formed():
    """One sentence: capital or digit first, full stop last, single blanks, right articles, no slot left over."""

    def check(text):
        assert text and text == " ".join(text.split()), text
        assert text.endswith(".") and not text.endswith(".."), text
        assert not text[0].islower(), text
        assert not set(text) & set("{}"), text
        assert not WRONG_ARTICLE.search(text), text
        assert not re.search(r"\b(\w+) \1\b", text), f"a word twice: {text}"

    return check


@pytest.fixture(scope="session")
def count_of():
    """`count_of("Three", ...)`: the number that a word or digits say."""
    words = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

    def parse(word):
        lower = word.lower()
        return 1 if lower in ("a", "an") else words.index(lower) if lower in words else int(word)

    return parse
