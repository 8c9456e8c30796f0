"""Tiny datasets on disk, laid out as the classes of torchgeo.datasets expect them. Each builder returns what it wrote.

Sizes are odd and differ between samples, values are random, so that a transposed, resized or rounded image shows.
"""

import csv
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin

COLOURS = ((255, 0, 0), (255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0))
_random = np.random.default_rng(7)


def tif(path, channels, shape, dtype="uint16", crs="EPSG:32631", origin=(600000, 5000000), pixel=10, values=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    if values is None:
        values = (
            _random.normal(-12, 5, (channels, *shape))
            if dtype == "float32"
            else _random.integers(1, 250, (channels, *shape)) * (40 if dtype == "uint16" else 1)
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="GTiff", count=channels, height=shape[0], width=shape[1], dtype=dtype, crs=crs,
            transform=from_origin(*origin, pixel, pixel),
        ) as file:  # fmt: skip
            file.write(np.asarray(values, dtype))
    return path


def picture(path, shape=(7, 5), values=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(_random.integers(0, 256, (*shape, 3), dtype=np.uint8) if values is None else values).save(path)
    return path


def lines(path, *names):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))


def eurosat(root, prefix="eurosat"):
    """Three samples in two classes; no River in train, nothing but a Forest in val; lists say .jpg."""
    folder = root / "ds" / "images" / "remote_sensing" / "otherDatasets" / "sentinel_2" / "tif"
    for name in ("Forest_1", "Forest_2", "River_1"):
        tif(folder / name.split("_")[0] / f"{name}.tif", 13, (5, 7))
    for split, name in (("train", "Forest_1"), ("val", "Forest_2"), ("test", "River_1")):
        lines(root / f"{prefix}-{split}.txt", f"{name}.jpg")
    return folder


def resisc45(root):
    folder = root / "NWPU-RESISC45"
    for name in ("airplane_001", "airplane_002", "sea_ice_001"):
        picture(folder / name[:-4] / f"{name}.jpg")
    lines(root / "resisc45-train.txt", "airplane_001.jpg")
    lines(root / "resisc45-test.txt", "sea_ice_001.jpg", "airplane_002.jpg")
    return folder


def ucmerced(root):
    folder = root / "UCMerced_LandUse" / "Images"
    tif(folder / "beach" / "beach00.tif", 3, (9, 6), "uint8", crs=None)
    lines(root / "uc_merced-test.txt", "beach00.tif")
    return folder


def patternnet(root):
    folder = root / "PatternNet" / "images"
    for name in ("harbor", "river"):
        picture(folder / name / f"{name}001.jpg")
    return folder


def million_aid(root):
    picture(root / "train" / "agriculture_land" / "grassland" / "meadow" / "P0000001.jpg")
    picture(root / "train" / "water_area" / "beach" / "P0000002.jpg")
    return root / "train"


