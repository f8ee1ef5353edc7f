import pytest

from panoptic_ros.synthetic import check_rendering

SIZE = (128, 256)


@pytest.fixture(scope="session")
def make_town():
    """Return a function that builds the town of a seed (and setting), once per session."""
    try:
        check_rendering()
    except OSError as error:
        pytest.skip(str(error))
    from panoptic_ros.synthetic.world import World

    towns = {}

    def make(seed, setting="town"):
        key = seed, setting
        if key not in towns:
            towns[key] = World(seed, SIZE, setting=setting)
        return towns[key]

    yield make
    for town in towns.values():
        town.close()
