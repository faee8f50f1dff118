"""The videos of a command: one record each, streamed.

Sources are folders, files, globs, object-store prefixes, and CSV or Parquet lists with a `uri`
column whose further columns travel with each video.
"""

from vfeat.corpus.sources import VIDEO_SUFFIXES, Corpus, iter_corpus
from vfeat.corpus.types import FixedType
from vfeat.corpus.video import EXTRA, LIST_SUFFIXES, MISSING_ETAG, Video, VideoBatch

__all__ = [
    "EXTRA",
    "LIST_SUFFIXES",
    "MISSING_ETAG",
    "VIDEO_SUFFIXES",
    "Corpus",
    "FixedType",
    "Video",
    "VideoBatch",
    "iter_corpus",
]
