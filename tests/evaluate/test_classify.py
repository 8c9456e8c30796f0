"""Labels, images, truth and windows of a user's rasters."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from geolangbind.data.rasters import open_raster, read_raster
from geolangbind.errors import DataError, SettingsError, UnitError
from geolangbind.evaluate.classify import classify, embed, find_images, parse_labels, read_truth

CLASSES = {"forest": ("forest",), "SeaLake": ("a sea", "a lake"), "river": ("a river",)}
TCI = {"sensor": "sentinel-2-tci", "bands": ["R", "G", "B"]}


def pixels(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(1, 255, (channels, height, width)).astype(np.uint8)


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("forest, solar farm", {"forest": ("forest",), "solar farm": ("solar farm",)}),
        ("a,b,,", {"a": ("a",), "b": ("b",)}),
        ("SeaLake=sea or lake|open water, River", {"SeaLake": ("sea or lake", "open water"), "River": ("River",)}),
        ("a=, b=x||y", {"a": ("a",), "b": ("x", "y")}),
    ],
)
def test_labels(text, classes):
    assert parse_labels(text) == classes


@pytest.mark.parametrize("text", ["", "forest", "forest, forest", "=sea, forest"])
def test_unusable_labels_are_refused(text):
    with pytest.raises(SettingsError, match="give at least two labels"):
        parse_labels(text)


def test_labels_of_a_card(tmp_path):
    from geolangbind.paths import cards_dir

    card = parse_labels(str(cards_dir() / "eurosat" / "card.yaml"))
    assert len(card) == 10 and card["SeaLake"] == ("a sea or lake", "open water")
    mine = tmp_path / "mine.yml"
    mine.write_text("classes: {Forest: forest, 2: [two]}")
    assert parse_labels(str(mine)) == {"Forest": ("forest",), "2": ("two",)}


@pytest.mark.parametrize("content", [None, "classes: [a, b]", "labels: {a: [b]}", "{", "classes: {a: null}", "- 1"])
def test_files_that_are_no_cards_are_refused(tmp_path, content):
    path = tmp_path / "card.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match="not a card with a mapping"):
        parse_labels(str(path))


def test_one_file_and_a_flat_folder(tmp_path, picture, tif):
    for name in ("b.png", "a.png"):
        picture(tmp_path / name, pixels(8, 8), "PNG")
    tif(tmp_path / "c.TIF", pixels(8, 8))
    (tmp_path / "readme.txt").write_text("no image")
    assert find_images(tmp_path / "b.png", {}) == [tmp_path / "b.png"]
    assert find_images(tmp_path, TCI) == [tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.TIF"]


def test_folders_of_classes(tmp_path, tif):
    for name in ("River", "Forest"):
        (tmp_path / name).mkdir()
        for number in range(2):
            tif(tmp_path / name / f"{name}_{number}.tif", pixels(8, 8))
    found = find_images(tmp_path, TCI)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "Forest/Forest_0.tif", "Forest/Forest_1.tif", "River/River_0.tif", "River/River_1.tif",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sensor", "bands", "options"),
    [
        ("sentinel-2-l2a", ["B02", "B03", "B04", "B08"], {"sensor": "sentinel-2-l2a", "offset": 0.0}),
        ("sentinel-2-l2a", ["B02", "B03", "B04", "B08"], {"sensor": "sentinel-2-l2a"}),
        ("sentinel-1-grd", ["VV", "VH"], {"sensor": "sentinel-1-grd", "unit": "sigma0_db"}),
        ("sentinel-1-grd", ["VV", "VH"], {"sensor": "sentinel-1-grd"}),
    ],
    ids=["optical", "optical, offset unsaid", "radar", "radar, unit unsaid"],
)
def test_a_folder_of_single_bands_is_one_image(tmp_path, tif, sensor, bands, options):
    scene = tmp_path / "scenes" / "one"
    scene.mkdir(parents=True)
    for band in bands:
        image = -pixels(8, 8, 1) / np.float32(10) if sensor == "sentinel-1-grd" else pixels(8, 8, 1).astype(np.uint16) * 20
        tif(scene / f"T31_2017_{band}.tif", image.astype(np.float32) if sensor == "sentinel-1-grd" else image)
    assert find_images(scene, options) == [scene]
    assert find_images(tmp_path, options) == [scene]
    if len(options) == 1:  # what is missing is asked for by the scene's name, not once per file
        with pytest.raises(UnitError, match=str(scene)):
            open_raster(scene, **options)


def test_envi_files_and_stac_items_are_one_image_each(tmp_path, tif):
    bands = {}
    for band in ("B02", "B03"):
        tif(tmp_path / f"T31_2017_{band}.tif", pixels(8, 8, 1).astype(np.uint16) * 20)
        bands[band] = {"href": f"T31_2017_{band}.tif", "type": "image/tiff", "roles": ["data"]}
    item = tmp_path / "item.json"
    item.write_text(json.dumps({"type": "Feature", "stac_version": "1.0.0", "id": "x", "properties": {}, "assets": bands}))
    (tmp_path / "labels.json").write_text('{"labels": ["forest"]}')
    other = tmp_path / "other"
    other.mkdir()
    envi = tif(other / "cube.dat", pixels(8, 8), driver="ENVI")
    (other / "lone.hdr").write_text("ENVI\n")
    (other / "gtopo.hdr").write_text("NROWS 8\n")
    picture = tif(tmp_path / "photo.tif", pixels(8, 8))
    found = [item, envi, other / "lone.hdr", picture]
    assert find_images(tmp_path, {"sensor": "sentinel-2-l2a", "offset": 0.0}) == sorted(found)
    assert find_images(item, {}) == [item]
    item.write_text(item.read_text().replace('"assets": {', '"assets": 3, "other": {'))
    assert item in find_images(tmp_path, {})  # damaged: opening it says how


def test_nothing_to_classify_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no image below it; readable are \.tif"):
        find_images(tmp_path, {})
    with pytest.raises(DataError, match="no such file or folder"):
        find_images(tmp_path / "gone", {})


def test_truth_by_folder_whatever_the_spelling():
    paths = [Path("x/Forest/1.tif"), Path("x/sea_lake/2.tif"), Path("x/RIVER/3.tif"), Path("x/Sea Lake/4.tif")]
    assert read_truth("folder", paths, CLASSES) == ["forest", "SeaLake", "river", "SeaLake"]


def test_truth_by_table(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_bytes("\ufefffile,class,note\n1.tif,Forest,\nb/2.tif,sea lake,\nc/2.tif,river,x\n".encode())
    paths = [Path("/d/a/1.tif"), Path("/d/b/2.tif"), Path("/d/c/2.tif")]
    assert read_truth(str(table), paths, CLASSES) == ["forest", "SeaLake", "river"]


def test_a_name_is_not_taken_for_the_end_of_another(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("file,class\n1.tif,forest\n11.tif,river\n")
    assert read_truth(str(table), [Path("x/11.tif"), Path("x/1.tif")], CLASSES) == ["river", "forest"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "needs columns 'file' and 'class'"),
        ("path,class\n1.tif,forest\n", "needs columns 'file' and 'class'"),
        ("file,class\n1.tif,harbour\n", "1 images have no class among the labels, first .*1.tif: 'harbour'"),
        ("file,class\n1.tif\n", "1 images have no class among the labels, first .*1.tif: ''"),
        ("file,class\n2.tif,forest\n,river\n", "first .*1.tif: ''.*Labels are forest, SeaLake, river"),
    ],
)
def test_truth_that_does_not_fit_is_refused(tmp_path, content, message):
    table = tmp_path / "labels.csv"
    if content is not None:
        table.write_text(content)
    with pytest.raises(DataError, match=message):
        read_truth(str(table), [Path("x/1.tif")], CLASSES)


def test_a_small_raster_is_one_guess(model, tmp_path, tif):
    (guess,) = classify(model, tif(tmp_path / "a.tif", pixels(64, 64)), CLASSES, TCI)
    assert guess.window is None and sum(guess.scores) == pytest.approx(1, abs=1e-5)
    assert guess.label == list(CLASSES)[int(np.argmax(guess.scores))] and guess.truth is None


def test_scores_are_the_softmax_of_scaled_cosines(model, tmp_path, tif):
    path = tif(tmp_path / "a.tif", pixels(64, 64))
    (guess,) = classify(model, path, CLASSES, TCI)
    vector = model.encode_image(pixels(64, 64), sensor="sentinel-2-tci", bands=["R", "G", "B"], unit="display_u8")
    prototypes = []
    for phrases in CLASSES.values():
        texts = model.encode_text(
            [f"{start} of {phrase}" for phrase in phrases for start in ("a satellite image", "an aerial image", "a satellite photo")]
        )
        prototypes.append(texts.mean(0) / texts.mean(0).norm())
    logits = model.towers.logit_scale.exp() * vector @ torch.stack(prototypes).T
    assert guess.scores == pytest.approx(logits[0].softmax(0).tolist(), abs=1e-5)


def test_windows_cover_a_large_raster(model, tmp_path, tif):
    path = tif(tmp_path / "a.tif", pixels(150, 200))
    guesses = list(classify(model, path, CLASSES, TCI))
    covered = np.zeros((150, 200), bool)
    for guess in guesses:
        column, row, width, height = guess.window
        assert (width, height) == (64, 64) and sum(guess.scores) == pytest.approx(1, abs=1e-5)
        covered[row : row + height, column : column + width] = True
    assert covered.all() and len(guesses) == 3 * 4
    # each window is classified as the same pixels alone would be
    column, row, width, height = guesses[5].window
    alone, _ = embed(model, read_raster(path, **TCI, window=guesses[5].window))
    whole = read_raster(path, **TCI).image[:, row : row + height, column : column + width]
    direct = model.encode_image(whole * 255, sensor="sentinel-2-tci", bands=["R", "G", "B"], unit="display_u8")
    torch.testing.assert_close(alone, direct, rtol=0, atol=1e-4)


def test_windows_of_a_size_of_ones_own(model, tmp_path, tif):
    path = tif(tmp_path / "a.tif", pixels(100, 100))
    assert len(list(classify(model, path, CLASSES, TCI, window_px=50))) == 4
    assert len(list(classify(model, path, CLASSES, TCI, window_px=100))) == 1


@pytest.mark.parametrize(("gsd_m", "window"), [(2.5, 256), (5.0, 128), (10.0, 64), (8.0, 80), (40.0, 64)])
def test_windows_cover_the_ground_of_training(model, tmp_path, tif, gsd_m, window):
    """64 pixels of 10 m: a finer raster takes more pixels for the same 640 m, a coarser one still takes 64."""
    path = tif(tmp_path / "a.tif", pixels(400, 400), pixel=gsd_m)
    guess = next(classify(model, path, CLASSES, TCI))
    assert guess.window == (0, 0, window, window)


def test_windows_without_data_are_left_out(model, tmp_path, tif):
    image = pixels(128, 128)
    image[:, :64, :64] = 0
    guesses = list(classify(model, tif(tmp_path / "a.tif", image, nodata=0), CLASSES, TCI))
    assert [guess.window[:2] for guess in guesses] == [(64, 0), (0, 64), (64, 64)]
    with pytest.raises(DataError, match=r"no .*valid pixel"):
        list(classify(model, tif(tmp_path / "b.tif", np.zeros_like(image), nodata=0), CLASSES, TCI))


def test_holes_do_not_shift_heights(model, tmp_path, tif):
    """Relief is height above the mean of the valid pixels: the number in a hole must not matter."""
    image = np.random.default_rng(0).normal(1500, 30, (1, 64, 64)).astype(np.float32)
    image[:, :20] = -9999
    options = {"sensor": "copernicus-dem"}
    vector, _ = embed(model, read_raster(tif(tmp_path / "a.tif", image, nodata=-9999), **options))
    image[image > 0] += 1000  # the same relief, a kilometre up
    higher, _ = embed(model, read_raster(tif(tmp_path / "b.tif", image, nodata=-9999), **options))
    torch.testing.assert_close(vector, higher, rtol=0, atol=1e-4)


def test_what_was_decided_is_noted(model, tmp_path, tif):
    path = tif(tmp_path / "a.tif", pixels(64, 64, 4).astype(np.uint16) * 20, names=["B02", "B03", "B04", "B08"])
    (guess,) = classify(model, path, CLASSES, {"sensor": "sentinel-2-l2a", "offset": 0.0})
    told = "; ".join(guess.notes)
    assert (
        guess.notes[0] == "sentinel-2-l2a B02, B03, B04, B08 in reflectance"
        and "curve over wavelength (sensor not seen in training)" in told
    )
    assert json.dumps(guess.notes)
