"""From video files to clips of frames. The only package that uses decoders."""
