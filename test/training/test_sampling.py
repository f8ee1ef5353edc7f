import pickle

import numpy as np
import pytest

from panoptic_ros.training.sampling import Order, repeat_factors


def test_repeat_factors_of_lvis():
    # Class 0 is in every frame, class 1 in one of four: r = sqrt(0.5 / 0.25).
    presence = np.array([[1, 0], [1, 0], [1, 1], [1, 0]], bool)
    expected = [1, 1, np.sqrt(2), 1]
    assert repeat_factors(presence, threshold=0.5) == pytest.approx(expected)


def test_repeat_factors_of_a_class_that_never_occurs():
    assert repeat_factors(np.zeros((3, 2), bool), threshold=0.5).tolist() == [1, 1, 1]


def test_equal_weights_give_every_index_once_per_epoch_in_another_order():
    order = Order(np.ones(10), seed=3)
    epochs = [[order[10 * e + i] for i in range(10)] for e in range(3)]
    assert all(sorted(e) == list(range(10)) for e in epochs)
    assert epochs[0] != epochs[1]


def test_weights_are_kept_to_within_one_per_epoch():
    weights = np.array([1.0, 1.0, 2.5, 1.0, 4.5])
    order = Order(weights, seed=0)
    counts = np.bincount([order[i] for i in range(5)], minlength=5)
    assert np.all(np.abs(counts - 5 * weights / weights.sum()) < 1)
    many = np.bincount([order[i] for i in range(5000)], minlength=5)
    assert many / 5000 == pytest.approx(weights / weights.sum(), abs=0.02)


def test_order_depends_on_seed_and_sample_alone():
    order, again = Order(np.ones(50), seed=1), Order(np.ones(50), seed=1)
    forward = [order[i] for i in range(120)]
    assert [again[i] for i in reversed(range(120))] == forward[::-1]
    assert [Order(np.ones(50), seed=2)[i] for i in range(120)] != forward


def test_order_travels_to_a_loader_process():
    order = Order(np.ones(5), seed=1)
    first = order[7]
    assert pickle.loads(pickle.dumps(order))[7] == first


def test_nothing_to_sample():
    with pytest.raises(ValueError, match="training set is empty"):
        Order(np.ones(0), seed=0)
