"""What a machine can do, measured in minutes on synthetic data: every measurement in a process and a row of its own."""
