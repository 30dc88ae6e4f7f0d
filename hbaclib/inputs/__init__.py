"""What a network sees: stored arrays, augmentation, batches."""
