"""From a corpus to work: units (clip ranges of one video) packed into shards."""
