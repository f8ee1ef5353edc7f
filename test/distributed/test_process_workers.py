import pytest

from panoptic_ros.distributed import process_workers


@pytest.mark.parametrize(
    ("visible", "share", "expected"),
    [
        (None, 1.0, ["0", "1", "0"]),
        (None, 0.5, ["0", "0", "1", "1", "0"]),
        ("3,5", 1.0, ["3", "5"]),
        (None, 0.0, [None]),
    ],
)
def test_workers_share_the_gpus_that_are_to_be_seen(monkeypatch, visible, share, expected):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [process_workers.visible_gpu(i, share) for i in range(len(expected))] == expected


def test_a_share_of_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert process_workers.gpu_share(None) == process_workers.gpu_share(0.0) == 0.0
    with pytest.raises(ValueError, match="torch finds no GPU"):
        process_workers.gpu_share(0.5)


def test_the_number_of_workers_follows_the_machine(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr(process_workers, "usable_cores", lambda: 9)
    assert process_workers.default_count(0.25) == 8
    assert process_workers.default_count(0.0) == 2


def test_a_worker_ends_where_its_parent_was_killed_before_it_read_all(monkeypatch):
    class Reset:
        def send(self, part):
            pass

        def recv(self):
            raise ConnectionResetError

    monkeypatch.setattr(process_workers.signal, "signal", lambda *_: None)
    threads = process_workers.torch.get_num_threads()
    assert process_workers._serve(Reset(), lambda: None, threads, None) is None
