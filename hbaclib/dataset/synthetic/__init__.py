"""A synthetic data set in the competition's format, with known truth."""

from hbaclib.dataset.synthetic.writer import make_synthetic_dataset, summary_path, truth_path
