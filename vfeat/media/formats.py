"""Containers that may be opened, and descriptions of files that are none of them.

FFmpeg recognises much that is no video, draws any text as pictures of a terminal, and opens the
files and servers that a playlist names before it returns. It is therefore given the names of the
containers it may read, and a file of any other kind is refused before FFmpeg reads on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

HEAD_BYTES = 4096  # enough to identify a file

_CONTAINERS = """
asf asf_o avi dhav flv gxf ifv kux live_flv lxf matroska mlv mov mp4 mpeg mpegts mpegtsraw mpjpeg
mxf mxg nsv nut nuv ogg pva rm ivr swf ty vivo vividas webm wtv 3gp 3g2
"""
_STREAMS = """
apv av1 avs2 avs3 cavsvideo dirac dnxhd dv evc h261 h263 h264 hevc hxvs ingenient ipu ivf lmlm4
luodat m4v mjpeg mjpeg_2000 mpegvideo obu simbiosis_imx smjpeg v210 v210x vc1 vc1test vvc
yuv4mpegpipe
"""
_CAMERAS_AND_GAMES = """
4xm anm argo_brp avs bethsoftvid bfi bink bmv c93 cdg cdxl cine dfa dsicin dxa ea film_cpk
filmstrip flic frm gdv hnm idcin iff ipmovie iss iv8 jv mgsts mm mods moflex msnwctcp mtv mv mvi nc
paf pdv pmp psxstr r3d rl2 roq rpl sdr2 ser sga siff smk smush thp tiertexseq tmv txd usm vmd
wc3movie wsvqa xmv yop
"""
# A picture is a video of one frame, whatever its file is called.
_PICTURES = """
alias_pix apng bmp_pipe brender_pix cri_pipe dds_pipe dpx_pipe exr_pipe fits gem_pipe gif gif_pipe
hdr_pipe ico j2k_pipe jpeg_pipe jpegls_pipe jpegxl_anim jpegxl_pipe jpegxs_pipe pam_pipe pbm_pipe
pcx_pipe pfm_pipe pgm_pipe pgmyuv_pipe pgx_pipe phm_pipe photocd_pipe pictor_pipe png_pipe ppm_pipe
psd_pipe qdraw_pipe qoi_pipe sgi_pipe sunrast_pipe tiff_pipe vbn_pipe webp_pipe xbm_pipe xpm_pipe
xwd_pipe
"""
# Opened to report that there is no video in them, which is more than that they are unknown.
_SOUND = """
aac ac3 aiff amr ape au caf dts dtshd eac3 flac mlp mp3 mpc mpc8 oma tak truehd tta voc w64 wav wv
xwma
"""

FORMATS: tuple[str, ...] = tuple(
    " ".join((_CONTAINERS, _STREAMS, _CAMERAS_AND_GAMES, _PICTURES, _SOUND)).split()
)
"""FFmpeg's names of the containers that may be opened; a build may lack some."""


@dataclass(frozen=True)
class _Kind:
    """A kind of file that is no video.

    Attributes:
        matches: a test of the file's first bytes.
        sentence: message for the user.
    """

    matches: Callable[[bytes], object]
    sentence: str


def _begins(*starts: bytes) -> Callable[[bytes], object]:
    """Test for a beginning; case and white space before it do not count."""
    lowered = tuple(start.lower() for start in starts)
    return lambda head: head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(lowered)


def _is_exactly(*starts: bytes) -> Callable[[bytes], object]:
    """Test for a beginning, byte by byte."""
    return lambda head: head.startswith(starts)


def _is_text(head: bytes) -> bool:
    """Return whether the bytes are text; the last character may be cut."""
    if re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", head):  # \x1b begins the colours of ANSI art
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3
    return True


_PLAYLIST = "a playlist, not a video: it names other files, and vfeat reads only what is listed"
_KINDS = (
    _Kind(lambda head: not head, "the file is empty"),
    _Kind(
        _begins(b"version https://git-lfs.github.com/spec/"),
        "a Git LFS pointer, not the video itself: run `git lfs pull` where it was cloned",
    ),
    _Kind(
        _begins(b"#extm3u", b"ffconcat", b"[playlist]", b"[reference]", b"<asx", b"<smil", b"v=0"),
        _PLAYLIST,
    ),
    _Kind(
        lambda head: re.search(rb"<(\w+:)?(mpd|smoothstreamingmedia)\b", head.lower()), _PLAYLIST
    ),
    _Kind(
        _begins(b"<?xml", b"<!doctype", b"<html", b"<error"),
        "a web page or an error message from a server, not a video",
    ),
    _Kind(_is_exactly(b"\xff\xd8\xff"), "a single picture (JPEG), not a video"),
    _Kind(_is_exactly(b"%PDF-"), "a PDF document, not a video"),
    _Kind(_is_exactly(b"PK\x03\x04", b"PK\x05\x06"), "a ZIP archive: unpack it first"),
    _Kind(_is_exactly(b"\x1f\x8b"), "compressed with gzip: unpack it first"),
    _Kind(_is_exactly(b"BZh"), "compressed with bzip2: unpack it first"),
    _Kind(_is_exactly(b"\xfd7zXZ\x00"), "compressed with xz: unpack it first"),
    _Kind(_is_exactly(b"\x28\xb5\x2f\xfd"), "compressed with Zstandard: unpack it first"),
    _Kind(_is_exactly(b"7z\xbc\xaf\x27\x1c"), "a 7-Zip archive: unpack it first"),
    _Kind(_is_exactly(b"Rar!\x1a\x07"), "a RAR archive: unpack it first"),
    _Kind(lambda head: head[257:262] == b"ustar", "a tar archive: unpack it first"),
    _Kind(_is_exactly(b"PAR1"), "a Parquet table; a list of videos has the suffix .parquet"),
    _Kind(
        lambda head: head[4:8] in (b"ftyp", b"mdat", b"wide", b"free", b"moov"),
        "an MP4 without its index (moov): cut short, or still being written",
    ),
    _Kind(
        _is_text,
        "a text file, not a video (a list of videos is a .csv or .parquet file with a column uri)",
    ),
    _Kind(
        lambda head: not head.strip(b"\0"),
        "nothing but zeros at its beginning: a download that never came, or a hole",
    ),
)


def describe(head: bytes) -> str:
    """Return what a file is that FFmpeg may not or cannot open, by its first bytes."""
    for kind in _KINDS:
        if kind.matches(head):
            return kind.sentence
    return "no known video format (FFmpeg recognises no container)"
