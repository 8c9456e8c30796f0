"""Captions of real annotations, read by a person and kept: a change of words or rules shows here, and needs a new version of its file."""

import json
import re

import numpy as np
import pytest
import rasterio

from geolangbind.captions import Facts, write_captions
from geolangbind.data.sample import Box

HIT_UAV = {"Person": "person", "Car": "car", "Bicycle": "bicycle", "OtherVehicle": "other vehicle"}
TERRAMESH = {
    1: "water",
    2: "trees",
    3: "flooded vegetation",
    4: "crops",
    5: "built area",
    6: "bare ground",
    7: "snow and ice",
    9: "rangeland",
}
ENMAP = {1: "roofs", 2: "pavement", 3: "low vegetation", 4: "trees", 5: "soil", 6: "water"}
NLCD = dict(enumerate(["water", "developed", "barren", "forest", "shrubland", "herbaceous", "cultivated", "wetlands"], start=1))


@pytest.fixture(scope="module")
def real(shared):
    return shared / "data" / "real"


def texts(rule, facts, key, count=2):
    return [caption.text for caption in write_captions(rule, facts, key, count)]


def mask_facts(path, words, modality, band=1):
    with rasterio.open(path) as file:
        mask = file.read(band).astype(np.uint8)
    return Facts(modality=modality, shape=mask.shape, mask=mask, mask_words=words)


def thermal(real):
    coco = json.loads((real / "thermal_hit_uav" / "annotations_coco.json").read_text(encoding="utf-8"))
    names = {category["id"]: category["name"] for category in coco["categories"]}
    for image in coco["images"]:
        found = [entry for entry in coco["annotations"] if entry["image_id"] == image["id"]]
        corners = [(names[entry["category_id"]], entry["bbox"]) for entry in found]
        boxes = tuple(Box((x, y, x + w, y + h), HIT_UAV.get(name, "")) for name, (x, y, w, h) in corners)
        yield image["filename"].removesuffix(".jpg"), Facts(modality="ir", shape=(512, 640), boxes=boxes)


def test_thermal_boxes(real):
    told = {name: texts("boxes", facts, name, 3) for name, facts in thermal(real)}
    assert told["0_100_30_0_03289"] == [
        "Two people and a car in an infrared image.",
        "There is a car in the upper left of this thermal infrared image.",
        "A thermal image of two people to the right of a car.",
    ]
    assert told["1_110_50_0_02614"] == [
        "A thermal image with 15 people and a bicycle.",
        "This infrared image shows a bicycle in the lower right.",
        "This thermal infrared image shows 15 people on the left.",
    ]
    assert told["1_60_90_0_04299"] == [
        "A thermal infrared image with seven cars.",
        "A thermal image with seven cars, four of them at the bottom.",
        "Seven cars in a thermal image.",
    ]


def test_thermal_counts_are_those_of_the_annotations(real, well_formed, count_of):
    for name, facts in thermal(real):
        for text in texts("boxes", facts, name, 12):
            well_formed(text)
            for number, kind in re.findall(r"(\w+) (person|people|cars?|bicycles?)\b", text):
                if not text.startswith(f"{number} of") and number not in ("the", "of"):
                    word = {"people": "person"}.get(kind, kind.removesuffix("s"))
                    assert count_of(number) == sum(box.text == word for box in facts.boxes), text


def test_land_cover_of_a_radar_image(real):
    folder = real / "coreg_s1_s2_dem_lulc_terramesh"
    assert texts("mask", mask_facts(folder / "282D_485L_3_3" / "LULC.tif", TERRAMESH, "sar"), "sar-282D", 4) == [
        "About half water, two fifths trees and a tenth bare ground in a radar image.",
        "The upper left quarter of this synthetic aperture radar image is mostly trees.",
        "The upper right quarter of this SAR image is mostly water.",
        "The lower right quarter of this radar image is mostly water.",
    ]
    assert texts("mask", mask_facts(folder / "637U_59R_1_3" / "LULC.tif", TERRAMESH, "dem"), "dem-637U", 3) == [
        "A height map of a place that is about nine tenths crops and a tenth rangeland.",
        "Nearly all of the trees in this elevation model are in the lower right quarter.",
        "Nearly all of the built area in this elevation map is in the upper half.",
    ]


def test_labels_of_a_part_of_a_hyperspectral_image(real):
    path = sorted((real / "hsi_enmap_potsdam" / "labels").iterdir())[0]
    assert texts("mask", mask_facts(path, ENMAP, "hsi"), path.stem, 3) == [
        "A hyperspectral scene of trees, low vegetation, pavement and soil.",
        "A hyperspectral image with trees in the lower right quarter.",
        "A hyperspectral scene with soil in the upper right quarter.",
    ]


def test_land_cover_of_zion(real):
    assert texts("mask", mask_facts(real / "dem_zion" / "nlcd.tif", NLCD, "dem"), "zion", 3) == [
        "About half forest, two fifths shrubland and a tenth barren land in a height map.",
        "An elevation model whose upper half is mostly forest.",
        "An elevation map whose upper right quarter is mostly forest.",
    ]


def test_many_labels(real):
    path = sorted((real / "coreg_s1_s2_bigearthnet").glob("S2B*/S2B*labels_metadata.json"))[0]
    labels = tuple(json.loads(path.read_text(encoding="utf-8"))["labels"])
    facts = Facts(modality="msi", carrier="satellite", shape=(120, 120), classes=labels)
    assert texts("labels", facts, "msi-S2B", 2) == [
        "This multispectral image shows coniferous forest, mixed forest, transitional woodland/shrub, peatbogs and water bodies.",
        "A multispectral satellite image with coniferous forest, mixed forest, transitional woodland/shrub, peatbogs and water bodies.",
    ]
