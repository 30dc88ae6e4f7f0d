"""Images, layouts, augmentation and the input pipeline of the networks."""
