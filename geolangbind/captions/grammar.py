"""English: articles, plurals, numbers, lists."""

from __future__ import annotations

import re
from collections.abc import Sequence

from geolangbind.captions.templates import load_words

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_DETERMINERS = frozenset({"a", "an", "the", "one", "some", "several", "many", "few", "two", "three", "this", "these", "no", "all"})
_LIST_LIMIT = 5
_CAPITALISED = re.compile(r"[^\W\d_a-z][^A-Z/-]*([/-]\w[^A-Z/-]*)*")  # "Forest", "Shrub/Scrub", but not "UAV"
# written with a vowel, spoken with a consonant ("a unit", "a one-way road"), and the other way round
_CONSONANT_SOUND = re.compile(r"(uni(?!n|m)|uti|use|usu|ura|eu|ewe|one\b|once\b|ua|u-)", re.IGNORECASE)
_VOWEL_SOUND = re.compile(r"([aeio]|u|hour|honest|heir|8|11\b|18\b)", re.IGNORECASE)
_SPELLED = re.compile(r"[FHLMNRSX]([B-DF-HJ-NP-TV-Z][A-Z]*)?\b")  # abbreviations that are spelled out: "an NDVI", but "a SAR"


def number(count: int) -> str:
    """Words below ten, digits from there on."""
    return _NUMBERS[count] if 0 <= count < len(_NUMBERS) else str(count)


def noun(words: str, unsaid: str = "area") -> str:
    """A class name as a noun in running text: "Dense_Residential" becomes "dense residential area".

    Args:
        words: the name. Capitals are taken for those of a heading: all words with one lose it, else the first does.
        unsaid: the noun that an adjective on its own belongs to.

    Returns:
        The noun; nothing for names that say nothing, such as "other" and "background".
    """
    known = load_words()
    parts = words.replace("_", " ").replace("&", "and").strip(" .,;").split()
    heading = all(part[:1].isupper() or part == "and" for part in parts)
    parts = [part.lower() if (heading or place == 0) and _CAPITALISED.fullmatch(part) else part for place, part in enumerate(parts)]
    text = " ".join((*parts, unsaid) if parts and parts[-1] in known.adjectives else parts)
    return "" if text in known.no_class else text


def is_plural(words: str) -> bool:
    """Whether "are" follows."""
    return " and " in words or _ends_plural(_head(words))


def is_mass(words: str) -> bool:
    """Whether the noun has neither article nor plural."""
    return _head(words) in load_words().mass


def are(words: str) -> str:
    """The verb that follows."""
    return "are" if is_plural(words) else "is"


def article(words: str) -> str:
    """Return `words` behind "a" or "an"."""
    vowel = _SPELLED.match(words) or (_VOWEL_SOUND.match(words) and not _CONSONANT_SOUND.match(words))
    return f"{'an' if vowel else 'a'} {words}"


def some(words: str) -> str:
    """Return the noun as one says it of one thing or stuff: "a ship", "an airport", "water", "ships"."""
    return words if _determined(words) or is_mass(words) or is_plural(words) else article(words)


def bare(words: str) -> str:
    """Return the noun without "a" or "an"."""
    first, _, rest = words.partition(" ")
    return rest if rest and first in ("a", "an") else words


def counted(count: int, words: str) -> str:
    """Return "a ship", "three ships", "12 ships"; of what cannot be counted, "two areas of water" and "two groups of ships"."""
    if count == 1:
        return some(words)
    plain = words.split(" ", maxsplit=1)[1] if _determined(words) and " " in words else words
    if is_mass(plain):
        return f"{number(count)} areas of {plain}"
    return f"{number(count)} groups of {plain}" if is_plural(plain) else f"{number(count)} {plural(plain)}"


def plural(words: str) -> str:
    """Return the plural of a noun, whatever describes it: "port" and "port of call" give "ports" and "ports of call"."""
    before, head, after = _split(words)
    sides = re.split(r"( or )", before)  # "highway or road", but "industrial or commercial unit"
    adjectives = load_words().adjectives
    sides[:-1] = [side if side == " or " or side.rsplit(" ", maxsplit=1)[-1] in adjectives else _plural(side) for side in sides[:-1]]
    return "".join((*sides, _plural(head), after))


def listing(items: Sequence[str], limit: int = _LIST_LIMIT) -> str:
    """Return "a", "a and b", "a, b and c"; above `limit` items the first ones "and more". Semicolons part items with commas."""
    told = [*items[:limit], "more"] if len(items) > limit else list(items)
    if len(told) == 1:
        return told[0]
    if len(told) > 2 and any("," in item for item in told):
        return f"{'; '.join(told[:-1])}; and {told[-1]}"
    return f"{', '.join(told[:-1])} and {told[-1]}"


def sentence(text: str) -> str:
    """Return `text` with a capital first letter."""
    return text[:1].upper() + text[1:]


def _split(words: str) -> tuple[str, str, str]:
    """What stands before the noun itself, the noun, what describes it."""
    parts = words.split(" ")
    stops = load_words().after_head
    end = next((i for i, part in enumerate(parts) if i > 0 and part.strip(",").lower() in stops), len(parts))
    before, after = " ".join(parts[: end - 1]), " ".join(parts[end:])
    return f"{before} " if before else "", parts[end - 1], f" {after}" if after else ""


def _head(words: str) -> str:
    return re.split(r"[/-]", _split(words)[1].strip(",;"))[-1].lower()


def _determined(words: str) -> bool:
    return words.split(" ", maxsplit=1)[0].lower() in _DETERMINERS


def _ends_plural(word: str) -> bool:
    known = load_words()
    if word in known.plurals.values():
        return word not in known.plurals  # "aircraft" is one aircraft, unless it is counted
    return word.endswith("s") and not word.endswith(("ss", "us", "is")) and word not in known.singular_in_s


def _plural(word: str) -> str:
    known = load_words()
    begin, _, last = word.rpartition(" ")
    begin = f"{begin} " if begin else ""
    if last.lower() in known.plurals:
        return begin + known.plurals[last.lower()]
    if last.endswith(("s", "x", "z", "ch", "sh")):
        return f"{begin}{last}es"
    if last.endswith("y") and last[-2:-1] not in "aeiou":
        return f"{begin}{last[:-1]}ies"
    return f"{begin}{last}s"
