"""One module a derivative, judging the output and nothing else."""
