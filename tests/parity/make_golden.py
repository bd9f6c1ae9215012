"""Makes the golden models anew:  make_golden.py DIRECTORY [--large]"""
import argparse

import golden_models

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("directory")
parser.add_argument("--large", action="store_true", help="the models that are too large to be kept")
arguments = parser.parse_args()
golden_models.make_all(golden_models.LARGE if arguments.large else golden_models.SMALL, arguments.directory)
