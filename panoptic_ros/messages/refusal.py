"""The one error that a camera message can cause."""


class ImageRefused(ValueError):  # noqa: N818 - the verdict on a message, counted as "refused"
    """Say in one short line why a message cannot be turned into an image."""
