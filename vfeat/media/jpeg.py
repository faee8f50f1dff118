"""A picture as the bytes of a JPEG file."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt


def encode_jpeg(picture_HWC: npt.NDArray[np.uint8], quality: int = 72) -> bytes:
    """Return the bytes of a JPEG file.

    Args:
        picture_HWC: RGB.
        quality: 0 to 100.
    """
    blue_first = np.ascontiguousarray(picture_HWC[..., ::-1])
    done, content = cv2.imencode(".jpg", blue_first, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done  # of a uint8 picture that has pixels
    return bytes(content)
