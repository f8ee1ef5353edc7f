import pytest

from panoptic_ros.synthetic import check_rendering

SIZE = (128, 256)


@pytest.fixture(scope="session")
def make_town():
    """Return a function that builds the town of a seed, once per session."""
    try:
        check_rendering()
    except OSError as error:
        pytest.skip(str(error))
    from panoptic_ros.synthetic.world import World

    towns = {}

    def make(seed):
        if seed not in towns:
            towns[seed] = World(seed, SIZE)
        return towns[seed]

    yield make
    for town in towns.values():
        town.close()
