import pytest
from accelerate.state import AcceleratorState


@pytest.fixture
def other_precision():
    """Let a training choose its precision: accelerate keeps the first one of a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
