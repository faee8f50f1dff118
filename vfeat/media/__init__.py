"""Video files in, clips of frames out. The one place that knows decoders."""
