"""The encoder, the Chroma collection and the exact neighbour table."""
