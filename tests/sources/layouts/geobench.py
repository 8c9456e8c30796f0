"""A tiny GEO-Bench dataset: one HDF5 file per sample, partitions, label files."""

import datetime
import json
import pickle

import h5py


class BandInfo:
    """Stands for geobench.dataset's classes, whose objects lie in the pickle; reading must not need or make them."""

    def __init__(self, name):
        self.name, self.alt_names, self.spatial_resolution = name, ("x",), 10.0


def sample(folder, name, bands, label=None, *, mask=None, label_first=True):
    """Write a file as GEO-Bench 1.0 does: arrays by name, everything else in one pickled attribute."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {} if label is None or not label_first else {"label": label}
    with h5py.File(folder / f"{name}.hdf5", "w") as file:
        for band, array in {**bands, **({} if mask is None else {"label_2018-01-01": mask})}.items():
            file.create_dataset(band, data=array)
            told[band] = {
                "date": datetime.date(2018, 1, 1),
                "date_id": None,
                "spatial_resolution": 0.5,
                "band_info": BandInfo(band),
                "meta_info": {"clouds": [1, 2], "composite": False},
                "transform": None,
                "crs": None,
            }
        told["bands_order"] = list(bands)
        if label is not None and not label_first:
            told["label"] = label
        file.attrs["pickle"] = str(pickle.dumps(told, protocol=4))


def partition(folder, name="default", **splits):
    (folder / f"{name}_partition.json").write_text(json.dumps(splits))
    (folder / "task_specs.pkl").write_bytes(b"\x80\x04never read")
