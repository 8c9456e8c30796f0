"""The main job on the embedded planet, end to end: shards, base, teachers, two branches, merge, zero-shot, report."""
