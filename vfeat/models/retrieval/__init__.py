"""The dual encoder of words and video: VideoMamba beside a BERT, with a matching head.

`config` and `tokenizer` import no torch, and neither does importing this package.
"""
