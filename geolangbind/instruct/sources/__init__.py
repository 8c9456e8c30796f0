"""One file per kind of instruction: functions from the facts of a corpus to rows."""
