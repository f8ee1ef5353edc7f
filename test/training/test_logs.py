from panoptic_ros.training.logs import TrainingLog


def test_a_resumed_log_drops_what_lies_after_its_checkpoint(tmp_path):
    with TrainingLog(tmp_path, 0, 10) as log:
        for step in (2, 4, 6):
            log.losses(step, {"loss": step / 8, "lr": 0.1})
        log.scores(4, {"mIoU": 50.0})
    # A kill in the middle of a line.
    with (tmp_path / "losses.csv").open("a") as file:
        file.write("8,0.")
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
