import threading

import pytest
import torch

from panoptic_ros import cuda_graphs
from panoptic_ros.cuda_graphs import CudaGraph, GraphCache


def doubled(values, others):
    return values * 2, values + others


class Counted:
    """A function of tensors that counts its calls from Python."""

    def __init__(self):
        self.calls = 0

    def __call__(self, *inputs):
        self.calls += 1
        return doubled(*inputs)


class FakeGraph:
    """What a cache sees of a graph, on the host: one set of outputs, written anew by each call."""

    made = 0

    def __init__(self, function, inputs, pool):
        FakeGraph.made += 1
        self._function, self._outputs = function, function(*inputs)

    def __call__(self, *inputs):
        for own, new in zip(self._outputs, self._function(*inputs), strict=True):
            own.copy_(new)
        return self._outputs


@pytest.fixture
def cache(monkeypatch):
    """A cache that takes the host for a device whose graphs are fakes."""
    FakeGraph.made = 0
    monkeypatch.setattr(cuda_graphs, "CudaGraph", FakeGraph)
    monkeypatch.setattr(cuda_graphs, "GRAPH_DEVICES", {"cpu"})
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 0))
    return GraphCache()


def test_on_a_host_a_function_is_called():
    function, cache = Counted(), GraphCache()
    for _ in range(5):
        twice, total = cache.run("key", function, [torch.ones(3), torch.ones(3)])
    assert (twice.tolist(), total.tolist(), function.calls) == ([2] * 3, [2] * 3, 5)


def test_a_size_is_captured_once_it_is_used_again_and_again(cache):
    for i in range(6):
        twice, _ = cache.run("key", doubled, [torch.full((3,), float(i)), torch.ones(3)])
        assert twice.tolist() == [2 * i] * 3
    assert FakeGraph.made == 1
    for size in range(4, 9):
        cache.run("key", doubled, [torch.ones(size), torch.ones(size)])
    assert FakeGraph.made == 1
    for _ in range(3):
        cache.run("other", doubled, [torch.ones(3), torch.ones(3)])
    assert FakeGraph.made == 2


def test_what_a_graph_gives_outlives_its_next_call(cache):
    found = [
        cache.run("key", doubled, [torch.full((2,), float(i)), torch.ones(2)]) for i in range(9)
    ]
    assert [each[0].tolist() for each in found] == [[2 * i] * 2 for i in range(9)]


def test_the_graph_that_was_not_used_for_longest_is_forgotten(cache, monkeypatch):
    monkeypatch.setattr(cuda_graphs, "_MOST_GRAPHS", 2)

    def use(key):
        for _ in range(3):
            cache.run(key, doubled, [torch.ones(1), torch.ones(1)])

    for key in ("a", "b", "a", "c"):
        use(key)
    assert FakeGraph.made == 3
    use("a")
    assert FakeGraph.made == 3
    use("b")
    assert FakeGraph.made == 4


def test_what_cannot_be_captured_is_called_and_told_once(cache, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(cuda_graphs, "CudaGraph", fail)
    for i in range(6):
        twice, _ = cache.run("key", doubled, [torch.full((3,), float(i)), torch.ones(3)])
        assert twice.tolist() == [2 * i] * 3
    (record,) = caplog.records
    assert "cannot capture" in record.getMessage()
    assert "not permitted when stream is capturing" in record.getMessage()


@pytest.mark.gpu
@torch.inference_mode()
def test_a_graph_gives_what_the_function_gives():
    function = Counted()
    graph = CudaGraph(function, [torch.ones(1000, device="cuda"), torch.ones(1000, device="cuda")])
    calls = function.calls
    for i in range(5):
        values = torch.full((1000,), float(i), device="cuda")
        twice, total = graph(values, values)
        assert torch.equal(twice, values * 2)
        assert torch.equal(total, values * 2)
    assert function.calls == calls


@pytest.mark.gpu
@torch.inference_mode()
def test_threads_share_a_cache_while_another_uploads():
    """Memory that is pinned or taken meanwhile must not spoil a capture."""
    cache, ends, wrong = GraphCache(), threading.Event(), []

    def upload():
        while not ends.is_set():
            torch.rand(1 << 20).pin_memory().to("cuda", non_blocking=True).sum().item()
            torch.cuda.empty_cache()

    def use(size):
        for i in range(20):
            values = torch.full((size,), float(i), device="cuda")
            with torch.inference_mode():
                twice, _ = cache.run("key", doubled, [values, values])
            if not torch.equal(twice, values * 2):
                wrong.append((size, i))

    threads = [threading.Thread(target=use, args=(size,)) for size in (10, 1000, 100_000, 10)]
    uploading = threading.Thread(target=upload)
    uploading.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ends.set()
    uploading.join()
    assert wrong == []
    assert all(graph is not None for graph in cache._graphs.values())
