"""What released checkpoints take as input. They were trained on 8-bit numbers; how other units became those was never published."""

from __future__ import annotations

from geolangbind.sensors.channels import KINDS
from geolangbind.statistics import KindStatistics, Statistics

_PICTURE = (0.0, 1.0)
_ASSUMED = {
    "reflectance_toa": (0.0, 0.3),
    "reflectance_surface": (0.0, 0.3),
    **{kind: (-32.0, -7.0) if "_vh_" in kind or "_hv_" in kind else (-25.0, 0.0) for kind in KINDS if kind.endswith("_c")},
}
"""Black and white per physical kind, in canonical units: near the stretch of public true-colour and Sentinel-1 quick-look products."""


def published_statistics(kinds: bool) -> Statistics:
    """Statistics of an imported model: every input from black to white becomes -1 to 1, as (x - 0.5) / 0.5 of 8-bit pictures does.

    Args:
        kinds: the model will learn physical kinds (a SigLIP start). Then only pictures are covered, and training measures the rest; a
            released wavelengths-only model gets assumed ranges for reflectance and C-band radar too.
    """
    ranges = {"display": _PICTURE} if kinds else {"display": _PICTURE, **_ASSUMED}
    rows = {kind: ((high + low) / 2, (high - low) / 2) for kind, (low, high) in ranges.items()}
    return Statistics({kind: KindStatistics("identity", (0.0,), (middle,), (half,)) for kind, (middle, half) in rows.items()})


def assumptions(kinds: bool) -> list[str]:
    """What `published_statistics` took for granted, for the record and the model card."""
    if kinds:
        return []
    return [
        "reflectance 0 to 0.3 and C-band backscatter -25 to 0 dB (cross-polarised -32 to -7) are taken for black to white: "
        "the published checkpoints do not say how such values became 8-bit numbers",
        "radar channels are given as wavelength 5.405, Sentinel-1's frequency in GHz, as DOFA's examples do",
    ]
