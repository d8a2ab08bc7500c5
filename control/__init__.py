"""reflexarc.control: flows of modules, their runtimes, artifacts and training. Knows no robot."""
