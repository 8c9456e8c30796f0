"""The merge tool knows physical kinds without importing the package that defines them."""

from geolangbind.sensors.channels import KINDS
from merge_weights import routes


def test_every_kind_of_a_route_exists_and_every_kind_but_none_is_covered() -> None:
    named = {kind for kinds in routes.KINDS.values() for kind in kinds}
    assert named == set(KINDS)
