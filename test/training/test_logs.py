import errno
from pathlib import Path

import pytest
from tensorboard.summary.writer import event_file_writer

from panoptic_ros.training.logs import TrainingLog


def test_a_resumed_log_drops_what_lies_after_its_checkpoint(tmp_path):
    with TrainingLog(tmp_path, 0, 10) as log:
        for step in (2, 4, 6):
            log.losses(step, {"loss": step / 8, "lr": 0.1})
        log.scores(4, {"mIoU": 50.0})
    # A kill in the middle of a line.
    with (tmp_path / "losses.csv").open("a") as file:
        file.write("8,0.5,0.")
    with TrainingLog(tmp_path, 4, 10) as log:
        log.losses(6, {"loss": 0.5, "lr": 0.1})
    assert (tmp_path / "losses.csv").read_text().split() == [
        "step,loss,lr",
        "2,0.25,0.1",
        "4,0.5,0.1",
        "6,0.5,0.1",
    ]
    assert (tmp_path / "scores.csv").read_text().split() == ["step,mIoU", "4,50"]
    assert any((tmp_path / "tensorboard").iterdir())


def scored(run, first, *rows):
    with TrainingLog(run, first, 10) as log:
        for step, values in rows:
            log.scores(step, values)
    return (run / "scores.csv").read_text().split("\n")[:-1]


def test_classes_that_come_and_go_stay_in_their_columns(tmp_path):
    rows = scored(
        tmp_path,
        0,
        (1, {"mIoU": 10.0, "IoU traffic light": 1.0}),
        (2, {"mIoU": 20.0}),
        (3, {"mIoU": 30.0, "IoU bus": 3.0, "IoU traffic light": 2.0}),
        (4, {"mIoU": 40.0, "IoU bus": 4.0}),
    )
    assert rows == [
        "step,mIoU,IoU traffic light,IoU bus",
        "1,10,1,",
        "2,20,,",
        "3,30,2,3",
        "4,40,,4",
    ]
    # Resumed, nothing up to the checkpoint is lost.
    assert scored(tmp_path, 3, (4, {"IoU bus": 5.0, "IoU car": 6.0})) == [
        "step,mIoU,IoU traffic light,IoU bus,IoU car",
        "1,10,1,,",
        "2,20,,,",
        "3,30,2,3,",
        "4,,,5,6",
    ]


@pytest.mark.parametrize("rest", ["", "4", "4,5", "4,50,", "\0", "4,50,60,70"])
def test_a_row_that_a_kill_cut_off_is_dropped(tmp_path, rest):
    scored(tmp_path, 0, (2, {"mIoU": 5.0, "IoU car": 1.0}))
    with (tmp_path / "scores.csv").open("a") as file:
        file.write(rest)
    assert scored(tmp_path, 9, (6, {"mIoU": 7.0})) == ["step,mIoU,IoU car", "2,5,1", "6,7,"]


def test_a_kill_while_a_log_is_cut_leaves_the_old_one(tmp_path, monkeypatch):
    before = scored(tmp_path, 0, (2, {"mIoU": 5.0}), (4, {"mIoU": 6.0}))

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        TrainingLog(tmp_path, 2, 10)
    assert (tmp_path / "scores.csv").read_text().split("\n")[:-1] == before
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    "content",
    [
        *(f"step,loss\n{row}\n" for row in ("1," + "a" * 200_000, "²,1", "9" * 5000 + ",1")),
        "name,loss\nmine,1\n",
    ],
)
def test_a_table_that_cannot_be_read_is_named(tmp_path, content):
    (tmp_path / "losses.csv").write_text(content)
    with pytest.raises(ValueError, match=r"losses\.csv is no table of a training .*; remove it"):
        TrainingLog(tmp_path, 0, 10)


def test_what_the_writing_thread_fails_at_last_is_told(tmp_path, monkeypatch):
    """TensorBoard looks at its thread before the last write ends, never after."""

    def full(writer, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    log = TrainingLog(tmp_path, 0, 10).__enter__()
    monkeypatch.setattr(event_file_writer._AsyncWriter, "_check_worker_status", bool)
    monkeypatch.setattr(event_file_writer.RecordWriter, "write", full)
    log.scores(1, {"mIoU": 10.0})
    with pytest.raises(OSError, match=r"cannot be written.*tensorboard'"):
        log.__exit__(None, None, None)
