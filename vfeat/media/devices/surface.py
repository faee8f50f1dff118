"""A decoded picture in a GPU's memory, converted to RGB as FFmpeg converts it.

The arithmetic is that of swscale on x86-64, integers of 16 bits, so that the colours equal PyAV's
to the bit there. It runs on any device of torch. Legend: H, W size of the picture, h, w half of it,
r, c chosen rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
# Red from V, blue from U, green from U, green from V, times 65536, by the number that FFmpeg has
# for a colour space. What is not here, swscale refuses.
_BT601 = (104597, 132201, 25675, 53279)
_COEFFICIENTS = {
    1: (117489, 138438, 13975, 34925),  # BT.709
    2: _BT601,  # unspecified
    4: (104448, 132798, 24759, 53109),  # FCC
    5: _BT601,
    6: _BT601,
    7: (117579, 136230, 16907, 35559),  # SMPTE 240M
    9: (110013, 140363, 12277, 42626),  # BT.2020
}
COLORSPACES = frozenset(_COEFFICIENTS)


@dataclass(frozen=True)
class Surface:
    """A picture of 8 bits and 4:2:0, of even size, as a hardware decoder writes it (NV12).

    Attributes:
        luma_HW: uint8.
        chroma_hw2: uint8, U and V.
        colorspace: number of FFmpeg, one of COLORSPACES.
        color_range: number of FFmpeg.
        interlaced: rows of two fields take turns, each with its own rows of chroma.
    """

    luma_HW: Tensor
    chroma_hw2: Tensor
    colorspace: int
    color_range: int
    interlaced: bool = False

    @property
    def height(self) -> int:
        """Height, pixels."""
        return int(self.luma_HW.shape[0])

    @property
    def width(self) -> int:
        """Width, pixels."""
        return int(self.luma_HW.shape[1])

    @property
    def device(self) -> torch.device:
        """Device that holds the picture."""
        return self.luma_HW.device

    def turned(self, turns: int) -> Surface:
        """Return the picture turned counter-clockwise by `turns` quarters.

        One of two fields cannot be turned.
        """
        if not turns % 4:
            return self
        assert not self.interlaced
        luma, chroma = (torch.rot90(p, turns, (0, 1)) for p in (self.luma_HW, self.chroma_hw2))
        return Surface(luma, chroma, self.colorspace, self.color_range)

    def rgb(self, rows_r: Tensor, columns_c: Tensor) -> Tensor:
        """Return the colours at the crossings of rows and columns, int32 [r, c, 3], 0 to 255."""
        luma_rc = self.luma_HW[rows_r[:, None], columns_c].int() * 8
        chroma_r = rows_r // 2
        if self.interlaced:
            chroma_r = (rows_r // 4 * 2 + rows_r % 2).clamp_(max=self.height // 2 - 1)
        chroma_rc2 = self.chroma_hw2[chroma_r[:, None], columns_c // 2].int() * 8 - 128 * 8
        u, v = chroma_rc2.unbind(-1)
        gain, offset, *factors = _integers(self.colorspace, self.color_range == _FULL_RANGE)
        red_v, blue_u, green_u, green_v = factors
        grey = (luma_rc - offset) * gain >> 16
        red = grey + (v * red_v >> 16)
        green = grey + (u * green_u >> 16) + (v * green_v >> 16)
        blue = grey + (u * blue_u >> 16)
        return torch.stack((red, green, blue), -1).clamp_(0, 255)


def _integers(colorspace: int, is_full: bool) -> tuple[int, ...]:
    """Return gain and offset of luma and the four factors of chroma, as swscale rounds them."""
    red_v, blue_u, green_u, green_v = _COEFFICIENTS[colorspace]
    gain, offset = 1 << 16, 0
    if is_full:
        red_v, blue_u, green_u, green_v = (
            factor * 224 // 255 for factor in (red_v, blue_u, green_u, green_v)
        )
    else:
        gain, offset = gain * 255 // 219, 16 * 8
    factors = (gain, red_v, blue_u, -green_u, -green_v)
    gain, red_v, blue_u, green_u, green_v = (((f << 13) + (1 << 15)) >> 16 for f in factors)
    return gain, offset, red_v, blue_u, green_u, green_v
