"""Networks over images, in batches, on the fastest engine that agrees with eager PyTorch."""
