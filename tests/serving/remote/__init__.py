"""The engine on Ray: a cluster of this machine, two replicas of tiny models."""
