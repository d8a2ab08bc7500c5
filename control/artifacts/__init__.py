"""What training leaves behind and the run time loads."""
