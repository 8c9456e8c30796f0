"""The interleaved instruction encoder: images, text, boxes, places and dates in one sequence, one unit vector out."""
