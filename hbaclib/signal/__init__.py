"""Pure array functions on EEG: montage, filters, spectrograms, images, quality."""
