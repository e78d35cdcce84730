"""The dataset that people load: typed tables, the card that describes them, compaction and the validator."""
