"""All settings are in pyproject.toml; colcon builds a Python package by calling this file."""

from setuptools import setup

setup()
