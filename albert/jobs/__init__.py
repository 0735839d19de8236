"""Many runs: their devices, how they run side by side, their plan, Slurm, and their results."""
