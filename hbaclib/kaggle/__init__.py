"""The suite on Kaggle: built, pushed, fetched and handed in."""
