"""One runner per peer, each for an environment of its own (scripts/peer_env.sh); all take the same flags."""
