"""Sentences about images from what is known of them: class labels, boxes, masks, land cover, map tags. Each says where it comes from.

The source of a caption is one of

- `given:<file>`: it came with the data, in this file;
- `joined:<file>`, or `joined:<file>/<source>` where the line names its own: it was made elsewhere and joined by key;
- `<rule>/<version>:<hash>`, as in `boxes/1:7a3f21`: a template wrote it. The version is that of `templates/<rule>.yaml`, to be raised with
  every change of that file or of the code that fills it; the hash, six hex digits of SHA-256 over it and `templates/words.yaml`, shows
  a change that forgot to.
"""

from geolangbind.captions.facts import Caption, Facts
from geolangbind.captions.joined import JoinedCaptions
from geolangbind.captions.write import RULES, merge, write_captions

__all__ = ["RULES", "Caption", "Facts", "JoinedCaptions", "merge", "write_captions"]
