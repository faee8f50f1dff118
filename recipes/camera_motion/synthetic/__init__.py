"""Generated video: a virtual camera over made scenes, with the truth about its motion.

    scenes -> camera path + actors -> shots -> transition -> frames -> video files + list

Training data of `videomamba_motion`.
"""

from recipes.camera_motion.synthetic.corpus import write_corpus
from recipes.camera_motion.synthetic.joined import check_earlier, write_joined
from recipes.camera_motion.synthetic.labels import LABELS, Motion

__all__ = ["LABELS", "Motion", "check_earlier", "write_corpus", "write_joined"]