def skyscript(root):
    for number in range(2, 8):
        (root / f"images{number}").mkdir(parents=True)
    picture(root / "images2" / "a1.jpg")
    picture(root / "images7" / "a2.jpg", (4, 9))
    rows = [("filepath", "title"), ("images2/a1.jpg", 'a "red" roof, near a river'), ("images7/a2.jpg", "a field")]
    with (root / "SkyScript_val_5K_filtered_by_CLIP_openai.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root


def mmflood(root):
    table = {"EMSR107": {"subset": "train"}, "EMSR200": {"subset": "test"}}
    (root / "activations.json").parent.mkdir(parents=True, exist_ok=True)
    (root / "activations.json").write_text(json.dumps(table))
    for number, code in enumerate(table):
        folder = root / "activations" / f"{code}-1"
        place = {"crs": "EPSG:4326", "origin": (10 + number, 45), "pixel": 0.001, "shape": (6 + number, 8)}
        tif(folder / "s1_raw" / f"{code}-1-0.tif", 2, dtype="float32", **place)
        tif(folder / "mask" / f"{code}-1-0.tif", 1, dtype="uint8", values=np.eye(6 + number, 8)[None], **place)
    return root / "activations"


S2_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
PIXELS = {"B01": 2, "B09": 2, **dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12"), 6)}


def patch(folder, bands, dtype):
    for band in bands:
        side = PIXELS.get(band, 12)
        tif(folder / f"{folder.name}_{band}.tif", 1, (side, side), dtype, pixel=120 // side)


def bigearthnet(root):
    """One pair of patches; `8_12` in the name must not be taken for bands."""
    s1, s2 = "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_8_12", "S2A_MSIL2A_20170613T101031_8_12"
    patch(root / "BigEarthNet-v1.0" / s2, S2_BANDS, "uint16")
    patch(root / "BigEarthNet-S1-v1.0" / s1, ("VV", "VH"), "float32")
    labels = ["Pastures", "Continuous urban fabric", "Discontinuous urban fabric", "Airports"]
    (root / "BigEarthNet-v1.0" / s2 / f"{s2}_labels_metadata.json").write_text(json.dumps({"labels": labels}))
    (root / "BigEarthNet-S1-v1.0" / s1 / f"{s1}_labels_metadata.json").write_text(json.dumps({"labels": labels}))
    lines(root / "bigearthnet-train.csv", f"{s2},{s1}")
    lines(root / "bigearthnet-val.csv")
    lines(root / "bigearthnet-test.csv")
    return s1, s2


def bigearthnet_v2(root):
    s1, s2 = "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_26_57", "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57"
    patch(root / "BigEarthNet-S2" / "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP" / s2, S2_BANDS, "uint16")
    patch(root / "BigEarthNet-S1" / "S1A_IW_GRDH_1SDV_20170613T165043" / s1, ("VV", "VH"), "float32")
    (root / "Reference_Maps").mkdir()
    row = {"patch_id": s2, "s1_name": s1, "labels": ["Arable land", "Marine waters"], "split": "validation"}
    pd.DataFrame([row]).to_parquet(root / "metadata.parquet")
    return s1, s2


def so2sat(root, name="testing.h5", samples=2):
    import h5py

    root.mkdir(parents=True, exist_ok=True)
    with h5py.File(root / name, "w") as file:
        file["sen1"] = _random.normal(size=(samples, 32, 32, 8))
        file["sen2"] = _random.integers(0, 28000, (samples, 32, 32, 10)) / 10000
        file["label"] = np.eye(17)[[16, 2][:samples]]
    return root / name


def isprs(root, dataset):
    image, mask, channels = {
        "Potsdam2D": ("4_Ortho_RGBIR/top_potsdam_2_10_RGBIR.tif", "top_potsdam_2_10_label.tif", 4),
        "Vaihingen2D": ("top/top_mosaic_09cm_area1.tif", "top_mosaic_09cm_area1.tif", 3),
    }[dataset]
    tif(root / image, channels, (6, 9), "uint8", crs=None)
    classes = np.arange(54).reshape(6, 9) % 6
    tif(root / mask, 3, (6, 9), "uint8", crs=None, values=np.array(COLOURS)[classes].transpose(2, 0, 1))
    return root / image, classes


def loveda(root):
    picture(root / "Train" / "Urban" / "images_png" / "1366.png")
    classes = (np.arange(35) % 8).astype(np.uint8).reshape(7, 5)
    picture(root / "Train" / "Urban" / "masks_png" / "1366.png", values=classes)
    picture(root / "Train" / "Rural" / "images_png" / "0.png")
    picture(root / "Train" / "Rural" / "masks_png" / "0.png", values=classes)
    for scene in ("Urban", "Rural"):
        picture(root / "Test" / scene / "images_png" / f"5{len(scene)}{scene[0]}.png")
    return root / "Train", classes


def dior(root):
    picture(root / "Images_trainval" / "00001.jpg", (40, 50))
    picture(root / "Images_test" / "11726.jpg")
    (root / "Annotations_trainval").mkdir()
    (root / "Annotations_trainval" / "00001.xml").write_text(
        "<annotation><filename>00001.jpg</filename><size><width>50</width><height>40</height><depth>3</depth></size>"
        "<object><name>ship</name><bndbox><xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>9</ymax></bndbox></object></annotation>"
    )
    pd.DataFrame(
        [
            {"image_path": "Images_trainval/00001.jpg", "label_path": "Annotations_trainval/00001.xml", "split": "train"},
            {"image_path": "Images_test/11726.jpg", "label_path": None, "split": "test"},
        ]
    ).to_csv(root / "sample_df.csv", index=False)
    return root


def stored(path: Path, bands=None):
    """What rasterio reads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            return file.read(bands)
