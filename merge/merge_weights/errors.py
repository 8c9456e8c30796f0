"""The one failure of this tool that the inputs or options cause."""

from geolangbind.errors import CheckpointError


class MergeError(CheckpointError):
    """The inputs cannot be merged, or the output cannot be written. The message says what, where and the way out."""
