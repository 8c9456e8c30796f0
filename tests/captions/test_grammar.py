import pytest

from geolangbind.captions.grammar import are, article, bare, counted, is_plural, listing, noun, number, plural, sentence, some


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("car", "a car"),
        ("airport", "an airport"),
        ("urban area", "an urban area"),
        ("unit", "a unit"),
        ("uninhabited island", "an uninhabited island"),
        ("one-way road", "a one-way road"),
        ("European town", "a European town"),
        ("hour glass", "an hour glass"),
        ("SAR image", "a SAR image"),
        ("NDVI map", "an NDVI map"),
        ("8-storey house", "an 8-storey house"),
        ("18 m tower", "an 18 m tower"),
        ("80 m tower", "an 80 m tower"),
        ("12 m tower", "a 12 m tower"),
        ("elevation model", "an elevation model"),
    ],
)
def test_article(words, expected):
    assert article(words) == expected


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("car", "cars"),
        ("person", "people"),
        ("bus", "buses"),
        ("church", "churches"),
        ("overpass", "overpasses"),
        ("factory", "factories"),
        ("quay", "quays"),
        ("aircraft", "aircraft"),
        ("wharf", "wharves"),
        ("ship with containers", "ships with containers"),
        ("large vehicle parked on grass", "large vehicles parked on grass"),
        ("place of worship", "places of worship"),
        ("highway or road", "highways or roads"),
        ("industrial or commercial unit", "industrial or commercial units"),
        ("ground track field", "ground track fields"),
    ],
)
def test_plural(one, many):
    assert plural(one) == many
    assert counted(3, one) == f"three {many}"
    assert counted(12, one) == f"12 {many}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Dense_Residential", "dense residential area"),
        ("Mixed forest", "mixed forest"),
        ("Non-irrigated arable land", "non-irrigated arable land"),
        ("Other Vehicle", "other vehicle"),
        ("UAV", "UAV"),
        ("The large ship at the quay.", "the large ship at the quay"),
        ("  bare   ground ", "bare ground"),
        ("", ""),
        ("herbaceous", "herbaceous area"),
        ("compact high-rise", "compact high-rise area"),
        ("Perennial Ice/Snow", "perennial ice/snow"),
        ("Waves & Wakes", "waves and wakes"),
        ("Other", ""),
        ("background", ""),
    ],
)
def test_noun(name, expected):
    assert noun(name) == expected


def test_an_adjective_belongs_to_land_on_a_map():
    assert noun("cultivated", unsaid="land") == "cultivated land"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("forest", "forest"),
        ("dense trees", "dense trees"),
        ("annual crop", "annual crop"),
        ("stadium", "a stadium"),
        ("bridge over a river", "a bridge over a river"),
        ("an airport", "an airport"),
        ("the largest ship", "the largest ship"),
        ("land principally occupied by agriculture", "land principally occupied by agriculture"),
        ("transitional woodland/shrub", "transitional woodland/shrub"),
        ("sea and ocean", "sea and ocean"),
        ("aircraft", "an aircraft"),
        ("people", "people"),
        ("crossroads", "a crossroads"),
        ("tennis", "a tennis"),
    ],
)
def test_some(words, expected):
    assert some(words) == expected


def test_what_cannot_be_counted_is_counted_by_group():
    assert counted(1, "water") == "water"
    assert counted(2, "water") == "two areas of water"
    assert counted(1, "ships") == "ships"
    assert counted(4, "ships") == "four groups of ships"
    assert counted(2, "the large ship") == "two large ships"


def test_verbs_agree():
    assert [are(words) for words in ("trees", "forest", "bus", "people", "moors and heathland", "aircraft", "bodies of water")] == [
        "are", "is", "is", "are", "are", "is", "are",
    ]  # fmt: skip
    assert is_plural("ships with a crane") and not is_plural("ship with cranes")


def test_bare_takes_only_the_indefinite_article():
    assert [bare(words) for words in ("a car", "an airport", "the car", "a", "area")] == ["car", "airport", "the car", "a", "area"]


def test_numbers_are_words_below_ten():
    assert [number(count) for count in (0, 1, 9, 10, 125)] == ["no", "one", "nine", "10", "125"]


def test_lists():
    assert listing(["a"]) == "a"
    assert listing(["a", "b"]) == "a and b"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert listing(["a", "b, with x", "c"]) == "a; b, with x; and c"
    assert listing(["a", "b, with x"]) == "a and b, with x"
    assert listing(list("abcdefg")) == "a, b, c, d, e and more"
    assert listing(list("abc"), limit=2) == "a, b and more"


def test_sentence_keeps_the_other_capitals():
    assert sentence("a SAR image of Berlin.") == "A SAR image of Berlin."
    assert sentence("") == ""
