"""Generated video: a virtual camera over made scenes, with the truth about its motion.

    scenes -> camera path + actors -> shots -> transition -> frames -> video files + list

What `videomamba_motion` learns from, and what tests of training read.
"""

from vfeat.synthetic.corpus import write_corpus
from vfeat.synthetic.joined import check_earlier, write_joined
from vfeat.synthetic.labels import LABELS, Motion

__all__ = ["LABELS", "Motion", "check_earlier", "write_corpus", "write_joined"]
