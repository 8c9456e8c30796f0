"""Failures a user can cause. Each message says what, where, and the way out; commands print it as one line.

`SystemExit` codes: 2 for unusable arguments or settings, 1 for everything else.
"""


class GeoLangBindError(Exception):
    """Base of every failure that is the input's fault and not a bug."""

    exit_code = 1


class SettingsError(GeoLangBindError):
    """An option or configuration value is unknown, missing or impossible."""

    exit_code = 2


class SensorError(GeoLangBindError):
    """A sensor, band or wavelength is unknown, missing or ambiguous."""


class UnitError(GeoLangBindError):
    """Pixel values have no known unit, or one that the model was never taught."""


class DataError(GeoLangBindError):
    """A raster, shard or sample cannot be used as it is."""


class NoValidPixelError(DataError):
    """An image, or a window of it, holds no data at all."""


class CheckpointError(GeoLangBindError):
    """A model folder or weights file is missing, incomplete or of another architecture."""
