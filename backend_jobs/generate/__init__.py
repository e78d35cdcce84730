"""Generation: a model writes reasoning traces for a stream of prompts; what is right is kept, nothing is lost."""
