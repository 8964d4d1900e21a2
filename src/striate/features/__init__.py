"""The cached pass: pooled features of every stage, computed once."""
